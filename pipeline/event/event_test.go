package event

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// flights is the schema of the flights sample.
var flights = table.Schema{Columns: []table.Column{
	{Name: "date", Type: table.Timestamp},
	{Name: "delay", Type: table.Int64, Nullable: true},
	{Name: "distance", Type: table.Float64, Nullable: true},
	{Name: "origin", Type: table.String},
	{Name: "cancelled", Type: table.Bool, Nullable: true},
}}

// decode decodes events with offsets 100, 101, … and returns the rows as
// AppendJSON prints them, with their offsets, and the rejects.
func decode(t testing.TB, schema table.Schema, cfg Config, events ...string) (rows []string, rejects []Reject) {
	t.Helper()
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	cfg.Allocator = alloc
	d, err := NewDecoder(schema, cfg)
	if err != nil {
		t.Fatal(err)
	}
	values, ends, offsets := pack(events)
	rec, rejects, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
	if err != nil {
		t.Fatal(err)
	}
	for i := range values {
		values[i] = '#' // the batch must not lean on the caller's memory
	}
	rows = render(rec)
	rec.Release()
	alloc.AssertSize(t, 0)
	if len(rows)+len(rejects) != len(events) {
		t.Fatalf("%d events became %d rows and %d rejects", len(events), len(rows), len(rejects))
	}
	return rows, rejects
}

func pack(events []string) (values []byte, ends []int, offsets []int64) {
	for i, e := range events {
		values = append(values, e...)
		ends = append(ends, len(values))
		offsets = append(offsets, int64(100+i))
	}
	return values, ends, offsets
}

func render(rec arrow.Record) []string {
	var rows []string
	ids := rec.Column(int(rec.NumCols()) - 1).(*array.Int64)
	for i := range int(rec.NumRows()) {
		rows = append(rows, fmt.Sprintf("%d %s", ids.Value(i), AppendJSON(nil, rec, i)))
	}
	return rows
}

func TestEventsBecomeRowsInOrder(t *testing.T) {
	rows, rejects := decode(t, flights, Config{},
		`{"date":"2001-01-13 13:56:00","delay":-3,"distance":337.5,"origin":"SFO","cancelled":false}`,
		`{"origin":"LAX","cancelled":true,"date":"2001-01-13T13:56:00.25+02:00","distance":1e3,"delay":7.0}`,
		"\t{ \"origin\" : \"\" ,\r\n\"date\":\"2001-01-13T13:56:00Z\" } \n",
		`{"date":"2001-01-13T13:56:00","delay":null,"distance":null,"origin":"SFO","cancelled":null,"extra":{"a":[1,{}]}}`,
	)
	want := []string{
		`100 {"date":"2001-01-13T13:56:00Z","delay":-3,"distance":337.5,"origin":"SFO","cancelled":false}`,
		`101 {"date":"2001-01-13T11:56:00.25Z","delay":7,"distance":1000,"origin":"LAX","cancelled":true}`,
		`102 {"date":"2001-01-13T13:56:00Z","delay":null,"distance":null,"origin":"","cancelled":null}`,
		`103 {"date":"2001-01-13T13:56:00Z","delay":null,"distance":null,"origin":"SFO","cancelled":null}`,
	}
	if diff := cmp.Diff(want, rows); diff != "" || len(rejects) > 0 {
		t.Errorf("rows (-want +got):\n%s\nrejects: %v", diff, rejects)
	}
}

func TestRejectsSayWhatAndWhere(t *testing.T) {
	const ok = `"date":"2001-01-13T13:56:00Z","origin":"SFO"`
	for _, tc := range []struct{ event, reason, cause string }{
		{`{"delay":"3",` + ok + `}`, `field "delay": want int64, found string at byte 9`, `delay: want int64, found string`},
		{`{"delay":true,` + ok + `}`, `field "delay": want int64, found bool at byte 9`, `delay: want int64, found bool`},
		{`{"delay":[3],` + ok + `}`, `field "delay": want int64, found array at byte 9`, `delay: want int64, found array`},
		{`{"delay":1.5,` + ok + `}`, `field "delay": want int64, found a number with a fraction at byte 9`, `delay: want int64, found a number with a fraction`},
		{`{"delay":9223372036854775808,` + ok + `}`, `field "delay": want int64, found a number out of range at byte 9`, `delay: want int64, found a number out of range`},
		{`{"distance":1e400,` + ok + `}`, `field "distance": want float64, found a number out of range at byte 12`, `distance: want float64, found a number out of range`},
		{`{"cancelled":0,` + ok + `}`, `field "cancelled": want bool, found number at byte 13`, `cancelled: want bool, found number`},
		{`{"date":"2001-01-13T13:56:00Z","origin":{"a":1}}`, `field "origin": want string, found object at byte 40`, `origin: want string, found object`},
		{`{"date":"2001-01-13T13:56:00Z","origin":"` + "\xff" + `"}`, `field "origin": want string, found a string that is not UTF-8 at byte 40`, `origin: want string, found a string that is not UTF-8`},
		{`{"date":"2001-01-13T13:56:00Z","origin":"\ud800"}`, `field "origin": want string, found a string with half a surrogate pair at byte 40`, `origin: want string, found a string with half a surrogate pair`},
		{`{"date":"13.1.2001","origin":"SFO"}`, `field "date": want timestamp (timestamp_formats: rfc3339, 2006-01-02 15:04:05, 2006-01-02T15:04:05, 2006-01-02 15:04, 2006-01-02), found a string that is not one at byte 8`, `date: want timestamp, found a string that is not one`},
		{`{"date":979394160000,"origin":"SFO"}`, `field "date": want timestamp (timestamp_formats: rfc3339, 2006-01-02 15:04:05, 2006-01-02T15:04:05, 2006-01-02 15:04, 2006-01-02), found number at byte 8`, `date: want timestamp, found number`},
		{`{"origin":"SFO"}`, `field "date": missing, and the column is not nullable`, `date: missing in a column that is not nullable`},
		{`{"date":"2001-01-13T13:56:00Z","origin":null}`, `field "origin": want string, found null at byte 40, and the column is not nullable`, `origin: null in a column that is not nullable`},
		{``, `malformed JSON: want an object, found the end at byte 0`, `malformed JSON`},
		{`[{}]`, `malformed JSON: want an object, found '[' at byte 0`, `malformed JSON`},
		{`{"a"`, `malformed JSON: want a colon, found the end at byte 4`, `malformed JSON`},
		{`{"a":01}`, `malformed JSON: want a comma or the end of the object, found '1' at byte 6`, `malformed JSON`},
		{`{"a":1,}`, `malformed JSON: want a field name in quotes, found '}' at byte 7`, `malformed JSON`},
		{`{"a":{"b":[1,2}}`, `malformed JSON: want a comma or a closing bracket, found '}' at byte 14`, `malformed JSON`},
		{`{"delay":-}`, `malformed JSON: want a digit, found '}' at byte 10`, `malformed JSON`},
		{`{"delay":nul}`, `malformed JSON: want null, found 'n' at byte 9`, `malformed JSON`},
		{`{"origin":"S`, `malformed JSON: want the end of the string, found the end at byte 12`, `malformed JSON`},
		{`{"origin":"\x"}`, `malformed JSON: want an escape, found 'x' at byte 12`, `malformed JSON`},
		{`{"origin":"\u12g4"}`, `malformed JSON: want a hexadecimal digit, found 'g' at byte 15`, `malformed JSON`},
		{"{\"origin\":\"\n\"}", `malformed JSON: want no control character in a string, found '\n' at byte 11`, `malformed JSON`},
		{`{` + ok + `} x`, `malformed JSON: want nothing after the object, found 'x' at byte 47`, `malformed JSON`},
	} {
		rows, rejects := decode(t, flights, Config{}, tc.event)
		if len(rejects) != 1 {
			t.Errorf("%s: accepted as %v", tc.event, rows)
			continue
		}
		if diff := cmp.Diff(Reject{Row: 100, Reason: tc.reason, Cause: tc.cause}, rejects[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.event, diff)
		}
	}
}

func TestRejectedEventsLeaveNoTraceInTheRowsAround(t *testing.T) {
	rows, rejects := decode(t, flights, Config{},
		`{"date":"2001-01-13T13:56:00Z","delay":1,"distance":1,"origin":"SFO","cancelled":true}`,
		`{"date":"2001-01-13T13:56:00Z","delay":2,"distance":2,"origin":"LAX","cancelled":true`,
		`{"date":"2001-01-13T13:56:00Z","origin":"OAK"}`,
		`{"delay":null}`,
		`{"date":"2001-01-13T13:56:00Z","delay":5,"origin":"SFO"}`,
	)
	want := []string{
		`100 {"date":"2001-01-13T13:56:00Z","delay":1,"distance":1,"origin":"SFO","cancelled":true}`,
		`102 {"date":"2001-01-13T13:56:00Z","delay":null,"distance":null,"origin":"OAK","cancelled":null}`,
		`104 {"date":"2001-01-13T13:56:00Z","delay":5,"distance":null,"origin":"SFO","cancelled":null}`,
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if len(rejects) != 2 || rejects[0].Row != 101 || rejects[0].Index != 1 || rejects[1].Row != 103 || rejects[1].Index != 3 {
		t.Errorf("rejects: %+v", rejects)
	}
}

func TestAColumnsFieldThatIsThereTwiceRejectsTheEvent(t *testing.T) {
	rows, rejects := decode(t, flights, Config{},
		`{"origin":"SFO","date":"2001-01-13T13:56:00Z","delay":"x","delay":1}`,
		`{"origin":"SFO","date":"2001-01-13T13:56:00Z","delay":1,"\u006frigin":"LAX"}`,
		`{"date":null,"date":"2001-01-13T13:56:00Z","origin":"SFO"}`,
		`{"date":"2001-01-13T13:56:00Z","origin":"SFO","gate":1,"gate":2}`, // no column
		`{"date":"2001-01-13T13:56:00Z","origin":"SFO"}`,
	)
	if len(rows) != 2 || !strings.HasPrefix(rows[0], "103 ") || !strings.HasPrefix(rows[1], "104 ") {
		t.Errorf("rows: %q", rows)
	}
	if len(rejects) != 3 || rejects[0].Reason != `field "delay": appears twice, the second value at byte 66` || rejects[0].Cause != "delay: appears twice" ||
		rejects[1].Cause != "origin: appears twice" || rejects[2].Cause != "date: appears twice" {
		t.Errorf("rejects: %+v", rejects)
	}
}

func TestTombstonesAreRejected(t *testing.T) {
	d, err := NewDecoder(flights, Config{})
	if err != nil {
		t.Fatal(err)
	}
	values, ends, offsets := pack([]string{"", `{"date":"2001-01-13T13:56:00Z","origin":"SFO"}`})
	rec, rejects, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets, Nulls: []bool{true, false}})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	want := []Reject{{Row: 100, Reason: "the event is null (a tombstone)", Cause: "null event"}}
	if diff := cmp.Diff(want, rejects); diff != "" || rec.NumRows() != 1 {
		t.Errorf("%d rows, rejects (-want +got):\n%s", rec.NumRows(), diff)
	}
}

func TestBoundsRejectTheEventOnly(t *testing.T) {
	ok := `{"date":"2001-01-13T13:56:00Z","origin":"SFO"}`
	nested := func(levels int) string {
		return `{"x":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + "," + ok[1:]
	}
	rows, rejects := decode(t, flights, Config{MaxEventBytes: 400},
		ok, `{"pad":"`+strings.Repeat("x", 400)+`",`+ok[1:], nested(maxDepth-1), nested(maxDepth), ok)
	if len(rows) != 3 || len(rejects) != 2 {
		t.Fatalf("rows %v, rejects %v", rows, rejects)
	}
	if want := "the event has 455 bytes, the bound is 400"; rejects[0].Reason != want {
		t.Errorf("got %q, want %q", rejects[0].Reason, want)
	}
	if want := "nested deeper than 64 levels at byte 68"; rejects[1].Reason != want {
		t.Errorf("got %q, want %q", rejects[1].Reason, want)
	}
}

func TestUnknownFieldsAreIgnoredOrDeadLettered(t *testing.T) {
	events := []string{`{"gate":"\ud800` + "\xff" + `","date":"2001-01-13T13:56:00Z","origin":"SFO"}`, `{"date":"2001-01-13T13:56:00Z","origin":"SFO"}`}
	if rows, rejects := decode(t, flights, Config{}, events...); len(rows) != 2 {
		t.Errorf("ignore: %v", rejects)
	}
	_, rejects := decode(t, flights, Config{Format: &JSONFormat{OnUnknownField: DeadLetter}}, events...)
	want := []Reject{{Row: 100, Reason: "a field that is no column at byte 1", Cause: "unknown field"}}
	if diff := cmp.Diff(want, rejects); diff != "" {
		t.Error(diff)
	}
}

func TestTrainingOnlyColumnsAreNullWhateverAnEventSays(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{
		{Name: "origin", Type: table.String},
		{Name: "delay", Type: table.Int64, TrainingOnly: true},
		{Name: "gate", Type: table.String, TrainingOnly: true},
	}}
	rows, rejects := decode(t, schema, Config{Format: &JSONFormat{OnUnknownField: DeadLetter}}, `{"origin":"SFO","delay":3}`, `{"gate":{},"origin":"LAX","delay":""}`, `{"origin":"LAX"}`)
	want := []string{
		`100 {"origin":"SFO","delay":null,"gate":null}`,
		`101 {"origin":"LAX","delay":null,"gate":null}`,
		`102 {"origin":"LAX","delay":null,"gate":null}`,
	}
	if diff := cmp.Diff(want, rows); diff != "" || rejects != nil {
		t.Errorf("%s %v", diff, rejects)
	}
}

func TestWholeNumbersAreExact(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "n", Type: table.Int64}}}
	for in, want := range map[string]int64{
		"0": 0, "-0": 0, "-0.0": 0, "0e99999999999999999999": 0, "7": 7, "7.0": 7, "7.50e1": 75, "1e3": 1000, "1200e-2": 12,
		"0.001e3": 1, "123456789012345678": 123456789012345678, "1234567890123456789": 1234567890123456789,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "9007199254740993.0": 9007199254740993,
		"922337203685477580.7E1": math.MaxInt64, "1E+18": 1e18,
	} {
		rows, rejects := decode(t, schema, Config{}, `{"n":`+in+`}`)
		if len(rows) != 1 || rows[0] != fmt.Sprintf(`100 {"n":%d}`, want) {
			t.Errorf("%s: got %v %v, want %d", in, rows, rejects, want)
		}
	}
	for _, in := range []string{"0.5", "1e-1", "1.0000000000000000000000001", "1e-99999999999999999999", "9223372036854775808", "-9223372036854775809",
		"1e19", "1e99999999999999999999", "99999999999999999999", "00", "1.", ".5", "1e", "1e+", "+1", "- 1", "0x1", "1_000", "NaN", "Infinity"} {
		if rows, _ := decode(t, schema, Config{}, `{"n":`+in+`}`); rows != nil {
			t.Errorf("%s: accepted as %v", in, rows)
		}
	}
}

func TestDecodingDoesNotDependOnWhatWasDecodedBefore(t *testing.T) {
	events := []string{
		`{"date":"2001-01-13T13:56:00Z","origin":"SFO"}`,
		`{"origin":"a word of more than eight bytes","date":"2001-01-13T13:56:00Z"}`,
		`{"date":"2001-01-13T13:56:00Z","origin":"SFO","delay":3}`,
	}
	used, err := NewDecoder(flights, Config{})
	if err != nil {
		t.Fatal(err)
	}
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf(`{"delay":%d,"date":"2001-01-13T13:56:00Z","origin":"%d%s"}`, i, i%1000, strings.Repeat("x", i%7)))
	}
	values, ends, offsets := pack(many)
	before, _, err := used.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Release()
	printed := render(before)

	fresh, err := NewDecoder(flights, Config{})
	if err != nil {
		t.Fatal(err)
	}
	values, ends, offsets = pack(events)
	var recs []arrow.Record
	for _, d := range []*Decoder{used, fresh} {
		rec, _, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Release()
		recs = append(recs, rec)
	}
	if !array.RecordEqual(recs[0], recs[1]) {
		t.Errorf("a used decoder gives\n%v\na fresh one\n%v", recs[0], recs[1])
	}
	words := recs[0].Column(3).(*array.Dictionary).Dictionary().(*array.String)
	if words.Len() != 2 || words.Value(0) != "SFO" {
		t.Errorf("the dictionary is %v, want the two words in order of appearance", words)
	}
	if diff := cmp.Diff(printed, render(before)); diff != "" {
		t.Errorf("an earlier batch changed: %s", diff)
	}
}

func TestManyDistinctWordsAreToldApart(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "s", Type: table.String}}}
	var events, want []string
	for i := range 5000 {
		word := fmt.Sprint(i)
		switch i % 3 {
		case 1:
			word = strings.Repeat("long", 4) + word
		case 2:
			word = strings.Repeat(`\u0000`, i%9) // only length tells short ones apart
		}
		events = append(events, `{"s":"`+word+`"}`)
		want = append(want, fmt.Sprintf(`%d {"s":"%s"}`, 100+i, word))
	}
	rows, _ := decode(t, schema, Config{}, events...)
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}

func TestArgumentsThatDoNotFitAreInvalid(t *testing.T) {
	d, err := NewDecoder(flights, Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() (arrow.Record, []Reject, error){
		"offsets": func() (arrow.Record, []Reject, error) {
			return d.Decode(t.Context(), Events{Values: []byte("{}"), Ends: []int{2}})
		},
		"nulls": func() (arrow.Record, []Reject, error) {
			return d.Decode(t.Context(), Events{Values: []byte("{}"), Ends: []int{2}, Offsets: []int64{1}, Nulls: []bool{}})
		},
		"end": func() (arrow.Record, []Reject, error) {
			return d.Decode(t.Context(), Events{Values: []byte("{}"), Ends: []int{3}, Offsets: []int64{1}})
		},
		"order": func() (arrow.Record, []Reject, error) {
			return d.Decode(t.Context(), Events{Values: []byte("{}"), Ends: []int{2, 1}, Offsets: []int64{1, 2}})
		},
	} {
		if _, _, err := call(); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: got %v, want an invalid argument", name, err)
		}
	}
	rec, rejects, err := d.Decode(t.Context(), Events{})
	if err != nil || rec.NumRows() != 0 || rejects != nil {
		t.Errorf("no events: %v %v %v", rec, rejects, err)
	}
	rec.Release()
}

func TestConfigurationsThatMakeNoSenseAreRefused(t *testing.T) {
	column := func(c table.Column) table.Schema { return table.Schema{Columns: []table.Column{c}} }
	for want, tc := range map[string]struct {
		schema table.Schema
		cfg    Config
	}{
		"no columns":      {table.Schema{}, Config{}},
		"no column type":  {column(table.Column{Name: "a", Type: "int32"}), Config{}},
		"name is taken":   {table.Schema{Columns: append(column(table.Column{Name: "a", Type: table.Bool}).Columns, table.Column{Name: "a", Type: table.Bool})}, Config{}},
		"column \"_row\"": {column(table.Column{Name: table.RowColumn, Type: table.Int64}), Config{}},
		"negative":        {flights, Config{MaxEventBytes: -1}},
		`on_unknown_field: "reject" is not allowed here (one of ignore, dead_letter)`: {flights, Config{Format: &JSONFormat{OnUnknownField: "reject"}}},
		`timestamp_formats[0]: "rfc339" is not a layout with a date`:                  {flights, Config{Format: &JSONFormat{TimestampFormats: []string{"rfc339"}}}},
		`timestamp_formats[1]: "15:04:05" is not a layout with a date`:                {flights, Config{Format: &JSONFormat{TimestampFormats: []string{RFC3339, "15:04:05"}}}},
		`timestamp_formats[0]: "2006-01-32" is not a layout with a date`:              {flights, Config{Format: &JSONFormat{TimestampFormats: []string{"2006-01-32"}}}},
	} {
		_, err := NewDecoder(tc.schema, tc.cfg)
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestTimestampsFollowTheConfiguredFormats(t *testing.T) {
	berlin := time.FixedZone("berlin", 3600)
	schema := table.Schema{Columns: []table.Column{{Name: "t", Type: table.Timestamp}}}
	for _, tc := range []struct {
		formats []string
		zone    *time.Location
		in      string
		want    string // empty: rejected
	}{
		{nil, nil, `"2001-02-03T04:05:06Z"`, "2001-02-03T04:05:06Z"},
		{nil, nil, `"2001-02-03T04:05:06.1234567-01:30"`, "2001-02-03T05:35:06.123456Z"},
		{nil, nil, `"2001-02-03 04:05:06"`, "2001-02-03T04:05:06Z"},
		{nil, nil, `"2001-02-03\u002004:05:06"`, "2001-02-03T04:05:06Z"},
		{nil, nil, `"2001-02-03T04:05:06.5"`, "2001-02-03T04:05:06.5Z"},
		{nil, nil, `"0000-01-01T00:00:00Z"`, "0000-01-01T00:00:00Z"},
		{nil, nil, `"9999-12-31T23:59:59.999999Z"`, "9999-12-31T23:59:59.999999Z"},
		{nil, nil, `"2000-02-29T00:00:00Z"`, "2000-02-29T00:00:00Z"},
		{nil, berlin, `"2001-02-03T00:05:06"`, "2001-02-02T23:05:06Z"},
		{nil, berlin, `"2001-02-03T00:05:06Z"`, "2001-02-03T00:05:06Z"},
		{nil, berlin, `"2001-04-01T23:59:59+0100"`, "2001-04-01T22:59:59Z"},
		{nil, berlin, `"2001-04-01 23:59:59 Z"`, "2001-04-01T23:59:59Z"},
		{nil, berlin, `"2001-04-01t23:59:59z"`, "2001-04-01T23:59:59Z"},
		{nil, berlin, `"2001-02-03"`, "2001-02-02T23:00:00Z"},
		{[]string{EpochMillis}, nil, `981173106007`, "2001-02-03T04:05:06.007Z"},
		{[]string{EpochMillis}, nil, `9.81173106007e11`, "2001-02-03T04:05:06.007Z"},
		{[]string{EpochMillis}, nil, `-1`, "1969-12-31T23:59:59.999Z"},
		{[]string{EpochMillis, RFC3339}, nil, `"2001-02-03T04:05:06Z"`, "2001-02-03T04:05:06Z"},
		{[]string{"02/01/2006 15:04"}, nil, `"03/02/2001 04:05"`, "2001-02-03T04:05:00Z"},
		{[]string{"02/01/2006 15:04"}, berlin, `"03/02/2001 04:05"`, "2001-02-03T03:05:00Z"},
		{[]string{"2006-02-01 15:04:05", time.DateTime}, nil, `"2001-02-03 04:05:06"`, "2001-03-02T04:05:06Z"},
		{[]string{"2006-02-01 15:04:05", time.DateTime}, nil, `"2001-02-13 04:05:06"`, "2001-02-13T04:05:06Z"},

		{nil, nil, `"2001-02-29T00:00:00Z"`, ""},
		{nil, nil, `"1900-02-29T00:00:00Z"`, ""},
		{nil, nil, `"2001-13-01T00:00:00Z"`, ""},
		{nil, nil, `"2001-00-01T00:00:00Z"`, ""},
		{nil, nil, `"2001-04-31T00:00:00Z"`, ""},
		{nil, nil, `"2001-04-00T00:00:00Z"`, ""},
		{nil, nil, `"2001-04-01T24:00:00Z"`, ""},
		{nil, nil, `"2001-04-01T23:60:00Z"`, ""},
		{nil, nil, `"2001-04-01T23:59:60Z"`, ""},
		{nil, nil, `"2001-04-01T23:59:59.Z"`, ""},
		{nil, nil, `"2001-04-01T23:59:59+24:00"`, ""},
		{nil, nil, `"2001-04-01T23:59:59+01:0"`, ""},
		{nil, nil, `"2001-04-01T23:59:59  Z"`, ""},
		{nil, nil, `"2001-04-01_23:59:59"`, ""},
		{nil, nil, `"2001-04-01T23:59:5x"`, ""},
		{nil, nil, `"0000-01-01T00:00:00+01:00"`, ""},
		{nil, nil, `"9999-12-31T23:59:59-01:00"`, ""},
		{nil, nil, `""`, ""},
		{[]string{RFC3339}, nil, `"2001-02-03 04:05:06"`, ""},
		{[]string{EpochMillis}, nil, `"981173106007"`, ""},
		{[]string{EpochMillis}, nil, `1.5`, ""},
		{[]string{EpochMillis}, nil, `253402300800000`, ""},
		{[]string{EpochMillis}, nil, `-62167219200001`, ""},
	} {
		rows, rejects := decode(t, schema, Config{Format: &JSONFormat{TimestampFormats: tc.formats}, Zone: tc.zone}, `{"t":`+tc.in+`}`)
		got := ""
		if len(rows) == 1 {
			got = strings.Trim(strings.TrimPrefix(rows[0], `100 {"t":`), `"}`)
		}
		if got != tc.want {
			t.Errorf("%s as %v: got %q %v, want %q", tc.in, tc.formats, got, rejects, tc.want)
		}
	}
}
