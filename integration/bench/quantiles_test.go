package bench

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/profile"
	"github.com/thalweg/thalweg/pipeline/summary"
	"github.com/thalweg/thalweg/pipeline/table"
)

// BenchmarkQuantiles estimates quantiles of a column of the flights, which are in memory
// for both, beside DuckDB with one thread: seven by the counts that learning steps keep,
// beside approx_quantile, and those of a profile with all else that it tells of a column,
// beside SUMMARIZE. Delays have few different values, jittered ones as many as rows. goal:
// at least DuckDB's speed per CPU-second. Run it with GOMAXPROCS=1.
func BenchmarkQuantiles(b *testing.B) {
	shares := []float64{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99}
	schema := table.Schema{Columns: []table.Column{{Name: "x", Type: table.Float64}}}
	for _, column := range []string{"delay", "jittered"} {
		batches := floats(b, column == "jittered")
		for name, quantiles := range map[string]func() []float64{
			"summary": func() []float64 {
				var q summary.Quantiles
				for _, batch := range batches {
					x := batch.Column(0).(*array.Float64)
					for i := range table.Present(x).Marked() {
						q.Add(x.Value(i))
					}
				}
				return q.AtAll(shares...)
			},
			"profile": func() (out []float64) {
				p := profile.New(schema)
				for _, batch := range batches {
					p.Observe(batch)
				}
				for _, q := range p.Profile().Columns[0].Numbers.Quantiles {
					out = append(out, q.Value)
				}
				return out
			},
		} {
			b.Run(column+"/"+name, func(b *testing.B) {
				var ours, theirs float64
				var rows int64
				for b.Loop() {
					peer := engineRun(b, "quantiles.py", flightsFile(), column, name)
					theirs, rows = theirs+peer.Seconds, peer.Rows
					before := cpu(b).Seconds()
					found := quantiles()
					ours += cpu(b).Seconds() - before
					if !slices.IsSorted(found) || len(found) < len(shares) {
						b.Fatalf("quantiles %v", found)
					}
				}
				b.ReportMetric(float64(rows)*float64(b.N)/ours/1e6, "Mrows/cpu-s")
				b.ReportMetric(theirs/ours, "of-duckdb")
			})
		}
	}
}

// floats returns a column of the flights as batches of numbers; jitter makes hardly two
// of them the same.
func floats(b *testing.B, jitter bool) (out []arrow.Record) {
	f := open(b)
	draw, schema := rand.New(rand.NewPCG(1, 2)), arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true}}, nil)
	for shard := range f.manifest.Shards {
		check(b, f.rows(b.Context(), shard, func(batch arrow.Record) error {
			delays := batch.Column(batch.Schema().FieldIndices("delay")[0]).(*array.Int64)
			x := array.NewRecordBuilder(memory.DefaultAllocator, schema)
			defer x.Release()
			for i := range delays.Len() {
				switch to := x.Field(0).(*array.Float64Builder); {
				case delays.IsNull(i):
					to.AppendNull()
				case jitter:
					to.Append(float64(delays.Value(i)) + draw.Float64())
				default:
					to.Append(float64(delays.Value(i)))
				}
			}
			out = append(out, x.NewRecord())
			return nil
		}))
	}
	return out
}
