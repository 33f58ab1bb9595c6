package worker

import (
	"context"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// profiled is the output of the profile stage: what the dataset is.
type profiled struct {
	Manifest *dataset.Manifest `json:"manifest"`
	Schema   table.Schema      `json:"schema"`
	// Labels is the label file where the spec has one.
	Labels *dataset.Manifest `json:"labels,omitempty"`
	// EventSchema is the schema of events where the spec names its file: as it was
	// when the run began.
	EventSchema string `json:"event_schema,omitempty"`
	// Imported is the model that the spec imports.
	Imported *imported.Ensemble `json:"imported,omitempty"`
	// KeyID is that of the key that columns are hashed with.
	KeyID string `json:"key,omitempty"`
}

// data is a dataset opened for one task: where its rows are and what the spec
// does with them.
type data struct {
	worker   *Worker
	plan     *pipeline.Plan
	input    table.Schema // the columns that are read, of plan.Input
	source   DatasetSource
	manifest *dataset.Manifest
	labels   *LabelFile    // nil: the spec has none
	cuts     split.Cuts    // from the learn stage on
	view     split.View    // of prepared rows, where there are folds
	events   string        // profiled.EventSchema
	progress *atomic.Int64 // counts the rows that were read
	at       table.Place   // of the batch that is looked at, if any
	first    int64         // row of the shard that it begins with
	read     int64         // rows of it, before they were cleaned
	keeping  keeping
	reject   func(pipeline.BadRow) // gets the rows that cannot be read too; nil: nobody does
	newest   *int64                // value of the column that freshness names, of what was read
	passes   []passed              // what the shuffles of the run have found
	balance  *balance.Rows         // nil: no training rows are left out or repeated, or it is not known yet
	weights  *balance.Weights      // nil: training rows are not weighed, or it is not known yet
	last     struct {              // of them, in the shard that was read last
		shard int
		found map[string]*pipeline.Settled
	}
}

// located names the place of the batch that an error is about. It tells what a
// shard's rows end in from what befell their reader, which names the place itself.
func (d *data) located(err error) error {
	if d.plan.Spec.HidesValues() {
		table.HideValue(err)
	}
	return d.at.Of(err, d.first)
}

// origin returns where the rows of a shard lie.
func (d *data) origin(shard int) split.Origin { return split.Origin(d.manifest.Origin(shard)) }

// openData returns the dataset of a lease, for one task.
func (w *Worker) openData(ctx context.Context, lease *apiv1.Lease) (*data, error) {
	key := strings.Join([]string{lease.RunId, lease.Spec, lease.SpecFile, lease.SpecWritten,
		lease.Inputs["manifest"], lease.Inputs["learnt"], lease.Inputs["split"], lease.Inputs["balance"], lease.Inputs[valuesInput], shuffled(lease.Inputs)}, "\x00")
	opened, err := w.datasets.of(key, func() (*data, error) { return w.compile(ctx, lease) })
	if err != nil {
		return nil, err
	}
	d := *opened
	d.progress = new(atomic.Int64)
	return &d, nil
}

// compile reads the profile, compiles the spec against it, and gives the plan what
// its cleaning steps have learnt so far.
func (w *Worker) compile(ctx context.Context, lease *apiv1.Lease) (*data, error) {
	spec, err := w.spec(lease)
	if err != nil {
		return nil, err
	}
	var p profiled
	if err := w.load(ctx, lease.Inputs["manifest"], "manifest", &p); err != nil {
		return nil, err
	}
	plan, err := pipeline.Compile(spec, p.Schema)
	if err != nil {
		return nil, err
	}
	if p.Imported != nil {
		if plan, err = plan.WithImported(p.Imported); err != nil {
			return nil, err
		}
	}
	if ref, ok := lease.Inputs["learnt"]; ok {
		var learnt pipeline.Learnt
		if err := w.load(ctx, ref, "learnt", &learnt); err != nil {
			return nil, err
		}
		if plan, err = plan.WithLearnt(learnt); err != nil {
			return nil, err
		}
	}
	d := &data{worker: w, plan: plan, input: plan.Input, manifest: p.Manifest, events: p.EventSchema}
	if ref, ok := lease.Inputs["split"]; ok {
		if err := w.load(ctx, ref, "split", &d.cuts); err != nil {
			return nil, err
		}
	}
	if of, ok := plan.Balance(); ok && lease.Inputs["balance"] != "" {
		var counts balance.Counts
		if err := w.load(ctx, lease.Inputs["balance"], "balance", &counts); err != nil {
			return nil, err
		}
		if of.Method == pipeline.Weights {
			d.weights = balance.NewWeights(of, counts)
		} else {
			d.balance = balance.New(of, counts)
		}
	}
	if d.source, err = w.source(ctx, spec); err != nil {
		return nil, err
	}
	if err := d.source.Key.Check(spec.Spec.Schema.KeyName(), p.KeyID); err != nil {
		return nil, err
	}
	if p.Labels != nil {
		from, err := w.labelSource(ctx, spec)
		if err != nil {
			return nil, err
		}
		d.labels = &LabelFile{p.Labels, from, plan.Input.Labels.Columns}
	}
	if err := d.loadPasses(ctx, lease.Inputs); err != nil {
		return nil, err
	}
	d.keeping, err = newKeeping(lease, d)
	return d, err
}

// source says where the training data are.
func (w *Worker) source(ctx context.Context, spec *pipeline.Spec) (from DatasetSource, err error) {
	train := spec.Spec.Sources.Train
	if from, err = Source(spec, w.cfg.Datasets); err != nil {
		return from, err
	}
	if name := spec.Spec.Schema.KeyName(); name != "" {
		if from.Key, err = w.connections.Key(name); err != nil {
			return from, err
		}
	}
	if train.S3 == nil {
		return from, &thalweg.Error{Op: "open dataset", Kind: thalweg.Unsupported, Subject: "sources.train", Hint: "train from s3"}
	}
	from.Bucket, from.Pattern, err = w.location(ctx, train.Connection, train.S3.Path)
	return from, err
}

// location opens the bucket of an s3:// path and returns the key part of the path.
func (w *Worker) location(ctx context.Context, connection, path string) (storage.Bucket, string, error) {
	name, key, err := pipeline.SplitS3Path(path)
	if err != nil {
		return nil, "", err
	}
	opener, err := w.connections.Store(connection)
	if err != nil {
		return nil, "", err
	}
	bucket, err := opener.Bucket(ctx, name)
	return bucket, key, err
}

// rejects reports whether rows that cannot be read are left out.
func (d *data) rejects() bool { return d.plan.Spec.Spec.Sources.Train.OnBadRow.Rejects() }

// reading is how a task reads rows.
func (w *Worker) reading() dataset.ReaderConfig {
	return dataset.ReaderConfig{Pool: w.pool, Allocator: w.pool.Allocator()}
}

// batches yields a shard's rows in the canonical form. A batch is the caller's only
// until the next one, here and below. rep gets the rows that cannot be read.
func (d *data) batches(ctx context.Context, shard int, rep *pipeline.Report) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		source, rejected, skipped := d.source, int64(0), int64(0)
		source.Skipped = func(rows int64) {
			rep.NotDrawn(rows)
			skipped += rows
		}
		if d.rejects() {
			source.Reject = func(row pipeline.BadRow) {
				rep.Reject(row)
				rejected++
				if d.reject != nil {
					d.reject(row)
				}
			}
		}
		d.at, d.first = table.Place{}, 0
		r, err := source.OpenRows(ctx, d.manifest, shard, d.input, d.worker.reading())
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close()
		for {
			rejected, skipped = 0, 0
			d.worker.cfg.Memory.Yield(ctx)
			batch, err := r.Next()
			if err == nil {
				err = ctx.Err()
			}
			if d.at, d.first = r.At, r.First; err == io.EOF {
				d.progress.Add(rejected)
				return
			}
			if batch != nil {
				d.read = batch.NumRows() + rejected + skipped
				d.worker.metrics.rows.Add(float64(d.read))
				d.progress.Add(d.read)
				d.newest = later(d.newest, d.newestIn(batch))
			}
			more := yield(batch, err)
			if batch != nil {
				batch.Release()
			}
			if !more || err != nil {
				return
			}
		}
	}
}

// through yields what do makes of each batch, and releases it afterwards.
func through(batches iter.Seq2[arrow.Record, error], do func(arrow.Record) (arrow.Record, error)) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for batch, err := range batches {
			if err == nil {
				batch, err = do(batch)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield(batch, nil)
			batch.Release()
			if !more {
				return
			}
		}
	}
}

// cleaned yields what batches does after the operators.
func (d *data) cleaned(ctx context.Context, chain *clean.Chain, shard int, rep *pipeline.Report) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		settled, err := d.settled(ctx, shard)
		if err != nil {
			yield(nil, err)
			return
		}
		chain := chain.With(settled)
		through(d.batches(ctx, shard, rep), func(batch arrow.Record) (arrow.Record, error) { return chain.Apply(ctx, batch, rep) })(yield)
	}
}

// maxRecent bounds what is kept of one kind.
const maxRecent = 8

// recent keeps what the tasks of a run make again and again of the same inputs: a
// compiled spec, a model. What is kept is immutable.
type recent[T any] struct {
	mu struct {
		sync.Mutex
		byKey map[string]T
	}
}

// of returns what build makes, which it may have made before. Failures are not kept.
func (r *recent[T]) of(key string, build func() (T, error)) (T, error) {
	r.mu.Lock()
	made, ok := r.mu.byKey[key]
	r.mu.Unlock()
	if ok {
		return made, nil
	}
	made, err := build()
	if err != nil {
		return made, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.byKey == nil || len(r.mu.byKey) >= maxRecent {
		r.mu.byKey = make(map[string]T)
	}
	r.mu.byKey[key] = made
	return made, nil
}
