package bench

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// BenchmarkFeatures takes Parquet to clean feature columns on one core, against
// the loop that one would write over Arrow's own reader: a map a category, the
// time package for the clock; and against engines with one thread. goal: at least 4x and
// 30 Mrows/s, 3 times DuckDB and 2.5 times Polars. Run it with GOMAXPROCS=1.
func BenchmarkFeatures(b *testing.B) {
	f := open(b)
	f.fit(b)
	var ours, theirs time.Duration
	var rows int64
	engines := make(map[string]float64)
	for b.Loop() {
		ours += timed(b, f.features)
		theirs += timed(b, f.obvious)
		rows += f.manifest.Rows
		for _, engine := range []string{"duckdb", "polars"} {
			run := engineRun(b, "features.py", flightsFile(), engine)
			if run.Rows != f.manifest.Rows {
				b.Fatalf("%s: %d rows of %d", engine, run.Rows, f.manifest.Rows)
			}
			engines[engine] += run.Seconds
		}
	}
	for engine, seconds := range engines {
		b.ReportMetric(seconds/ours.Seconds(), "x-"+engine)
	}
	b.ReportMetric(float64(rows)/ours.Seconds()/1e6, "Mrows/cpu-s")
	b.ReportMetric(float64(rows)/theirs.Seconds()/1e6, "pqarrow-Mrows/cpu-s")
	b.ReportMetric(float64(theirs)/float64(ours), "x-pqarrow")
}

// timed returns the CPU time of one side, on a heap without the other's garbage.
func timed(b *testing.B, side func(context.Context) error) time.Duration {
	runtime.GC()
	began := cpu(b)
	check(b, side(b.Context()))
	return cpu(b) - began
}

// features is the product's path.
func (f *flights) features(ctx context.Context) error {
	applier := f.fitted.NewApplier()
	var block kernel.Block
	for shard := range f.manifest.Shards {
		if err := f.rows(ctx, shard, func(batch arrow.Record) error { return applier.Apply(batch, &block, nil) }); err != nil {
			return err
		}
	}
	return nil
}

// obvious is the loop that one would write.
func (f *flights) obvious(ctx context.Context) error {
	pf, err := file.NewParquetReader(bytes.NewReader(f.file))
	if err != nil {
		return err
	}
	defer pf.Close()
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 1 << 16}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	records, err := reader.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer records.Release()
	vocabulary := [2]map[string]uint32{{}, {}}
	var distance []float32
	var ids [4][]uint32
	for records.Next() {
		rec := records.Record()
		date := rec.Column(0).(*array.Timestamp)
		far := rec.Column(2).(*array.Int64)
		distance = distance[:0]
		for k := range ids {
			ids[k] = ids[k][:0]
		}
		for i := range int(rec.NumRows()) {
			distance = append(distance, (float32(far.Value(i))-700)/500)
			for k := range 2 {
				name := stringAt(rec.Column(3+k), i)
				id, ok := vocabulary[k][name]
				if !ok {
					id = uint32(len(vocabulary[k]) + 1)
					vocabulary[k][name] = id
				}
				ids[k] = append(ids[k], id)
			}
			t := time.UnixMicro(int64(date.Value(i))).UTC()
			ids[2] = append(ids[2], uint32(t.Hour()))
			ids[3] = append(ids[3], uint32(t.Weekday()))
		}
	}
	if err := records.Err(); err != io.EOF { // this reader's way to say that it has ended
		return err
	}
	return nil
}

func stringAt(a arrow.Array, i int) string {
	if l, ok := a.(*array.LargeString); ok {
		return l.Value(i)
	}
	return a.(*array.String).Value(i)
}
