package event

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/avro"

	"github.com/thalweg/thalweg/pipeline/table"
)

// sampleAvro is a writer's schema of sample.
const sampleAvro = `{"type":"record","name":"Flight","fields":[
	{"name":"date","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"delay","type":["null","long"]},
	{"name":"distance","type":["null","long"]},
	{"name":"origin","type":"string"},
	{"name":"destination","type":"string"}]}`

// sampleFormat is a format that the benchmarks read.
type sampleFormat struct {
	name string
	cfg  Config
}

func sampleFormats() []sampleFormat {
	return []sampleFormat{{JSON, Config{}}, {CSV, Config{Format: new(CSVFormat)}}, {Avro, registryOf(map[uint32]string{7: sampleAvro})}}
}

// sampleAs is sample in another format.
func sampleAs(b *testing.B, n int, format string) (schema table.Schema, values []byte, ends []int, offsets []int64) {
	b.Helper()
	schema, values, ends, offsets = sample(n)
	if format == JSON {
		return schema, values, ends, offsets
	}
	d, err := NewDecoder(schema, Config{})
	if err != nil {
		b.Fatal(err)
	}
	rec, _, err := d.Decode(b.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
	if err != nil {
		b.Fatal(err)
	}
	defer rec.Release()
	encoder, err := NewAvroEncoder(sampleAvro, rec.Schema())
	if err != nil {
		b.Fatal(err)
	}
	values, ends = nil, nil
	for i := range n {
		if format == CSV {
			values = AppendCSV(values, rec, i, CSVFormat{})
		} else {
			values = append(values, 0, 0, 0, 0, 7)
			if values, err = encoder.Append(values, rec, i); err != nil {
				b.Fatal(err)
			}
		}
		ends = append(ends, len(values))
	}
	return schema, values, ends, offsets
}

// BenchmarkFormats reads the same rows from each format.
func BenchmarkFormats(b *testing.B) {
	const rows = 5000
	for _, of := range sampleFormats() {
		schema, values, ends, offsets := sampleAs(b, rows, of.name)
		b.Run(of.name, func(b *testing.B) {
			d, err := NewDecoder(schema, of.cfg)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				rec, rejects, err := d.Decode(b.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
				if err != nil || rejects != nil {
					b.Fatal(err, rejects)
				}
				rec.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/event")
			b.ReportMetric(float64(len(values))/rows, "bytes/event")
		})
	}
	_, lines, ends, _ := sampleAs(b, rows, CSV)
	b.Run("encoding-csv", func(b *testing.B) {
		for b.Loop() {
			start := 0
			for _, end := range ends {
				r := csv.NewReader(bytes.NewReader(lines[start:end]))
				if record, err := r.Read(); err != nil || len(record) != 5 {
					b.Fatal(err)
				}
				start = end
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/event")
	})
	// The best case of the library: one reader of all events as one file.
	b.Run("encoding-csv-file", func(b *testing.B) {
		var file []byte
		start := 0
		for _, end := range ends {
			file = append(append(file, lines[start:end]...), '\n')
			start = end
		}
		for b.Loop() {
			r := csv.NewReader(bytes.NewReader(file))
			r.ReuseRecord = true
			for {
				if _, err := r.Read(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/event")
	})
	_, records, ends, _ := sampleAs(b, rows, Avro)
	b.Run("avro-library", func(b *testing.B) {
		var flight struct {
			Date        int64  `avro:"date"`
			Delay       *int64 `avro:"delay"`
			Distance    *int64 `avro:"distance"`
			Origin      string `avro:"origin"`
			Destination string `avro:"destination"`
		}
		library := avro.MustParse(sampleAvro)
		for b.Loop() {
			start := 0
			for _, end := range ends {
				if _, err := library.Decode(records[start+wireHeader:end], &flight); err != nil {
					b.Fatal(err)
				}
				start = end
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/event")
	})
}

// envelopes is an Envelope with the same key and header around each event.
type envelopes struct{}

func (envelopes) Timestamp(i int) int64 { return int64(i) }

func (envelopes) Key(int) ([]byte, bool) { return []byte("SFO"), true }

func (envelopes) Header(int, string) ([]byte, bool) { return []byte("337"), true }

// BenchmarkColumnsFromRecords compares columns of events with columns from the
// records around them.
func BenchmarkColumnsFromRecords(b *testing.B) {
	const rows = 5000
	for _, from := range []map[string]string{{}, {"date": FromTimestamp}, {"origin": FromKey, "distance": FromHeader + "far"}} {
		schema, values, ends, offsets := sample(rows)
		for i := range schema.Columns {
			schema.Columns[i].From = from[schema.Columns[i].Name]
		}
		b.Run(fmt.Sprintf("columns=%d", len(from)), func(b *testing.B) {
			d, err := NewDecoder(schema, Config{})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				rec, rejects, err := d.Decode(b.Context(), Events{Values: values, Ends: ends, Offsets: offsets, Around: envelopes{}})
				if err != nil || rejects != nil {
					b.Fatal(err, rejects)
				}
				rec.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/event")
		})
	}
}

// BenchmarkPoison has one event in a hundred that is rejected, for its syntax,
// its types or its schema in turns.
func BenchmarkPoison(b *testing.B) {
	const rows = 5000
	for _, of := range sampleFormats() {
		schema, good, goodEnds, offsets := sampleAs(b, rows, of.name)
		bad := map[string][]string{
			JSON: {`{"date":`, `{"delay":"x"}`, "{\"origin\":\"\xff\"}"},
			CSV:  {`2001,"`, "2001-01-13T00:00:00Z,x,,,", "2001-01-13T00:00:00Z,,,\xff,", "a,b"},
			Avro: {"\x00\x00\x00\x00\x07\x02", "\x00\x00\x00\x00\x09\x02", "SFO"},
		}[of.name]
		for _, every := range []int{0, 100} {
			b.Run(fmt.Sprintf("%s/every=%d", of.name, every), func(b *testing.B) {
				var values []byte
				var ends []int
				start := 0
				for i, end := range goodEnds {
					if every > 0 && i%every == every/2 {
						values = append(values, bad[i/every%len(bad)]...)
					} else {
						values = append(values, good[start:end]...)
					}
					ends, start = append(ends, len(values)), end
				}
				d, err := NewDecoder(schema, of.cfg)
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					rec, _, err := d.Decode(b.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
					if err != nil {
						b.Fatal(err)
					}
					rec.Release()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/event")
			})
		}
	}
}
