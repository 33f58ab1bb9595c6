package bench

import (
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/shuffle"
)

// BenchmarkDedupe finds the flights that are not the first of their airports and time, from
// Parquet to the rows of each shard, beside DuckDB with one thread, which keeps the numbers
// of the others: in memory, and in so little that both spill. goal: at least half of
// DuckDB's speed per CPU-second in memory, and all of it where both spill. Run it with
// GOMAXPROCS=1.
func BenchmarkDedupe(b *testing.B) {
	f := open(b)
	of := pipeline.Shuffle{Keys: []string{"origin", "destination", "date"}}
	f.plan.Input.Columns = slices.DeleteFunc(f.plan.Input.Columns, func(c table.Column) bool { return !slices.Contains(of.Keys, c.Name) })
	f.chain = clean.Until(f.plan, 0)
	for _, c := range []struct {
		name, theirs string
		ours         int64
	}{{"memory", "4GB", 4 << 30}, {"spilled", "64MB", 64 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			var ours, theirs float64
			dir := b.TempDir()
			for b.Loop() {
				peer := engineRun(b, "dedupe.py", flightsFile(), c.theirs, dir)
				theirs += peer.Seconds
				before := cpu(b).Seconds()
				kept := f.manifest.Rows - f.doubles(b, of, dir, c.ours)
				if ours += cpu(b).Seconds() - before; kept != peer.Rows {
					b.Fatalf("%d rows are kept, DuckDB keeps %d", kept, peer.Rows)
				}
			}
			b.ReportMetric(float64(f.manifest.Rows)*float64(b.N)/ours/1e6, "Mrows/cpu-s")
			b.ReportMetric(theirs/ours, "of-duckdb")
		})
	}
}

// doubles returns how many rows are not the first of their key, found by as many reducers as
// a run has, one after the other.
func (f *flights) doubles(b *testing.B, of pipeline.Shuffle, dir string, memory int64) (n int64) {
	all := make([][][]byte, 8) // by reducer
	pieces := shuffle.NewPieces(of, len(all), func(to, _ int, body []byte) (string, error) {
		all[to] = append(all[to], slices.Clone(body))
		return "", nil
	})
	for shard := range f.manifest.Shards {
		check(b, f.rows(b.Context(), shard, func(batch arrow.Record) (err error) { return pieces.Add(batch, shard) }))
	}
	_, err := pieces.Finish()
	check(b, err)
	for _, bodies := range all {
		records := shuffle.NewSorter(dir, memory/int64(len(all))*3/4)
		for _, body := range bodies {
			_, err := records.AddPiece(body)
			check(b, err)
		}
		if spills := memory < 1<<30; records.Spilled() != spills {
			b.Fatalf("spilled: %v", records.Spilled())
		}
		out := shuffle.NewOutcome(func(int, []byte) (string, error) { return "", nil })
		check(b, shuffle.Reduce(b.Context(), records, of, memory/int64(len(all))/4, func(shard int, found *pipeline.Settled) error {
			n += int64(len(found.Rows))
			return out.Put(shard, found)
		}))
		check(b, out.Finish())
		records.Close()
	}
	return n
}
