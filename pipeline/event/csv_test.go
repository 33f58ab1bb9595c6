package event

import (
	"bytes"
	"encoding/csv"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline/table"
)

func TestCSVEventsBecomeRowsInOrder(t *testing.T) {
	rows, rejects := decode(t, flights, Config{Format: new(CSVFormat)},
		`2001-01-13 13:56:00,-3,337.5,SFO,false`,
		"2001-01-13T13:56:00.25+02:00,007,1e3,\"L\"\"A,\r\nX\",1\r\n",
		"2001-01-13T13:56:00Z,,,\"\",\n",
		`"2001-01-13T13:56:00Z","+7.0",".5","SFO","TRUE"`,
	)
	want := []string{
		`100 {"date":"2001-01-13T13:56:00Z","delay":-3,"distance":337.5,"origin":"SFO","cancelled":false}`,
		`101 {"date":"2001-01-13T11:56:00.25Z","delay":7,"distance":1000,"origin":"L\"A,\u000d\u000aX","cancelled":true}`,
		`102 {"date":"2001-01-13T13:56:00Z","delay":null,"distance":null,"origin":"","cancelled":null}`,
		`103 {"date":"2001-01-13T13:56:00Z","delay":7,"distance":0.5,"origin":"SFO","cancelled":true}`,
	}
	if diff := cmp.Diff(want, rows); diff != "" || len(rejects) > 0 {
		t.Errorf("rows (-want +got):\n%s\nrejects: %v", diff, rejects)
	}
}

func TestCSVOptionsSayWhatFieldsMean(t *testing.T) {
	cfg := Config{Format: &CSVFormat{Delimiter: "\t", Columns: []string{"gate", "origin", "date"}, NullText: text(`\N`)}}
	rows, rejects := decode(t, flights, cfg, "a,b\tSFO\t2001-01-13 13:56:00", "\t\t2001-01-13 13:56:00", "\\N\t\"\\N\"\t2001-01-13 13:56:00", "x\t\\N\t2001-01-13 13:56:00")
	want := []string{
		`100 {"date":"2001-01-13T13:56:00Z","delay":null,"distance":null,"origin":"SFO","cancelled":null}`,
		`101 {"date":"2001-01-13T13:56:00Z","delay":null,"distance":null,"origin":"","cancelled":null}`,
		`102 {"date":"2001-01-13T13:56:00Z","delay":null,"distance":null,"origin":"\\N","cancelled":null}`,
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if len(rejects) != 1 || rejects[0].Reason != `field "origin": want string, found null in position 2, and the column is not nullable` {
		t.Errorf("rejects: %+v", rejects)
	}
}

func TestCSVRejectsSayWhatAndWhere(t *testing.T) {
	const date = "2001-01-13T13:56:00Z"
	for _, tc := range []struct{ event, reason, cause string }{
		{date + `,3.5,,SFO,`, `field "delay": want int64, found a number with a fraction in position 2`, `delay: want int64, found a number with a fraction`},
		{date + `,9223372036854775808,,SFO,`, `field "delay": want int64, found a number out of range in position 2`, `delay: want int64, found a number out of range`},
		{date + `,x,,SFO,`, `field "delay": want int64, found a text that is not one in position 2`, `delay: want int64, found a text that is not one`},
		{date + `, 3,,SFO,`, `field "delay": want int64, found a text that is not one in position 2`, `delay: want int64, found a text that is not one`},
		{date + `,,NaN,SFO,`, `field "distance": want float64, found a number that is not finite in position 3`, `distance: want float64, found a number that is not finite`},
		{date + `,,-Infinity,SFO,`, `field "distance": want float64, found a number that is not finite in position 3`, `distance: want float64, found a number that is not finite`},
		{date + `,,1e400,SFO,`, `field "distance": want float64, found a number out of range in position 3`, `distance: want float64, found a number out of range`},
		{date + `,,0x1p4,SFO,`, `field "distance": want float64, found a text that is not one in position 3`, `distance: want float64, found a text that is not one`},
		{date + `,,,SFO,yes`, `field "cancelled": want bool, found a text that is not one in position 5`, `cancelled: want bool, found a text that is not one`},
		{date + ",,,\xff,", `field "origin": want string, found a string that is not UTF-8 in position 4`, `origin: want string, found a string that is not UTF-8`},
		{`13.1.2001,,,SFO,`, `field "date": want timestamp (timestamp_formats: rfc3339, 2006-01-02 15:04:05, 2006-01-02T15:04:05, 2006-01-02 15:04, 2006-01-02), found a text that is not one in position 1`, `date: want timestamp, found a text that is not one`},
		{date + `,,,,`, `field "origin": want string, found null in position 4, and the column is not nullable`, `origin: null in a column that is not nullable`},
		{date + `,,,SFO`, `wrong number of fields: want 5, found 4`, `wrong number of fields`},
		{date + `,,,SFO,,`, `wrong number of fields: want 5, found 6`, `wrong number of fields`},
		{``, `wrong number of fields: want 5, found 1`, `wrong number of fields`},
		{date + `,,,S"FO,`, `malformed CSV: a quote in field 4 at byte 24`, `malformed CSV`},
		{date + `,,,"SFO,`, `malformed CSV: no closing quote in field 4 at byte 28`, `malformed CSV`},
		{date + `,,,"SF"O,`, `malformed CSV: text behind the closing quote in field 4 at byte 27`, `malformed CSV`},
		{date + ",,,SFO,\n" + date + ",,,SFO,", `malformed CSV: a second line in field 5 at byte 27`, `malformed CSV`},
	} {
		rows, rejects := decode(t, flights, Config{Format: new(CSVFormat)}, tc.event)
		want := []Reject{{Row: 100, Reason: tc.reason, Cause: tc.cause}}
		if diff := cmp.Diff(want, rejects); diff != "" || rows != nil {
			t.Errorf("%q became %v; rejects (-want +got):\n%s", tc.event, rows, diff)
		}
	}
}

func TestTextsAreTimesInTheConfiguredFormats(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "t", Type: table.Timestamp}}}
	cfg := Config{Format: &CSVFormat{TimestampFormats: []string{EpochMillis, "02.01.2006 15:04"}}}
	rows, rejects := decode(t, schema, cfg, "981173106007", "+0981173106007.0", "03.02.2001 04:05", "253402300800000", "9e30", "2001-02-03T04:05:06Z")
	want := []string{`100 {"t":"2001-02-03T04:05:06.007Z"}`, `101 {"t":"2001-02-03T04:05:06.007Z"}`, `102 {"t":"2001-02-03T04:05:00Z"}`}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if len(rejects) != 3 || !strings.Contains(rejects[0].Reason, foundFarTime) || !strings.Contains(rejects[1].Reason, foundText) || !strings.Contains(rejects[2].Reason, foundText) {
		t.Errorf("%+v", rejects)
	}
}

func TestColumnsFromRecordsAreOfFittingTypes(t *testing.T) {
	for want, c := range map[string]table.Column{
		`from "kex" is none of key`:           {Name: "c", Type: table.String, From: "kex"},
		"from timestamp is timestamp, not":    {Name: "c", Type: table.Int64, From: FromTimestamp},
		"from offset is int64, not string":    {Name: "c", Type: table.String, From: FromOffset},
		"from partition is int64, not float6": {Name: "c", Type: table.Float64, From: FromPartition},
	} {
		if _, err := NewDecoder(table.Schema{Columns: []table.Column{c}}, Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", c, err, want)
		}
	}
	// A field of the event does not fill such a column, and is unknown.
	columns := table.Schema{Columns: []table.Column{{Name: "v", Type: table.String}, {Name: "key", Type: table.String, Nullable: true, From: FromKey}}}
	rows, _ := decode(t, columns, Config{}, `{"key":"x","v":"a"}`)
	_, rejects := decode(t, columns, Config{Format: &JSONFormat{OnUnknownField: DeadLetter}}, `{"key":"x","v":"a"}`)
	if len(rows) != 1 || rows[0] != `100 {"v":"a","key":null}` || len(rejects) != 1 || rejects[0].Cause != "unknown field" {
		t.Errorf("%v %v", rows, rejects)
	}
}

func TestCSVOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for want, cfg := range map[string]CSVFormat{
		`";;" is not one ASCII`:                     {Delimiter: ";;"},
		`"\"" is not one ASCII`:                     {Delimiter: `"`},
		`"\n" is not one ASCII`:                     {Delimiter: "\n"},
		`"ü" is not one ASCII`:                      {Delimiter: "ü"},
		`columns[2]: a second column of the name a`: {Columns: []string{"a", "b", "a"}},
		`columns[0]: the field is missing`:          {Columns: []string{""}},
		`"a,b" cannot be a field without`:           {NullText: text("a,b")},
		`"a\"b" cannot be a field without q`:        {NullText: text(`a"b`)},
	} {
		if _, err := NewDecoder(flights, Config{Format: &cfg}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", cfg, err, want)
		}
	}
}

// threeTexts are columns in which encoding/csv's fields can be seen.
var threeTexts = table.Schema{Columns: []table.Column{{Name: "a", Type: table.String}, {Name: "b", Type: table.String}, {Name: "c", Type: table.String}}}

// compareCSV holds a decoder of threeTexts against encoding/csv.
func compareCSV(t *testing.T, d *Decoder, event []byte) (accepted bool) {
	want, ok := oneRecord(event)
	ends := []int{len(event)}
	rec, rejects, err := d.Decode(t.Context(), Events{Values: event, Ends: ends, Offsets: []int64{7}})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if len(rejects) == 1 && rejects[0].Cause == "not CSV" {
		return false // what the library does not look at
	}
	if ok != (rec.NumRows() == 1) {
		t.Fatalf("%q: encoding/csv says %v %q; rejects: %+v", event, ok, want, rejects)
	}
	if !ok {
		return false
	}
	for i, field := range want {
		if got := strings.ReplaceAll(textOf(rec, i), "\r\n", "\n"); got != field {
			t.Fatalf("%q: field %d is %q, encoding/csv says %q", event, i, got, field)
		}
	}
	return true
}

// oneRecord returns the fields of an event that encoding/csv reads as one record
// and nothing else; the lines without anything that it passes over are something.
func oneRecord(event []byte) (fields []string, ok bool) {
	r := csv.NewReader(bytes.NewReader(event))
	r.FieldsPerRecord = 3
	fields, err := r.Read()
	if err != nil || r.InputOffset() < int64(len(event)) {
		return nil, false
	}
	for _, f := range fields {
		if !utf8.ValidString(f) {
			return nil, false
		}
	}
	line, _ := r.FieldPos(0)
	return fields, line == 1
}

func textOf(rec arrow.Record, column int) string {
	d := rec.Column(column).(*array.Dictionary)
	return d.Dictionary().(*array.String).Value(d.GetValueIndex(0))
}

func text(s string) *string { return &s }

// nullNever is a text that no event of the tests has.
const nullNever = "\x00null\x00"

func newCSVDecoder(t testing.TB) *Decoder {
	d, err := NewDecoder(threeTexts, Config{Format: &CSVFormat{NullText: text(nullNever)}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func FuzzCSVAgreesWithEncodingCSV(f *testing.F) {
	for _, seed := range []string{"a,b,c", "a,b,c\n", "a,b,c\r\n", "a,b,c\r", `"a","b","c"`, "\"a\nb\",\"c\"\"d\",", ",,", "a,b", "a,b,c,d", `a"b,c,d`, `"a"b,c,d`, "a,b,c\nd,e,f", "\na,b,c", "a,b,\"c\"\n", "\"\r\r\n\",\r,\r\r"} {
		f.Add([]byte(seed))
	}
	d := newCSVDecoder(f)
	f.Fuzz(func(t *testing.T, event []byte) { compareCSV(t, d, event) })
}

// TestCSVAgreesWithEncodingCSVOnGarbledEvents assembles events from pieces that
// mostly fit together.
func TestCSVAgreesWithEncodingCSVOnGarbledEvents(t *testing.T) {
	pieces := []string{"a", "bc", ",", ",", ",", `"`, `"`, `""`, "\n", "\r", "\r\n", " ", "ü", "\xff", "\x00", `"a,b"`, `"x""y"`, "\"\n\"", ";"}
	random := rand.New(rand.NewPCG(3, 4))
	d := newCSVDecoder(t)
	rows := 0
	for range 50_000 {
		var b bytes.Buffer
		for range random.IntN(10) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		if compareCSV(t, d, b.Bytes()) {
			rows++
		}
	}
	if rows < 500 {
		t.Errorf("only %d events were rows", rows)
	}
}

// TestTextsOfNumbersAgreeWithStrconv holds cells against strconv.
func TestTextsOfNumbersAgreeWithStrconv(t *testing.T) {
	pieces := []string{"0", "1", "9", "123456789", "00", ".", ".", "e", "E", "+", "-", "5", "1e", "308", "_", "x", "inf", "nan", " "}
	random := rand.New(rand.NewPCG(5, 6))
	good := 0
	for range 100_000 {
		var b []byte
		for range 1 + random.IntN(6) {
			b = append(b, pieces[random.IntN(len(pieces))]...)
		}
		want, err := strconv.ParseFloat(string(b), 64)
		decimal := strings.Trim(string(b), "0123456789+-.eE") == ""
		got, problem := textFloat(b)
		if (err == nil && decimal) != (problem == "") || problem == "" && got != want {
			t.Fatalf("%q: got %v %q, strconv says %v %v", b, got, problem, want, err)
		}
		if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
			good++
			if got, problem := textInt(b); problem != "" || got != n {
				t.Fatalf("%q: got %d %q, want %d", b, got, problem, n)
			}
		}
	}
	if good < 1000 {
		t.Errorf("only %d were whole numbers", good)
	}
}
