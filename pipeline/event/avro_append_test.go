package event

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/thalweg/thalweg"
)

func TestAvroEncoderIsTheDecodersInverse(t *testing.T) {
	for _, schema := range []string{flightsAvroPlain, strings.NewReplacer(`"timestamp-micros"`, `"local-timestamp-micros"`, `["null","long"]`, `["string","long","null"]`,
		`"origin","type":"string"`, `"origin","type":{"type":"enum","name":"E","symbols":["SFO","LAX","A_LONGER_WORD"]}`).Replace(flightsAvroPlain),
		strings.Replace(flightsAvroPlain, `{"type":"long","logicalType":"timestamp-micros"}`, `"string"`, 1)} {
		in := []string{
			`{"date":"2001-01-13T13:56:00.123456Z","delay":-3,"distance":337.5,"origin":"SFO","cancelled":false}`,
			`{"date":"1969-12-31T23:59:59.999999Z","delay":null,"distance":null,"origin":"A_LONGER_WORD","cancelled":null}`,
		}
		d, err := NewDecoder(flights, Config{})
		if err != nil {
			t.Fatal(err)
		}
		values, ends, offsets := pack(in)
		rec, _, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewAvroEncoder(schema, rec.Schema())
		if err != nil {
			t.Fatal(err)
		}
		library := avro.MustParse(schema)
		var events []string
		for i := range in {
			b, err := e.Append(nil, rec, i)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if rest, err := library.Decode(b, &v); err != nil || len(rest) > 0 {
				t.Errorf("the library cannot read %q: %v", b, err)
			}
			events = append(events, string(b))
		}
		rec.Release()
		rows, rejects := decode(t, flights, plainAvro(schema), events...)
		if diff := cmp.Diff([]string{"100 " + in[0], "101 " + in[1]}, rows); diff != "" || len(rejects) > 0 {
			t.Errorf("%s %v", diff, rejects)
		}
	}
}

// flightsAvroPlain is a schema that has the columns of flights only.
const flightsAvroPlain = `{"type":"record","name":"Flight","fields":[
	{"name":"date","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"delay","type":["null","long"]},
	{"name":"distance","type":["null","double"]},
	{"name":"origin","type":"string"},
	{"name":"cancelled","type":["null","boolean"]},
	{"name":"gate","type":["null","string"]}]}`

func TestRowsWithoutAFormInTheSchemaAreNotEncoded(t *testing.T) {
	d, err := NewDecoder(nullableFlights(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	event := []byte(`{"date":"2001-01-13T13:56:00.123456Z","delay":4294967296,"distance":0.5,"origin":"SFO"}`)
	rec, _, err := d.Decode(t.Context(), Events{Values: event, Ends: []int{len(event)}, Offsets: []int64{0}})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	for typ, late := range map[string]bool{
		`{"name":"delay","type":"int"}`:                                           true,
		`{"name":"distance","type":"long"}`:                                       true,
		`{"name":"cancelled","type":"boolean"}`:                                   true,
		`{"name":"origin","type":{"type":"enum","name":"E","symbols":["LAX"]}}`:   true,
		`{"name":"date","type":{"type":"long","logicalType":"timestamp-millis"}}`: true,
		`{"name":"date","type":{"type":"int","logicalType":"date"}}`:              true,
		`{"name":"origin","type":"bytes"}`:                                        false,
		`{"name":"gate","type":"string"}`:                                         false,
	} {
		e, err := NewAvroEncoder(`{"type":"record","name":"R","fields":[`+typ+`]}`, rec.Schema())
		if late && err == nil {
			_, err = e.Append(nil, rec, 0)
		} else if late || err == nil {
			t.Fatalf("%s: %v", typ, err)
		}
		if !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if _, err := NewAvroEncoder(`"string"`, rec.Schema()); !thalweg.Is(err, thalweg.Invalid) {
		t.Error(err)
	}
}
