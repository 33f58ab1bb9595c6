package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline/table"
)

// reference is what the standard library makes of one event of the flights
// schema: a value per column as AppendJSON prints it, or not a row. It is slow
// and follows Decode's comment line by line.
func reference(event []byte) (row []string, ok bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(event, &fields) != nil || fields == nil || repeats(event) {
		return nil, false
	}
	for _, c := range flights.Columns {
		raw, there := fields[c.Name]
		if !there || string(raw) == "null" {
			if !c.Nullable {
				return nil, false
			}
			row = append(row, "null")
			continue
		}
		value, ok := referenceValue(c.Type, raw)
		if !ok {
			return nil, false
		}
		row = append(row, value)
	}
	return row, true
}

// repeats reports whether an object has a column's field twice.
func repeats(object []byte) bool {
	d := json.NewDecoder(bytes.NewReader(object))
	d.Token() // the brace
	seen := make(map[string]bool)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false
		}
		for _, c := range flights.Columns {
			if name == c.Name && seen[c.Name] {
				return true
			}
		}
		seen[fmt.Sprint(name)] = true
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return false
		}
	}
	return false
}

var (
	loneSurrogate = regexp.MustCompile(`^(?:[^\\]|\\[^u]|\\u[^dD]...|\\u[dD][0-7]..|\\u[dD][89aAbB]..\\u[dD][c-fC-F]..)*$`)
	rfc3339       = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	naive         = regexp.MustCompile(`^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?$`)
	longFraction  = regexp.MustCompile(`(\.\d{6})\d+`)
)

func referenceValue(typ table.Type, raw json.RawMessage) (value string, ok bool) {
	number := raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'
	var text string
	if raw[0] == '"' {
		if json.Unmarshal(raw, &text) != nil {
			return "", false
		}
	}
	switch typ {
	case table.Int64:
		if !number || tooLong(raw) {
			return "", false
		}
		exact, ok := new(big.Rat).SetString(string(raw))
		if !ok || !exact.IsInt() || !exact.Num().IsInt64() {
			return "", false
		}
		return exact.Num().String(), true
	case table.Float64:
		if !number {
			return "", false
		}
		f, err := strconv.ParseFloat(string(raw), 64)
		return string(appendFloat(nil, f)), err == nil
	case table.Bool:
		return string(raw), raw[0] == 't' || raw[0] == 'f'
	case table.String:
		return string(appendString(nil, text)), raw[0] == '"' && utf8.Valid(raw) && loneSurrogate.Match(raw)
	case table.Timestamp:
		var at time.Time
		var err error
		switch text = longFraction.ReplaceAllString(text, "$1"); {
		case raw[0] != '"':
			return "", false
		case rfc3339.MatchString(text):
			at, err = time.Parse(time.RFC3339, text)
		case naive.MatchString(text) && text[10] == 'T':
			at, err = time.Parse("2006-01-02T15:04:05", text)
		case naive.MatchString(text):
			at, err = time.Parse(time.DateTime, text)
		case len(text) == len("2006-01-02 15:04"):
			at, err = time.Parse("2006-01-02 15:04", text)
		case len(text) == len(time.DateOnly):
			at, err = time.Parse(time.DateOnly, text)
		default:
			return "", false
		}
		if year := at.UTC().Year(); err != nil || year < 0 || year > 9999 {
			return "", false
		}
		return string(appendTime(nil, at.UnixMicro())), true
	}
	return "", false
}

// tooLong reports an exponent with which big.Rat would fill the memory. Such a
// number is no int64, unless it is zero.
func tooLong(raw []byte) bool {
	_, exponent, found := bytes.Cut(bytes.ToLower(raw), []byte("e"))
	n, err := strconv.Atoi(string(exponent))
	return found && (err != nil || n > 1000 || n < -1000)
}

// zeroWithLargeExponent is the one case that reference leaves out.
var zeroWithLargeExponent = regexp.MustCompile(`-?0(\.0+)?[eE][+-]?\d{3,}`)

func FuzzDecodeAgreesWithEncodingJSON(f *testing.F) {
	for _, seed := range []string{
		`{"date":"2001-01-13T13:56:00.5+02:00","delay":-3,"distance":337.5,"origin":"SFO","cancelled":false}`,
		`{"date":"2001-01-13 13:56:00","delay":1e3,"distance":1.7976931348623157e308,"origin":"\ud83d\ude00\"\\\/\b\f\n\r\t","cancelled":true}`,
		`{"origin":"ü","date":"2000-02-29T00:00:00Z","extra":[1,{"a":null,"b":[]},"x\u0041"],"delay":9223372036854775807}`,
		`{"origin":"a long word that takes more than a load","\u0064ate":"2001-01-13T13:56:00","delay":1,"delay":null,"distance":0.1}`,
		`{"origin":"\ud800\u0041","date":"9999-12-31T23:59:59.9999999Z"}`,
		`{"delay":1234567890123456789,"distance":9007199254740993,"origin":"","date":"0000-01-01T00:00:00Z"}`,
		` { "delay" : -0.0 , "distance":-0e-0 } `,
		`{"a":{"b":{"c":[[],{}]}},"origin":null}`,
		`[]`, `null`, `{`, `{}x`, "{\"origin\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	d, err := NewDecoder(flights, Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, event []byte) { compare(t, d, event) })
}

// compare holds a decoder against reference.
func compare(t *testing.T, d *Decoder, event []byte) {
	if bytes.Count(event, []byte("{"))+bytes.Count(event, []byte("[")) >= maxDepth || zeroWithLargeExponent.Match(event) {
		return
	}
	// Twice, with the event's field order learned and not.
	ends := []int{len(event), 2 * len(event)}
	rec, rejects, err := d.Decode(t.Context(), Events{Values: append(event, event...), Ends: ends, Offsets: []int64{7, 8}})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	want, ok := reference(event)
	if ok != (len(rejects) == 0) || !ok && len(rejects) != 2 {
		t.Fatalf("%q: accepted: %v; rejects: %+v", event, ok, rejects)
	}
	for i := range int(rec.NumRows()) {
		var got []string
		for c := range flights.Columns {
			got = append(got, string(appendValue(nil, rec.Column(c), i)))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-encoding/json +event):\n%s", event, diff)
		}
	}
}

// TestDecodeAgreesWithEncodingJSONOnGarbledEvents assembles events from pieces
// that mostly fit together, which finds more than mutated bytes do.
func TestDecodeAgreesWithEncodingJSONOnGarbledEvents(t *testing.T) {
	names := []string{`"date"`, `"delay"`, `"distance"`, `"origin"`, `"cancelled"`, `"gate"`, `"\u0064elay"`, `""`}
	values := []string{
		`"2001-01-13T13:56:00Z"`, `"2001-01-13 13:56:00.123456789"`, `"2001-02-29T00:00:00"`, `"2001-01-13T23:56:00-23:59"`,
		`0`, `-0`, `7`, `-12`, `1e3`, `1.0`, `1.5`, `9223372036854775807`, `-9223372036854775809`, `123456789012345678901234567890`,
		`0.1`, `3.141592653589793238`, `1e308`, `2e308`, `5e-324`, `9007199254740993`, `90071992547409.93e2`, `01`, `1.`, `-`, `1e`, `+1`,
		`true`, `false`, `null`, `tru`, `nulll`, `""`, `"SFO"`, `"eight by"`, `"a longer word"`, `"ü"`, `"\u00fc\n"`, `"\ud83d\ude00"`, `"\ud83d"`,
		`"\ude00\ud83d"`, `"\x"`, `"\u12"`, "\"\xff\"", "\"\x1f\"", `"open`, `[]`, `{}`, `[1,[2,{"a":[]}],"x"]`, `{"a":{"b":null,"c":-1e-1}}`, `[1,]`, `{"a"}`, `[}`,
	}
	blanks := []string{"", "", "", "", " ", "\t", "\r\n", "\v"}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	good := map[string]string{`"date"`: values[0], `"delay"`: `7`, `"distance"`: `0.1`, `"origin"`: `"SFO"`, `"cancelled"`: `true`, `"gate"`: `[]`, `""`: `""`}
	d, err := NewDecoder(flights, Config{})
	if err != nil {
		t.Fatal(err)
	}
	nested, err := NewDecoder(nestedFlights(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for range 20_000 {
		var b bytes.Buffer
		b.WriteString(pick(blanks) + "{" + pick(blanks))
		b.WriteString(`"origin":"LAX","date":"2001-01-13 13:56:00"`)
		for range random.IntN(6) {
			if random.IntN(100) > 0 {
				b.WriteString("," + pick(blanks))
			}
			name := pick(names)
			value := good[name]
			if random.IntN(3) == 0 {
				value = pick(values)
			}
			b.WriteString(name + pick(blanks))
			if random.IntN(100) > 0 {
				b.WriteString(":")
			}
			b.WriteString(pick(blanks) + value + pick(blanks))
		}
		if random.IntN(100) > 0 {
			b.WriteString("}")
		}
		b.WriteString(pick(blanks))
		compareNested(t, d, nested, b.Bytes())
		if compare(t, d, b.Bytes()); !t.Failed() {
			if _, ok := reference(b.Bytes()); ok {
				rows++
			}
		}
	}
	if rows < 3000 {
		t.Errorf("only %d events were rows", rows)
	}
}

func FuzzRowsSurviveTheRoundTrip(f *testing.F) {
	f.Add(int64(1), int64(2), 3.5, "SFO", true, uint8(0))
	f.Add(int64(-62167219200000000), int64(-1<<63), 1e21, "\"\\\n\u2028\U0001F600\x00", false, uint8(0b10101))
	f.Add(int64(253402300799999999), int64(1<<63-1), 5e-324, "ü", false, uint8(0b01010))
	d, err := NewDecoder(nullableFlights(), Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, us, delay int64, distance float64, origin string, cancelled bool, nulls uint8) {
		if us < table.MinMicros || us > table.MaxMicros || distance-distance != 0 || !utf8.ValidString(origin) {
			return // what JSON cannot carry
		}
		row := []string{
			string(appendTime(nil, us)), fmt.Sprint(delay), string(appendFloat(nil, distance)),
			string(appendString(nil, origin)), fmt.Sprint(cancelled),
		}
		event := []byte("{")
		for i, c := range flights.Columns {
			if nulls>>i&1 == 1 {
				row[i] = "null"
			}
			event = fmt.Appendf(event, "%q:%s,", c.Name, row[i])
		}
		event[len(event)-1] = '}'
		rec, rejects, err := d.Decode(t.Context(), Events{Values: event, Ends: []int{len(event)}, Offsets: []int64{42}})
		if err != nil || rejects != nil {
			t.Fatalf("%s: %v %+v", event, err, rejects)
		}
		defer rec.Release()
		if got := AppendJSON(nil, rec, 0); !bytes.Equal(got, event) {
			t.Errorf("%s came back as %s", event, got)
		}
		if got := rec.Column(4); nulls>>4&1 == 0 && got.(*array.Boolean).Value(0) != cancelled {
			t.Errorf("cancelled: %v", got)
		}
		if got := rec.Column(0).(*array.Timestamp); nulls&1 == 0 && int64(got.Value(0)) != us {
			t.Errorf("date: got %d, want %d", got.Value(0), us)
		}
		if got := rec.Column(2).(*array.Float64); nulls>>2&1 == 0 && got.Value(0) != distance {
			t.Errorf("distance: got %g, want %g", got.Value(0), distance)
		}
	})
}

func nullableFlights() table.Schema {
	s := table.Schema{Columns: append([]table.Column(nil), flights.Columns...)}
	for i := range s.Columns {
		s.Columns[i].Nullable = true
	}
	return s
}

// appendFloat appends the text of a float, null where it is not finite.
func appendFloat(dst []byte, f float64) []byte {
	if text, ok := table.AppendFloat(dst, f); ok {
		return text
	}
	return append(dst, "null"...)
}

// appendTime appends a time in RFC 3339 and quotes, null where it has no form.
func appendTime(dst []byte, us int64) []byte {
	if us < table.MinMicros || us > table.MaxMicros {
		return append(dst, "null"...)
	}
	return time.UnixMicro(us).UTC().AppendFormat(dst, `"`+timeLayout+`"`)
}
