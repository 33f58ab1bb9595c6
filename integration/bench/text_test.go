package bench

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker"
)

// BenchmarkText reads the flights as CSV and as JSON lines, types and shards found
// first, beside DuckDB with one thread, which finds them too and aggregates each column.
// goal: at least DuckDB's speed per CPU-second. Run it with GOMAXPROCS=1.
func BenchmarkText(b *testing.B) {
	for _, format := range []string{"csv", "jsonl"} {
		b.Run(format, func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "flights."+format)
			var ours, peers float64
			var rows int64
			var source worker.DatasetSource
			for b.Loop() {
				peer := engineRun(b, "text.py", flightsFile(), format, file)
				peers += peer.Seconds
				if source.Bucket == nil {
					source = textSource(b, format, file)
				}
				before := cpu(b).Seconds()
				if rows = readText(b, source); rows != peer.Rows {
					b.Fatalf("%d rows, DuckDB has %d", rows, peer.Rows)
				}
				ours += cpu(b).Seconds() - before
			}
			b.ReportMetric(float64(rows)*float64(b.N)/ours/1e6, "Mrows/cpu-s")
			b.ReportMetric(peers/ours, "of-duckdb")
		})
	}
}

// textSource puts a file into a bucket.
func textSource(b *testing.B, format, file string) worker.DatasetSource {
	spec := new(pipeline.Spec)
	train := &spec.Spec.Sources.Train
	var err error
	train.Format, err = catalog.All().Choose(pipeline.DatasetFormats, format, []byte("{}"))
	check(b, err)
	train.Format.Options, err = pipeline.Complete(train.Format.Options)
	check(b, err)
	source, err := worker.Source(spec, worker.DatasetFormats())
	check(b, err)
	body, err := os.ReadFile(file)
	check(b, err)
	source.Bucket, source.Pattern = memory.New(), "flights"
	_, err = source.Bucket.Put(b.Context(), "flights", body)
	check(b, err)
	return source
}

// readText reads all rows of a source.
func readText(b *testing.B, source worker.DatasetSource) (rows int64) {
	m, schema, err := source.Discover(b.Context())
	check(b, err)
	pool := dataset.NewPool(0)
	for shard := range m.Shards {
		r, err := source.OpenRows(b.Context(), m, shard, schema, dataset.ReaderConfig{Pool: pool, Allocator: pool.Allocator()})
		check(b, err)
		for {
			batch, err := r.Next()
			if err == io.EOF {
				break
			}
			check(b, err)
			rows += batch.NumRows()
			batch.Release()
		}
		check(b, r.Close())
	}
	return rows
}
