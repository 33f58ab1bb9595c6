package expression_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// benchBatch is n rows like those of flights: 300 airports, times over a year.
func benchBatch(n int) (table.Schema, arrow.Record) {
	schema := table.Schema{Columns: []table.Column{
		{Name: "date", Type: table.Timestamp}, {Name: "delay", Type: table.Int64},
		{Name: "origin", Type: table.String}, {Name: "destination", Type: table.String},
	}}
	r := rand.New(rand.NewPCG(1, 2))
	rows := make([][]any, n)
	for i := range rows {
		rows[i] = []any{r.Int64N(365 * 86400 * 1e6), r.Int64N(100) - 20, fmt.Sprint("A", r.IntN(300)), fmt.Sprint("B", r.IntN(300))}
	}
	return schema, tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...)
}

func BenchmarkEval(b *testing.B) {
	const rows = 1 << 16
	schema, batch := benchBatch(rows)
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, source string
		zone         *time.Location
	}{
		{"hour", "hour(date)", nil},
		{"hour in a zone", "hour(date)", newYork},
		{"weekday", "weekday(date)", nil},
		{"month", "month(date)", nil},
		{"compare", "delay > 15", nil},
		{"logic", "delay > 15 and delay != 20 or delay < -5", nil},
		{"arithmetic", "delay * 2 + 1", nil},
		{"divide", "delay / 60", nil},
		{"equal string", "origin == 'A7'", nil},
		{"upper", "upper(origin)", nil},
		{"concat", "origin + '-' + destination", nil},
		{"machine by entry", "replace(origin, 'A', 'x')", nil},
		{"machine by row", "replace(origin, 'A', destination)", nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := expression.Compile(c.source, schema, c.zone)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				a, err := p.Eval(batch)
				if err != nil {
					b.Fatal(err)
				}
				a.Release()
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
