package feature

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// benchRows is one batch of the reader's size.
const benchRows = 1 << 16

var flightColumns = table.Schema{Columns: []table.Column{
	{Name: "date", Type: table.Timestamp}, {Name: "delay", Type: table.Int64}, {Name: "distance", Type: table.Int64},
	{Name: "origin", Type: table.String}, {Name: "destination", Type: table.String},
	{Name: "hour", Type: table.Int64}, {Name: "weekday", Type: table.Int64},
}}

// flights is a batch of flights over 300 airports, a year's dates in order.
func flights() arrow.Record {
	mem := memory.DefaultAllocator
	b := array.NewRecordBuilder(mem, table.Schema{Columns: flightColumns.Columns}.Arrow())
	defer b.Release()
	x := uint64(7)
	for i := range benchRows {
		x = x*6364136223846793005 + 1442695040888963407
		b.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(978307200e6 + int64(i)*480e6))
		b.Field(1).(*array.Int64Builder).Append(int64(x>>40%100) - 20)
		b.Field(2).(*array.Int64Builder).Append(int64(x >> 33 % 2500))
		for f := 3; f < 5; f++ {
			a := x >> (20 * (f - 2)) % 300
			if err := b.Field(f).(*array.BinaryDictionaryBuilder).AppendString(fmt.Sprintf("A%c%c", 'A'+a/26, 'A'+a%26)); err != nil {
				panic(err)
			}
		}
		b.Field(5).(*array.Int64Builder).Append(int64(i / 7 % 24))
		b.Field(6).(*array.Int64Builder).Append(int64(i / 180 % 7))
		b.Field(7).(*array.Int64Builder).Append(int64(i))
	}
	return b.NewRecord()
}

// flightFeatures are the five of the minimal spec, the clock's either as
// columns or as expressions.
func flightFeatures(b *testing.B, expressions bool) *pipeline.Plan {
	b.Helper()
	program := func(source string) *expression.Program {
		p, err := expression.Compile(source, flightColumns, time.UTC)
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	plan := &pipeline.Plan{Input: flightColumns, Cleaned: flightColumns, Features: []pipeline.Feature{
		number("distance", pipeline.FeatureOptions{Normalization: "zscore"}),
		category("origin", pipeline.FeatureOptions{}), category("destination", pipeline.FeatureOptions{}),
		category("hour", pipeline.FeatureOptions{}), category("weekday", pipeline.FeatureOptions{}),
	}, Label: pipeline.Label{Name: "delay", Type: "number", Column: "delay"}}
	if expressions {
		plan.Features[3].Expression, plan.Features[4].Expression = program("hour(date)"), program("weekday(date)")
		plan.Label = pipeline.Label{Name: "delayed", Type: binaryLabel, Expression: program("delay > 15")}
	}
	return plan
}

func variants(b *testing.B, f func(b *testing.B, plan *pipeline.Plan, rec arrow.Record)) {
	rec := flights()
	// A worker holds rows by the hundred megabytes. With an empty heap the
	// collector would run at every other batch, and be what is measured.
	heap := make([]byte, 128<<20)
	defer runtime.KeepAlive(heap)
	for name, expressions := range map[string]bool{"columns": false, "expressions": true} {
		b.Run(name, func(b *testing.B) {
			f(b, flightFeatures(b, expressions), rec)
			b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

func BenchmarkApply(b *testing.B) {
	variants(b, func(b *testing.B, plan *pipeline.Plan, rec arrow.Record) {
		a, block, rep := fit(b, plan, rec).NewApplier(), new(kernel.Block), new(pipeline.Report)
		b.ReportAllocs()
		for b.Loop() {
			if err := a.Apply(rec, block, rep); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	variants(b, func(b *testing.B, plan *pipeline.Plan, rec arrow.Record) {
		f, split := NewFitter(plan), make([]uint8, benchRows)
		b.ReportAllocs()
		for b.Loop() {
			if err := f.Observe(rec, split); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLabels(b *testing.B) {
	variants(b, func(b *testing.B, plan *pipeline.Plan, rec arrow.Record) {
		t := fit(b, plan, rec)
		var labels []float32
		for b.Loop() {
			var err error
			if labels, _, err = t.Labels(rec, labels); err != nil {
				b.Fatal(err)
			}
		}
	})
}
