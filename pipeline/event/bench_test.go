package event

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
)

// sample is a run of flights of 90 bytes or so each, over 300 airports.
func sample(n int) (schema table.Schema, values []byte, ends []int, offsets []int64) {
	schema = table.Schema{Columns: []table.Column{
		{Name: "date", Type: table.Timestamp, Nullable: true},
		{Name: "delay", Type: table.Int64, Nullable: true},
		{Name: "distance", Type: table.Int64, Nullable: true},
		{Name: "origin", Type: table.String, Nullable: true},
		{Name: "destination", Type: table.String, Nullable: true},
	}}
	airport := func(i int) string {
		i = i * i % 300
		return string([]byte{byte('A' + i%26), byte('A' + i/26), 'X'})
	}
	at := time.Date(2001, 1, 13, 0, 0, 0, 0, time.UTC)
	for i := range n {
		values = fmt.Appendf(values, `{"date":"%s","delay":%d,"distance":%d,"origin":"%s","destination":"%s"}`,
			at.Add(time.Duration(i)*17*time.Second).Format(time.RFC3339), i*7%90-10, 100+i*31%2500, airport(i), airport(i+77))
		ends = append(ends, len(values))
		offsets = append(offsets, int64(i))
	}
	return schema, values, ends, offsets
}

func BenchmarkDecode(b *testing.B) {
	for _, rows := range []int{50, 5000} {
		schema, values, ends, offsets := sample(rows)
		b.Run(fmt.Sprintf("scanner/rows=%d", rows), func(b *testing.B) {
			d, err := NewDecoder(schema, Config{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(values)))
			b.ReportAllocs()
			for b.Loop() {
				rec, rejects, err := d.Decode(b.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
				if err != nil || rejects != nil {
					b.Fatal(err, rejects)
				}
				rec.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/event")
		})
	}
	schema, values, ends, _ := sample(5000)
	b.Run("encoding-json/rows=5000", func(b *testing.B) {
		for b.Loop() {
			builder := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
			start := 0
			for _, end := range ends {
				var flight struct {
					Date                string `json:"date"`
					Delay, Distance     int64
					Origin, Destination string
				}
				if err := json.Unmarshal(values[start:end], &flight); err != nil {
					b.Fatal(err)
				}
				start = end
			}
			builder.Release()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ends)), "ns/event")
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	schema, values, ends, offsets := sample(5000)
	d, err := NewDecoder(schema, Config{})
	if err != nil {
		b.Fatal(err)
	}
	rec, _, err := d.Decode(b.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
	if err != nil {
		b.Fatal(err)
	}
	defer rec.Release()
	var buf []byte
	for b.Loop() {
		buf = buf[:0]
		for i := range len(ends) {
			buf = AppendJSON(buf, rec, i)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ends)), "ns/event")
}
