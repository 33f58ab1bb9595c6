package event

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// flightsAvro is a writer's schema of the flights, with fields that are no
// columns between them.
const flightsAvro = `{"type":"record","name":"Flight","namespace":"air","fields":[
	{"name":"gate","type":{"type":"record","name":"Gate","fields":[
		{"name":"letter","type":{"type":"enum","name":"Letter","symbols":["A","B"]}},
		{"name":"next","type":["null","Gate"]},
		{"name":"seats","type":{"type":"array","items":{"type":"map","values":["int","string"]}}},
		{"name":"raw","type":{"type":"fixed","name":"Raw","size":3}},
		{"name":"nothing","type":{"type":"array","items":"null"}}]}},
	{"name":"origin","type":["string",{"type":"enum","name":"Code","symbols":["SFO","LAX"]},"bytes"]},
	{"name":"date","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"delay","type":["null","long","int"]},
	{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
	{"name":"distance","type":["null","double","float","int","long"]},
	{"name":"cancelled","type":["boolean","null"]},
	{"name":"other","type":"Gate"}]}`

// flight is a value of flightsAvro as the library encodes it.
func flight(date time.Time, delay, distance, origin, cancelled any) map[string]any {
	gate := map[string]any{"letter": "B", "next": map[string]any{"letter": "A", "next": nil, "seats": []any{}, "raw": []byte("abc"), "nothing": []any{nil, nil}},
		"seats": []any{map[string]any{"a": int32(1), "b": "x"}}, "raw": []byte{0, 1, 2}, "nothing": []any{}}
	return map[string]any{"gate": gate, "origin": origin, "date": date, "delay": delay, "price": []byte{1, 2}, "distance": distance, "cancelled": cancelled, "other": gate}
}

// flightEvents are events of flightsAvro of all sorts.
func flightEvents(t testing.TB) (events []string) {
	schema := avro.MustParse(flightsAvro)
	at := time.Date(2001, 1, 13, 13, 56, 0, 123456000, time.UTC)
	for _, v := range []map[string]any{
		flight(at, nil, 337.5, "SFO", false),
		flight(at.Add(time.Hour), int64(-3), float64(0), "a longer word, ü", true),
		flight(at, int64(math.MaxInt64), nil, "", nil),
		flight(at, int64(math.MinInt64), math.MaxFloat64, "LAX", nil),
	} {
		b, err := schema.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, string(b))
	}
	return events
}

func plainAvro(schema string) Config {
	return Config{Format: &AvroFormat{SchemaFile: "s3://lake/event.avsc"}, Schema: schema}
}

// registered is the format of events whose schemas a registry has.
func registered() *AvroFormat { return &AvroFormat{SchemaRegistry: "schemas"} }

func TestAvroEventsBecomeRowsInOrder(t *testing.T) {
	rows, rejects := decode(t, flights, plainAvro(flightsAvro), flightEvents(t)...)
	want := []string{
		`100 {"date":"2001-01-13T13:56:00.123456Z","delay":null,"distance":337.5,"origin":"SFO","cancelled":false}`,
		`101 {"date":"2001-01-13T14:56:00.123456Z","delay":-3,"distance":0,"origin":"a longer word, ü","cancelled":true}`,
		`102 {"date":"2001-01-13T13:56:00.123456Z","delay":9223372036854775807,"distance":null,"origin":"","cancelled":null}`,
		`103 {"date":"2001-01-13T13:56:00.123456Z","delay":-9223372036854775808,"distance":1.7976931348623157e+308,"origin":"LAX","cancelled":null}`,
	}
	if diff := cmp.Diff(want, rows); diff != "" || len(rejects) > 0 {
		t.Errorf("rows (-want +got):\n%s\nrejects: %v", diff, rejects)
	}
}

// avroOf encodes a record of one field.
func avroOf(t *testing.T, typ string, value any) (schema, event string) {
	t.Helper()
	schema = `{"type":"record","name":"R","fields":[{"name":"v","type":` + typ + `}]}`
	b, err := avro.MustParse(schema).Encode(map[string]any{"v": value})
	if err != nil {
		t.Fatalf("%s: %v", typ, err)
	}
	return schema, string(b)
}

func TestAvroTypesBecomeColumns(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	logical := func(typ, name string) string { return `{"type":"` + typ + `","logicalType":"` + name + `"}` }
	const us = 994_154_645_678_901 // 2001-07-03T10:04:05.678901Z
	at := time.UnixMicro(us).UTC()
	for _, tc := range []struct {
		typ    string
		value  any
		column table.Type
		want   string // as AppendJSON prints it, or a part of the reject's reason
	}{
		{`"boolean"`, true, table.Bool, `true`},
		{`"int"`, int32(-7), table.Int64, `-7`},
		{`"long"`, int64(1) << 40, table.Int64, `1099511627776`},
		{`"int"`, int32(-7), table.Float64, `-7`},
		{`"long"`, int64(1)<<53 + 1, table.Float64, `9007199254740992`},
		{`"float"`, float32(0.1), table.Float64, `0.10000000149011612`},
		{`"double"`, 0.1, table.Float64, `0.1`},
		{`"string"`, "ü", table.String, `"ü"`},
		{logical("string", "uuid"), "00000000-0000-0000-0000-000000000001", table.String, `"00000000-0000-0000-0000-000000000001"`},
		{`{"type":"enum","name":"E","symbols":["A","LONGER_THAN_8"]}`, "LONGER_THAN_8", table.String, `"LONGER_THAN_8"`},
		{`["null",{"type":"enum","name":"E","symbols":["A"]},"string"]`, "A", table.String, `"A"`},
		{`["null","string"]`, nil, table.String, `null`},
		{`"null"`, nil, table.Int64, `null`},
		{logical("long", "timestamp-millis"), at.Truncate(time.Millisecond), table.Timestamp, `"2001-07-03T10:04:05.678Z"`},
		{logical("long", "timestamp-micros"), at, table.Timestamp, `"2001-07-03T10:04:05.678901Z"`},
		{logical("long", "timestamp-nanos"), at, table.Timestamp, `"2001-07-03T10:04:05.678901Z"`},
		{logical("long", "local-timestamp-millis"), at.Truncate(time.Millisecond), table.Timestamp, `"2001-07-03T08:04:05.678Z"`},
		{logical("long", "local-timestamp-micros"), at, table.Timestamp, `"2001-07-03T08:04:05.678901Z"`},
		{logical("long", "local-timestamp-nanos"), at, table.Timestamp, `"2001-07-03T08:04:05.678901Z"`},
		{logical("int", "date"), at.Truncate(24 * time.Hour), table.Timestamp, `"2001-07-02T22:00:00Z"`},
		{`"string"`, "2001-07-03T10:04:05Z", table.Timestamp, `"2001-07-03T10:04:05Z"`},
		{`"string"`, "2001-07-03 10:04:05", table.Timestamp, `"2001-07-03T08:04:05Z"`},
		{logical("int", "time-millis"), time.Duration(7) * time.Millisecond, table.Int64, `7000`},
		{logical("long", "time-micros"), time.Duration(7) * time.Microsecond, table.Int64, `7`},
		{`{"type":"long","logicalType":"my-own"}`, int64(7), table.Int64, `7`},
		{`{"type":"string","logicalType":"timestamp-micros"}`, "x", table.String, `"x"`},

		{`"string"`, "7", table.Int64, `found string at byte 0`},
		{`"bytes"`, []byte("x"), table.String, `found bytes at byte 0`},
		{`{"type":"fixed","name":"F","size":1}`, []byte("x"), table.String, `found fixed at byte 0`},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, big.NewRat(-1999, 100), table.Float64, `-19.99`},
		{`{"type":"bytes","logicalType":"decimal","precision":38,"scale":10}`, new(big.Rat).SetFrac(pow10(30), pow10(10)), table.Float64, `100000000000000000000`},
		{`{"type":"fixed","name":"F","size":12,"logicalType":"decimal","precision":20,"scale":1}`, big.NewRat(-1, 10), table.Float64, `-0.1`},
		{`["null",{"type":"bytes","logicalType":"decimal","precision":4}]`, big.NewRat(7, 1), table.Float64, `7`},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, big.NewRat(1, 1), table.String, `found decimal at byte 0`},
		{`"double"`, 7.0, table.Int64, `found double at byte 0`},
		{`"long"`, int64(7), table.Timestamp, `found long at byte 0`},
		{`"int"`, int32(7), table.Timestamp, `found int at byte 0`},
		{logical("long", "timestamp-millis"), at.Truncate(time.Millisecond), table.Int64, `found timestamp-millis at byte 0`},
		{logical("int", "date"), at.Truncate(24 * time.Hour), table.Int64, `found date at byte 0`},
		{`{"type":"array","items":"int"}`, []any{int32(1)}, table.Int64, `found array at byte 0`},
		{`{"type":"map","values":"int"}`, map[string]any{"a": int32(1)}, table.Int64, `found map at byte 0`},
		{`{"type":"record","name":"S","fields":[]}`, map[string]any{}, table.String, `found record at byte 0`},
		{`["null","bytes","int"]`, []byte("x"), table.Int64, `found bytes at byte 1`},
		{`"double"`, math.NaN(), table.Float64, `found a number that is not finite at byte 0`},
		{`"float"`, float32(math.Inf(-1)), table.Float64, `found a number that is not finite at byte 0`},
		{`"string"`, "noon", table.Timestamp, `found a string that is not one at byte 0`},
	} {
		schema, event := avroOf(t, tc.typ, tc.value)
		columns := table.Schema{Columns: []table.Column{{Name: "v", Type: tc.column, Nullable: true}}}
		cfg := registryOf(map[uint32]string{7: schema})
		cfg.Zone = berlin
		rows, rejects := decode(t, columns, cfg, wire(7, event))
		var got string
		if len(rows) == 1 {
			got = strings.TrimSuffix(strings.TrimPrefix(rows[0], `100 {"v":`), "}")
		} else {
			got = rejects[0].Reason
			tc.want = strings.Replace(tc.want, "at byte 0", "at byte 5", 1)
			tc.want = strings.Replace(tc.want, "at byte 1", "at byte 6", 1)
			tc.want = got[:max(0, len(got)-len(tc.want))] + tc.want
		}
		if got != tc.want {
			t.Errorf("%s %v as %s: got %s, want %s", tc.typ, tc.value, tc.column, got, tc.want)
		}
		// A schema of all events that no column can take is refused at once.
		_, err := NewDecoder(columns, plainAvro(schema))
		if whole := strings.Contains(tc.want, "byte 5") && !strings.Contains(tc.want, "finite") && !strings.Contains(tc.want, "string that"); whole != thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s as %s in a file: %v", tc.typ, tc.column, err)
		}
	}
}

func TestAvroTimesOutsideTheYearsAreRejected(t *testing.T) {
	columns := table.Schema{Columns: []table.Column{{Name: "v", Type: table.Timestamp}}}
	for typ, values := range map[string][]int64{
		`{"type":"int","logicalType":"date"}`:                    {math.MaxInt32, math.MinInt32, 2932897, -719529},
		`{"type":"long","logicalType":"timestamp-millis"}`:       {math.MaxInt64, math.MinInt64, 253402300800000, -62167219200001},
		`{"type":"long","logicalType":"timestamp-micros"}`:       {math.MaxInt64, math.MinInt64, 253402300800000000, -62167219200000001},
		`{"type":"long","logicalType":"local-timestamp-micros"}`: {math.MaxInt64, math.MinInt64, 253402300800000000, -62167219200000001},
	} {
		for i, v := range values {
			schema := `{"type":"record","name":"R","fields":[{"name":"v","type":` + typ + `}]}`
			rows, rejects := decode(t, columns, plainAvro(schema), string(binary.AppendVarint(nil, v)))
			if len(rejects) != 1 || !strings.Contains(rejects[0].Reason, foundFarTime) {
				t.Errorf("%s %d: %v %v", typ, v, rows, rejects)
			}
			if i < 2 {
				continue
			}
			near := v - 1
			if v < 0 {
				near = v + 1
			}
			if rows, rejects := decode(t, columns, plainAvro(schema), string(binary.AppendVarint(nil, near))); len(rows) != 1 {
				t.Errorf("%s %d: %v", typ, near, rejects)
			}
		}
	}
}

func TestAvroNumbersAreTimesIfTheSpecSaysSo(t *testing.T) {
	schema, event := avroOf(t, `"long"`, int64(994_154_645_678))
	cfg := plainAvro(schema)
	cfg.Format.(*AvroFormat).TimestampFormats = []string{RFC3339, EpochMillis}
	rows, rejects := decode(t, table.Schema{Columns: []table.Column{{Name: "v", Type: table.Timestamp}}}, cfg, event)
	if len(rows) != 1 || rows[0] != `100 {"v":"2001-07-03T10:04:05.678Z"}` {
		t.Errorf("%v %v", rows, rejects)
	}
}

// registry is a Schemas of a test. Schemas are asked for side by side.
type registry struct {
	schemas map[uint32]string
	err     error
	asked   atomic.Int64
}

func (r *registry) Schema(_ context.Context, id uint32) ([]string, error) {
	r.asked.Add(1)
	text, ok := r.schemas[id]
	switch {
	case r.err != nil:
		return nil, r.err
	case !ok:
		return nil, &thalweg.Error{Kind: thalweg.NotFound}
	}
	return strings.Split(text, "\n---\n"), nil
}

func registryOf(schemas map[uint32]string) Config {
	return Config{Format: registered(), Schemas: &registry{schemas: schemas}}
}

func wire(id uint32, event string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, id)) + event
}

var oneText = table.Schema{Columns: []table.Column{{Name: "v", Type: table.String}}}

func TestAvroEventsAreReadByTheSchemaTheyWereWrittenWith(t *testing.T) {
	first, a := avroOf(t, `"string"`, "a")
	second := `{"type":"record","name":"R","fields":[{"name":"new","type":"double"},{"name":"v","type":["null","string"]}]}`
	b, err := avro.MustParse(second).Encode(map[string]any{"new": 1.5, "v": "b"})
	if err != nil {
		t.Fatal(err)
	}
	known := &registry{schemas: map[uint32]string{1: first, 2: second, 3: `{"type":"record","name":"x.In","fields":[{"name":"n","type":"int"}]}` + "\n---\n" +
		`{"type":"record","name":"x.R","fields":[{"name":"in","type":"In"},{"name":"v","type":"string"},{"name":"out","type":["null","x.In"]}]}`,
		4: `"string"`, 5: `{"type":"what"}`, 6: strings.Repeat("[", 1000)}}
	d, err := NewDecoder(oneText, Config{Format: registered(), Schemas: known})
	if err != nil {
		t.Fatal(err)
	}
	values, ends, offsets := pack([]string{wire(1, a), wire(2, string(b)), wire(1, a), wire(3, "\x0e\x02c\x02\x10"), wire(9, a), wire(9, a), wire(4, a), wire(5, a), wire(6, a), a, "", "\x00\x00\x00\x00"})
	for round := range 2 {
		rec, rejects, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`100 {"v":"a"}`, `101 {"v":"b"}`, `102 {"v":"a"}`, `103 {"v":"c"}`}
		if diff := cmp.Diff(want, render(rec)); diff != "" {
			t.Error(diff)
		}
		rec.Release()
		var reasons []string
		for _, r := range rejects {
			reasons = append(reasons, fmt.Sprintf("%d %s: %s", r.Row, r.Cause, r.Reason))
		}
		const format = "not in Confluent's wire format: not in Confluent's wire format: it begins with a zero and four bytes of the schema's id"
		wanted := []string{"104 unknown schema: the registry has no schema 9", "105 unknown schema: the registry has no schema 9",
			"106 schema of no record: schema 4: the schema is one of string, not of a record",
			"107 unusable schema: schema 5: the schema cannot be read", "108 unusable schema: schema 6: the schema nests deeper than 256 levels",
			"109 " + format, "110 " + format, "111 " + format}
		if len(reasons) != len(wanted) {
			t.Fatalf("rejects %q", reasons)
		}
		for i := range wanted {
			if !strings.HasPrefix(reasons[i], wanted[i]) {
				t.Errorf("got %q, want %q", reasons[i], wanted[i])
			}
		}
		// Only what is not there is asked for again.
		if got, want := known.asked.Load(), int64(7+round); got != want {
			t.Errorf("round %d: the registry was asked %d times, want %d", round, got, want)
		}
	}
}

// Who mends the producer is told which schema has no field for the column, and
// what it may have called it.
func TestARejectNamesTheFieldThatASchemaLacks(t *testing.T) {
	misspelt := `{"type":"record","name":"R","fields":[{"name":"vv","type":"string"}]}`
	d, err := NewDecoder(oneText, registryOf(map[uint32]string{1: misspelt, 2: `{"type":"record","name":"R","fields":[{"name":"v","type":"string"}]}`, 3: `{"type":"record","name":"R","fields":[]}`}))
	if err != nil {
		t.Fatal(err)
	}
	values, ends, offsets := pack([]string{wire(1, "\x02a"), wire(2, "\x02a"), wire(3, "")})
	rec, rejects, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
	if err != nil || len(rejects) != 2 || rec.NumRows() != 1 {
		t.Fatalf("%v %v", rejects, err)
	}
	rec.Release()
	const missing = `field "v": missing, and the column is not nullable: schema `
	if got, want := rejects[0].Reason, missing+`1 has no such field, the nearest is "vv"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := rejects[1].Reason, missing+"3 has no such field"; got != want || rejects[0].Cause != rejects[1].Cause {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestARegistryThatIsDownRejectsNothing(t *testing.T) {
	schema, a := avroOf(t, `"string"`, "a")
	down := &registry{schemas: map[uint32]string{1: schema}, err: &thalweg.Error{Kind: thalweg.Unavailable, Subject: "registry"}}
	d, err := NewDecoder(oneText, Config{Format: registered(), Schemas: down})
	if err != nil {
		t.Fatal(err)
	}
	event := []byte(wire(1, a))
	events := Events{Values: event, Ends: []int{len(event)}, Offsets: []int64{7}}
	if _, _, err := d.Decode(t.Context(), events); !thalweg.Is(err, thalweg.Unavailable) {
		t.Fatalf("got %v, want unavailable", err)
	}
	down.err = nil
	rec, rejects, err := d.Decode(t.Context(), events)
	if err != nil || len(rejects) > 0 || rec.NumRows() != 1 {
		t.Fatalf("after it is back: %v %v", rejects, err)
	}
	rec.Release()
}

func TestSchemasThatAreKeptAreBounded(t *testing.T) {
	known := &registry{schemas: make(map[uint32]string)}
	schema, a := avroOf(t, `"string"`, "a")
	d, err := NewDecoder(oneText, Config{Format: registered(), Schemas: known})
	if err != nil {
		t.Fatal(err)
	}
	for run := range uint32(5) {
		var events []string
		for id := run * 100; id < run*100+150; id++ {
			known.schemas[id] = schema
			events = append(events, wire(id, a))
		}
		values, ends, offsets := pack(events)
		rec, rejects, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
		if err != nil || len(rejects) > 0 {
			t.Fatal(err, rejects)
		}
		rec.Release()
	}
	if n := len(d.format.(*avroFormat).programs); n > maxSchemas {
		t.Errorf("%d schemas are kept, the bound is %d", n, maxSchemas)
	}
}

func TestMalformedAvroIsRejectedInBoundedTime(t *testing.T) {
	record := func(fields string) string {
		return `{"type":"record","name":"R","fields":[` + fields + `{"name":"v","type":"string"}]}`
	}
	long := func(v int64) string { return string(binary.AppendVarint(nil, v)) }
	// A record of two of the next, thirty times: 2^30 values of no bytes.
	doubling := `{"type":"record","name":"R0","fields":[]}`
	for i := 1; i <= 30; i++ {
		doubling = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s},{"name":"b","type":"R%d"}]}`, i, doubling, i-1)
	}
	const chain = `{"name":"n","type":{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}},`
	for _, tc := range []struct{ fields, event, reason string }{
		{"", "", "the event ends within a number at byte 0"},
		{"", "\x02", "a length that reaches beyond the event at byte 0"},
		{"", long(1 << 62), "a length that reaches beyond the event at byte 0"},
		{"", long(-1), "a length that reaches beyond the event at byte 0"},
		{"", "\x02ab", "bytes behind the record at byte 2"},
		{"", "\x80", "the event ends within a number at byte 1"},
		{"", strings.Repeat("\xff", 9) + "\x02", "a number of more than 64 bits at byte 0"},
		{`{"name":"n","type":"int"},`, long(1<<31) + "\x02a", "an int of more than 32 bits at byte 0"},
		{`{"name":"n","type":"boolean"},`, "\x02\x02a", "a boolean that is neither 0 nor 1 at byte 0"},
		{`{"name":"n","type":["null","int"]},`, "\x04\x02a", "a branch that the union does not have at byte 0"},
		{`{"name":"n","type":["null","int"]},`, "\x01\x02a", "a branch that the union does not have at byte 0"},
		{`{"name":"n","type":{"type":"enum","name":"E","symbols":["A"]}},`, "\x02\x02a", "a symbol that the enum does not have at byte 0"},
		{`{"name":"n","type":"double"},`, "1234567", "the event ends within a value at byte 7"},
		{`{"name":"n","type":{"type":"fixed","name":"F","size":2000000000}},`, "1234567", "the event ends within a value at byte 7"},
		{`{"name":"n","type":"bytes"},`, long(1 << 40), "a length that reaches beyond the event at byte 0"},
		{`{"name":"n","type":{"type":"array","items":"string"}},`, long(1<<60) + "\x02a", "the event ends within a number at byte 11"},
		{`{"name":"n","type":{"type":"map","values":"null"}},`, long(1<<60) + "\x02a", "the event ends within a number at byte 11"},
		{`{"name":"n","type":{"type":"array","items":"null"}},`, long(1<<60) + "\x00\x02a", "more values than the event can hold at byte 9"},
		{`{"name":"n","type":{"type":"array","items":"int"}},`, "\x03\x02\x02\x02\x00\x02a", "a block of another length than it says at byte 2"},
		{`{"name":"n","type":{"type":"array","items":"int"}},`, long(math.MinInt64) + "\x00\x00\x02a", "a block of another length than it says at byte 11"},
		{chain, strings.Repeat("\x02", 100_000), "nested too deep at byte 31"},
		{`{"name":"n","type":` + doubling + `},`, "\x02a", "more values than the event can hold at byte 0"},
	} {
		// The bound of bytes is lifted: depth and work have bounds of their own.
		cfg := plainAvro(record(tc.fields))
		cfg.MaxEventBytes = 1 << 24
		began := time.Now()
		rows, rejects := decode(t, oneText, cfg, tc.event)
		if len(rejects) != 1 || rejects[0].Reason != "malformed Avro: "+tc.reason || rejects[0].Cause != "malformed Avro" {
			t.Errorf("%s %.40q became %v, %v; want %s", tc.fields, tc.event, rows, rejects, tc.reason)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", tc.fields, took)
		}
	}
}

func TestUnknownAvroFieldsAreIgnoredOrDeadLettered(t *testing.T) {
	schema, a := avroOf(t, `"string"`, "a")
	other := strings.Replace(schema, `"fields":[`, `"fields":[{"name":"gate","type":"int"},`, 1)
	cfg := registryOf(map[uint32]string{1: schema, 2: other})
	cfg.Format.(*AvroFormat).OnUnknownField = DeadLetter
	rows, rejects := decode(t, oneText, cfg, wire(1, a), wire(2, "\x02"+a), wire(2, "\x02"+a+"x"))
	if len(rows) != 1 || len(rejects) != 2 || rejects[0].Reason != `field "gate" is no column` || rejects[0].Cause != "unknown field" || rejects[1].Cause != "malformed Avro" {
		t.Errorf("%v %+v", rows, rejects)
	}
}

func TestAvroSchemasThatCannotServeAreRefused(t *testing.T) {
	for want, tc := range map[string]struct {
		schema string
		cfg    Config
	}{
		"one of a schema and a schema registry is needed":          {"", Config{}},
		"the schema cannot be read":                                {`{"type":"recor"}`, Config{}},
		"the schema cannot be read: it is UTF-16: write UTF-8":     {"\xff\xfe{\x00}\x00", Config{}},
		"the schema cannot be read: it is UTF-16 without":          {"\x00{\x00}", Config{}},
		"more than 1048576 bytes":                                  {strings.Repeat(" ", maxSchemaBytes+1), Config{}},
		"nests deeper than 256":                                    {strings.Repeat(`{"type":"array","items":`, 300), Config{}},
		"is one of string":                                         {`"string"`, Config{}},
		`it has no field "v", and the column is not nullable`:      {`{"type":"record","name":"R","fields":[]}`, Config{}},
		`field "gate" is no column, and on_unknown_field is dead_`: {`{"type":"record","name":"R","fields":[{"name":"v","type":"string"},{"name":"gate","type":"int"}]}`, Config{Format: &AvroFormat{OnUnknownField: DeadLetter}}},
		`the column wants string, the schema has decimal`:          {`{"type":"record","name":"R","fields":[{"name":"v","type":{"type":"bytes","logicalType":"decimal","precision":4}}]}`, Config{}},
	} {
		format, _ := tc.cfg.Format.(*AvroFormat)
		if format == nil {
			format = new(AvroFormat)
		}
		format.SchemaFile = "s3://lake/event.avsc"
		tc.cfg.Format, tc.cfg.Schema = format, tc.schema
		if _, err := NewDecoder(oneText, tc.cfg); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func pow10(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }
