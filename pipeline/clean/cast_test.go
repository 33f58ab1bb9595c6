package clean

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// conversionCases are single values and what they become; nil: no form.
var conversionCases = map[conversion][]struct{ in, want any }{
	{table.String, table.Int64}: {{"12", int64(12)}, {"-9223372036854775808", int64(math.MinInt64)}, {"+3", int64(3)},
		{"9223372036854775808", nil}, {" 1", nil}, {"1.0", nil}, {"", nil}, {"1_0", nil}, {"0x1", nil}},
	{table.String, table.Float64}: {{"1.5", 1.5}, {"-1e3", -1000.0}, {".5", 0.5}, {"1e-400", 0.0},
		{"1e999", nil}, {"NaN", nil}, {"inf", nil}, {"0x1p-2", nil}, {"1_0", nil}, {"", nil}, {"1 ", nil}},
	{table.String, table.Bool}: {{"true", true}, {"FALSE", false}, {"1", true}, {"0", false}, {"yes", nil}, {"", nil}},
	{table.String, table.Timestamp}: {{"1970-01-01T00:00:01.0000019Z", int64(1e6 + 1)}, {"1970-01-01T01:00:00+01:00", int64(0)},
		{"1970-01-02 00:00:00", int64(86400e6)}, {"1970-01-02T00:00:00.5", int64(86400e6 + 5e5)}, {"1970-01-02", int64(86400e6)},
		{"1969-12-31T23:59:59.9999999Z", int64(-1)}, {"1970-13-01", nil}, {"12:00", nil}, {"", nil}},
	{table.Int64, table.String}:    {{int64(-12), "-12"}, {int64(0), "0"}},
	{table.Int64, table.Float64}:   {{int64(3), 3.0}, {int64(1<<53 + 1), float64(1 << 53)}},
	{table.Int64, table.Bool}:      {{int64(0), false}, {int64(1), true}, {int64(2), nil}, {int64(-1), nil}},
	{table.Int64, table.Timestamp}: {{int64(5), int64(5)}},
	{table.Float64, table.String}: {{0.1, "0.1"}, {0.0, "0"}, {math.Copysign(0, -1), "-0"}, {3.0, "3"}, {1e21, "1e+21"}, {1e-7, "1e-07"}, {1e20, "100000000000000000000"},
		{math.NaN(), nil}, {math.Inf(-1), nil}},
	{table.Float64, table.Int64}: {{3.0, int64(3)}, {math.Copysign(0, -1), int64(0)}, {3.5, nil}, {math.NaN(), nil}, {math.Inf(1), nil},
		{float64(1 << 63), nil}, {-float64(1 << 63), int64(math.MinInt64)}},
	{table.Float64, table.Bool}:      {{0.0, false}, {1.0, true}, {0.5, nil}, {math.NaN(), nil}},
	{table.Float64, table.Timestamp}: {{5.0, int64(5)}, {5.5, nil}, {math.Inf(1), nil}},
	{table.Bool, table.String}:       {{true, "true"}, {false, "false"}},
	{table.Bool, table.Int64}:        {{true, int64(1)}, {false, int64(0)}},
	{table.Bool, table.Float64}:      {{true, 1.0}, {false, 0.0}},
	{table.Timestamp, table.String}: {{int64(0), "1970-01-01T00:00:00Z"}, {int64(1500000), "1970-01-01T00:00:01.5Z"},
		{int64(-1), "1969-12-31T23:59:59.999999Z"}, {int64(math.MaxInt64), nil}},
	{table.Timestamp, table.Int64}:   {{int64(7), int64(7)}},
	{table.Timestamp, table.Float64}: {{int64(7), 7.0}},
}

func TestCast(t *testing.T) {
	for pair := range casts {
		cases, ok := conversionCases[pair]
		if !ok {
			t.Errorf("no cases for %s to %s", pair.from, pair.to)
			continue
		}
		in, toNull, dropped := [][]any{{nil}}, [][]any{{nil, int64(0)}}, [][]any{{nil, int64(0)}}
		failed := int64(0)
		for i, tc := range cases {
			in = append(in, []any{tc.in})
			toNull = append(toNull, []any{tc.want, int64(i + 1)})
			if tc.want == nil {
				failed++
			} else {
				dropped = append(dropped, []any{tc.want, int64(i + 1)})
			}
		}
		name := string(pair.from + " to " + pair.to)
		step := Cast{Column: "c", Type: pair.to}
		c, mem := chainOf(t, columns("c", string(pair.from)), stepOf(&step))
		rows, rep := apply(t, c, mem, in...)
		check(t, name, rows, toNull)
		if rep.Changed["1 cast c"] != int64(len(cases))-failed || rep.Changed["1 cast c to null"] != failed {
			t.Errorf("%s: counted %v, want %d of %d without a form", name, rep.Changed, failed, len(cases))
		}

		step.OnError = "drop"
		c, mem = chainOf(t, columns("c", string(pair.from)), stepOf(&step))
		rows, rep = apply(t, c, mem, in...)
		check(t, name+", dropping", rows, dropped)
		if n := rep.Dropped["1 cast: c is not "+string(pair.to)]; n != failed {
			t.Errorf("%s: counted %v, want %d dropped", name, rep.Dropped, failed)
		}
	}
}

func TestTextWithoutAnOffsetIsReadInTheZoneOfTheSchema(t *testing.T) {
	p, err := compile(t, "America/New_York", columns("c", "string"), stepOf(&Cast{Column: "c", Type: table.Timestamp}))
	if err != nil {
		t.Fatal(err)
	}
	c := New(p, pipeline.InTraining)
	rows, _ := apply(t, c, memory.DefaultAllocator, []any{"1970-01-01 00:00:00"}, []any{"1970-01-01T00:00:00Z"})
	check(t, "rows", rows, [][]any{{int64(5 * time.Hour / time.Microsecond), int64(0)}, {int64(0), int64(1)}})
}

func TestCastToTextAndBackIsTheSame(t *testing.T) {
	for _, typ := range []table.Type{table.Int64, table.Float64, table.Bool, table.Timestamp} {
		c, mem := chainOf(t, columns("c", string(typ)),
			stepOf(&Cast{Column: "c", Type: table.String}),
			stepOf(&Cast{Column: "c", Type: typ}))
		values := map[table.Type][]any{
			table.Int64:     {int64(0), int64(math.MinInt64), int64(math.MaxInt64)},
			table.Float64:   {0.1, -1e300, 5e-324, 1.0 / 3, 1e21, 1e-6},
			table.Bool:      {true, false},
			table.Timestamp: {int64(0), int64(-1), int64(1e15 + 1)},
		}[typ]
		var in, want [][]any
		for i, v := range values {
			in, want = append(in, []any{v}), append(want, []any{v, int64(i)})
		}
		rows, _ := apply(t, c, mem, in...)
		check(t, string(typ), rows, want)
	}
}

func TestCastMakesADictionaryOfDistinctTexts(t *testing.T) {
	c, mem := chainOf(t, columns("c", "int64"), stepOf(&Cast{Column: "c", Type: table.String}))
	batch := tabletest.Batch(mem, c.Input(), 0, []any{int64(2)}, []any{int64(1)}, []any{int64(2)})
	defer batch.Release()
	out, err := c.Apply(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	check(t, "dictionary", dictionary(out.Column(0)), []string{"2", "1"})
}

// Text is taken as the spec declares it, and in no other form.
func TestCastTakesTextInTheFormsThatAreDeclared(t *testing.T) {
	words := Cast{Type: table.Bool, TrueWords: []string{"Ja", "ÉTÉ"}, FalseWords: []string{"nein"}}
	german := Cast{Type: table.Float64, Thousands: ".", DecimalComma: true}
	for _, tc := range []struct {
		step Cast
		in   string
		want any
	}{
		{words, "JA", true}, {words, "été", true}, {words, "Nein", false}, {words, "true", nil}, {words, "1", nil}, {words, "", nil},
		{german, "-1.234.567,5", -1234567.5}, {german, "1234,5e1", 12345.0}, {german, ",5", 0.5}, {german, "7", 7.0},
		{german, "1.23", nil}, {german, "1.2345", nil}, {german, "1234.567", nil}, {german, ".123", nil}, {german, "1..234", nil}, {german, "1,5.000", nil},
		{german, "1.234,5,6", nil}, {german, "1,234.5", nil}, {german, "NaN", nil}, {german, "", nil}, {german, "1e1.000", nil},
		{Cast{Type: table.Float64, DecimalComma: true}, "1,5", 1.5}, {Cast{Type: table.Float64, DecimalComma: true}, "1.5", nil},
		{Cast{Type: table.Int64, Thousands: "\u202f"}, "+9\u202f223\u202f372\u202f036\u202f854\u202f775\u202f807", int64(math.MaxInt64)},
		{Cast{Type: table.Int64, Thousands: "'"}, "1'000", int64(1000)}, {Cast{Type: table.Int64, Thousands: "'"}, "1'-00", nil}, {Cast{Type: table.Int64, Thousands: "'"}, "-'100", nil},
		{Cast{Type: table.Int64, Thousands: "."}, "-1.234.567", int64(-1234567)}, {Cast{Type: table.Int64, Thousands: "."}, "1234", int64(1234)},
		{Cast{Type: table.Int64, Thousands: "."}, "1.5", nil}, {Cast{Type: table.Int64, Thousands: "."}, "1.234,0", nil}, {Cast{Type: table.Int64, Thousands: "."}, "1,5", nil},
		{Cast{Type: table.Int64, Thousands: ","}, "1,000.0", nil}, {Cast{Type: table.Int64, Thousands: ","}, "9,223,372,036,854,775,808", nil},
		{Cast{Type: table.Timestamp, TimestampFormats: []string{"02.01.2006", "rfc3339"}}, "02.01.1970", int64(86400e6)},
		{Cast{Type: table.Timestamp, TimestampFormats: []string{"02.01.2006", "rfc3339"}}, "1970-01-01T01:00:00+01:00", int64(0)},
		{Cast{Type: table.Timestamp, TimestampFormats: []string{"02.01.2006", "rfc3339"}}, "1970-01-01", nil},
		{Cast{Type: table.Timestamp, TimestampFormats: []string{"02.01.2006"}}, "31.02.1970", nil},
		{Cast{Type: table.Timestamp, TimestampFormats: []string{time.RFC1123}}, "Fri, 02 Jan 1970 00:00:00 GMT", int64(86400e6)},
		{Cast{Type: table.Timestamp, TimestampFormats: []string{time.RFC1123}}, "Fri, 02 Jan 1970 00:00:00 PST", nil},
		{Cast{Type: table.Timestamp, TimestampFormats: []string{time.RFC1123Z}}, "Fri, 02 Jan 1970 00:00:00 +0000", int64(86400e6)},
	} {
		tc.step.Column = "c"
		c, mem := chainOf(t, columns("c", "string"), stepOf(&tc.step))
		rows, _ := apply(t, c, mem, []any{tc.in}, []any{nil})
		check(t, tc.in, rows, [][]any{{tc.want, int64(0)}, {nil, int64(1)}})
	}
}

func TestCastSaysWhichFormsFitNothing(t *testing.T) {
	in := columns("s", "string", "i", "int64")
	for want, step := range map[string]string{
		"cast.timestamp_formats: timestamp_formats needs type: timestamp":         `{cast: {column: s, type: int64, timestamp_formats: ["2006"]}}`,
		`cast.timestamp_formats[0]: "15:04" is not a layout with a date`:          `{cast: {column: s, type: timestamp, timestamp_formats: ["15:04"]}}`,
		"cast.thousands: thousands needs type: float64":                           `{cast: {column: s, type: bool, thousands: ","}}`,
		`cast.thousands: "." is not one character that can stand between digits`:  `{cast: {column: s, type: float64, thousands: "."}}`,
		`cast.thousands: "," is not one character that can stand between digits`:  `{cast: {column: s, type: float64, thousands: ",", decimal_comma: true}}`,
		`cast.thousands: ", " is not one character that can stand between digits`: `{cast: {column: s, type: float64, thousands: ", "}}`,
		"cast.decimal_comma: decimal_comma needs type: float64":                   `{cast: {column: s, type: int64, decimal_comma: true}}`,
		"cast: true_words needs false_words, and they need it":                    `{cast: {column: s, type: bool, true_words: ["y"]}}`,
		`cast.false_words[1]: "YES" is among true_words`:                          `{cast: {column: s, type: bool, true_words: ["yes"], false_words: ["no", "YES"]}}`,
		"cast.column: column i is int64: formats are those of strings":            `{cast: {column: i, type: float64, thousands: ","}}`,
	} {
		_, err := compile(t, "UTC", in, step)
		if err == nil || !strings.Contains(err.Error(), ": spec.preprocessing.clean[0]."+want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
