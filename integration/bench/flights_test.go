package bench

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/memory"
)

const demo = "../../deploy/demo/"

// flights is the flights pipeline over a file held in memory.
type flights struct {
	file     []byte
	bucket   storage.Bucket
	manifest *dataset.Manifest
	plan     *pipeline.Plan
	chain    *clean.Chain
	cuts     *split.Cuts
	fitted   *feature.Transform
	pool     *dataset.Pool
}

// flightsFile is the sample, or the file that FLIGHTS names.
func flightsFile() string {
	return cmp.Or(os.Getenv("FLIGHTS"), filepath.FromSlash(demo+"flights.parquet"))
}

// open reads the flights and compiles the demo's spec, with more lines if there are
// any.
func open(tb testing.TB, more ...string) *flights {
	tb.Helper()
	file, err := os.ReadFile(flightsFile())
	check(tb, err)
	text, err := os.ReadFile(filepath.FromSlash(demo + "flights.yaml"))
	check(tb, err)
	return compiled(tb, file, string(text)+strings.Join(more, "\n"))
}

// compiled compiles a spec for a Parquet file.
func compiled(tb testing.TB, file []byte, text string) *flights {
	tb.Helper()
	f := &flights{file: file, bucket: memory.New(), pool: dataset.NewPool(0)}
	_, err := f.bucket.Put(tb.Context(), "table.parquet", f.file)
	check(tb, err)
	manifest, natural, err := dataset.Discover(tb.Context(), f.bucket, "*.parquet", dataset.DiscoverConfig{})
	check(tb, err)
	f.manifest = manifest
	spec, err := pipeline.Parse(catalog.All(), "spec.yaml", []byte(text))
	check(tb, err)
	f.plan, err = pipeline.Compile(spec, table.FromArrow(natural))
	check(tb, err)
	f.chain = clean.New(f.plan, pipeline.InTraining)
	return f
}

// fit finds the split and the transform, as a run does.
func (f *flights) fit(tb testing.TB) {
	tb.Helper()
	ctx := tb.Context()
	var splits, statistics [][]byte
	for shard := range f.manifest.Shards {
		observer, err := split.NewObserver(f.plan, split.Origin(f.manifest.Origin(shard)))
		check(tb, err)
		check(tb, f.rows(ctx, shard, observer.Observe))
		partial, err := observer.Partial()
		check(tb, err)
		splits = append(splits, partial)
	}
	var err error
	f.cuts, err = split.Finish(f.plan, splits)
	check(tb, err)
	for shard := range f.manifest.Shards {
		fitter := feature.NewFitter(f.plan)
		var parts []uint8
		check(tb, f.rows(ctx, shard, func(batch arrow.Record) (err error) {
			if parts, err = f.cuts.Assign(f.plan, batch, split.Origin(f.manifest.Origin(shard)), parts); err != nil {
				return err
			}
			return fitter.Observe(batch, parts)
		}))
		partial, err := fitter.Partial()
		check(tb, err)
		statistics = append(statistics, partial)
	}
	f.fitted, err = feature.Finish(f.plan, statistics)
	check(tb, err)
}

// rows streams one shard's cleaned rows.
func (f *flights) rows(ctx context.Context, shard int, fn func(batch arrow.Record) error) error {
	names := make([]string, len(f.plan.Input.Columns))
	for i, c := range f.plan.Input.Columns {
		names[i] = c.Name
	}
	r, err := dataset.OpenShard(ctx, f.bucket, f.manifest, shard, names, dataset.ReaderConfig{Pool: f.pool, Allocator: f.pool.Allocator()})
	if err != nil {
		return err
	}
	defer r.Close()
	binder, err := table.NewBinder(f.plan.Input, r.Schema())
	if err != nil {
		return err
	}
	binder.RowMemory = f.pool.Allocator()
	var first int64
	for {
		natural, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		batch, err := binder.Bind(natural, first)
		natural.Release()
		if err != nil {
			return err
		}
		first += batch.NumRows()
		var rep pipeline.Report
		out, err := f.chain.Apply(ctx, batch, &rep)
		batch.Release()
		if err != nil {
			return err
		}
		err = fn(out)
		out.Release()
		if err != nil {
			return err
		}
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
