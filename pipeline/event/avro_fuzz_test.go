package event

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline/table"
)

// referenceAvro is what the library makes of an event of flightsAvro: a value
// per column of flights as AppendJSON prints it, or not a row.
func referenceAvro(schema *avro.Schema, event []byte) (row []string, ok bool) {
	var v map[string]any
	rest, err := schema.Decode(event, &v)
	if err != nil || len(rest) > 0 {
		return nil, false
	}
	for _, c := range flights.Columns {
		switch x := v[c.Name].(type) {
		case nil:
			row = append(row, "null")
			if !c.Nullable {
				return nil, false
			}
		case bool:
			row = append(row, fmt.Sprint(x))
		case int32:
			row = append(row, fmt.Sprint(x))
		case int64:
			if c.Type == table.Float64 {
				row = append(row, string(appendFloat(nil, float64(x))))
			} else {
				row = append(row, fmt.Sprint(x))
			}
		case float32:
			row = append(row, string(appendFloat(nil, float64(x))))
		case float64:
			row = append(row, string(appendFloat(nil, x)))
			if x-x != 0 {
				return nil, false
			}
		case time.Time:
			us := x.UnixMicro()
			if us < table.MinMicros || us > table.MaxMicros {
				return nil, false
			}
			row = append(row, string(appendTime(nil, us)))
		case string:
			row = append(row, string(appendString(nil, x)))
			if !utf8.ValidString(x) {
				return nil, false
			}
		default:
			return nil, false
		}
		if f, float := v[c.Name].(float32); float && f-f != 0 {
			return nil, false
		}
	}
	return row, true
}

// compareAvro holds a decoder against the library.
func compareAvro(t *testing.T, d *Decoder, schema *avro.Schema, event []byte) (accepted bool) {
	rec, rejects, err := d.Decode(t.Context(), Events{Values: event, Ends: []int{len(event)}, Offsets: []int64{7}})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if len(rejects) == 1 && (strings.Contains(rejects[0].Reason, "nested too deep") || strings.Contains(rejects[0].Reason, "more values than") ||
		strings.Contains(rejects[0].Reason, "a block ") || strings.Contains(rejects[0].Reason, "a boolean that is neither")) {
		return false // our own bounds, and what the library does not look at
	}
	want, ok := referenceAvro(schema, event)
	if ok != (len(rejects) == 0) {
		t.Fatalf("%q: the library says %v %v; rejects: %+v", event, ok, want, rejects)
	}
	if !ok {
		return false
	}
	var got []string
	for c := range flights.Columns {
		got = append(got, string(appendValue(nil, rec.Column(c), 0)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q (-library +event):\n%s", event, diff)
	}
	return true
}

func newAvroDecoder(t testing.TB, columns table.Schema, schema string) *Decoder {
	d, err := NewDecoder(columns, plainAvro(schema))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func FuzzAvroAgreesWithTheLibrary(f *testing.F) {
	for _, e := range flightEvents(f) {
		f.Add([]byte(e))
	}
	d, schema := newAvroDecoder(f, flights, flightsAvro), avro.MustParse(flightsAvro)
	f.Fuzz(func(t *testing.T, event []byte) {
		if len(event) < 1<<16 {
			compareAvro(t, d, schema, event)
		}
	})
}

// TestMutatedAvroIsReadAsTheLibraryReadsIt damages good events a little, by seed: what is not
// the library's row is a reject, in bounded time and memory.
func TestMutatedAvroIsReadAsTheLibraryReadsIt(t *testing.T) {
	d, schema := newAvroDecoder(t, flights, flightsAvro), avro.MustParse(flightsAvro)
	good := flightEvents(t)
	rows, events := 0, effort.Seeds(20_000, 50_000)
	watch := time.AfterFunc(time.Minute, func() { panic("no end") })
	defer watch.Stop()
	for seed := range events {
		random := rand.New(rand.NewPCG(seed, 8))
		e := []byte(good[random.IntN(len(good))])
		for range random.IntN(4) {
			at := random.IntN(len(e))
			switch random.IntN(4) {
			case 0:
				e = append(e[:at], e[at+1:]...)
			case 1:
				e = append(e[:at], append([]byte{byte(random.IntN(256))}, e[at:]...)...)
			default:
				e[at] = []byte{0, 1, 2, 3, 4, 5, 6, 0x7f, 0x80, 0xff, byte(random.IntN(256))}[random.IntN(11)]
			}
		}
		var before, after runtime.MemStats
		if seed%100 == 0 { // it stops the world
			runtime.ReadMemStats(&before)
		}
		if compareAvro(t, d, schema, e) {
			rows++
		}
		if seed%100 == 0 {
			runtime.ReadMemStats(&after)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("seed %d: %d bytes are allocated for an event of %d", seed, n, len(e))
		}
	}
	if rows < int(events)/5 {
		t.Errorf("only %d of %d events were rows", rows, events)
	}
}

// FuzzAvroSchema reads events by whatever schema.
func FuzzAvroSchema(f *testing.F) {
	f.Add([]byte(flightsAvro), []byte(flightEvents(f)[0]))
	f.Add([]byte(`{"type":"record","name":"R","fields":[{"name":"v","type":["null",{"type":"array","items":"R"}]}]}`), []byte("\x02\x02\x00\x00"))
	f.Add([]byte(`{"type":"error","name":"a.R","fields":[{"name":"v","type":"b.R"}]}`), []byte("\x00"))
	f.Fuzz(func(t *testing.T, schema, event []byte) {
		d, err := NewDecoder(nullableFlights(), registryOf(map[uint32]string{0: string(schema)}))
		if err != nil {
			t.Fatal(err)
		}
		e := []byte(wire(0, string(event)))
		rec, rejects, err := d.Decode(t.Context(), Events{Values: e, Ends: []int{len(e)}, Offsets: []int64{7}})
		if err != nil || int(rec.NumRows())+len(rejects) != 1 {
			t.Fatalf("%d rows, %v, %v", rec.NumRows(), rejects, err)
		}
		rec.Release()
	})
}
