package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/disk"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// inspected is what inspect says of a shard.
type inspected struct {
	// Bad says why it is left out; nothing: it is not.
	Bad string `json:"bad,omitempty"`
}

// skipsBadShards reports whether runs of a spec leave bad shards out.
func skipsBadShards(spec *pipeline.Spec) bool { return spec.Spec.Sources.Train.OnBadShard.Skips() }

// mapInspect reads shards and does to the rows of each what the stages behind will: so that
// which shards are left out is decided once, before any of their rows has had an effect.
func mapInspect(ctx context.Context, t *Task) error {
	return mapShards(ctx, t, func(d *data, shard int) (out inspected, err error) {
		bucket, progress := d.source.Bucket, d.progress
		defer func() { d.source.Bucket, d.progress = bucket, progress }()
		_, err = remembered(ctx, d, shard, d.keeping.inspect, func() (out inspected, err error) {
			for range 2 { // bytes that were damaged on their way look as those that are
				store := &watchedBucket{Bucket: bucket}
				d.source.Bucket = store
				if err = d.inspect(ctx, shard); err == nil || ctx.Err() != nil || !store.blameless(err) {
					return out, err
				}
				d.progress = new(atomic.Int64) // the rows are counted
			}
			return out, &badShardError{err}
		})
		if bad := new(badShardError); errors.As(err, &bad) { // which is not remembered: another build may read it
			return inspected{Bad: bad.Error()}, nil
		}
		return out, err
	})
}

// badShardError is why a shard is left out.
type badShardError struct{ error }

func (e *badShardError) Unwrap() error { return e.error }

// watchedBucket notices whether the store has failed.
type watchedBucket struct {
	storage.Bucket
	failed atomic.Bool
}

// blameless reports whether an error is of what is in the objects, so that any worker meets
// it at any time: the store gave what it was asked for, and nothing of this machine is full.
func (b *watchedBucket) blameless(err error) bool {
	ofRows := isWrongInput(err) || thalweg.Is(err, thalweg.Corrupt) || thalweg.Is(err, thalweg.Exhausted)
	return ofRows && !b.failed.Load() && !errors.As(err, new(*disk.FullError))
}

func (b *watchedBucket) note(err error) {
	if err != nil && !thalweg.Is(err, thalweg.NotFound) { // who reads a table looks for versions that are not there yet
		b.failed.Store(true)
	}
}

// Get implements storage.Bucket.
func (b *watchedBucket) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	body, info, err := b.Bucket.Get(ctx, key)
	b.note(err)
	return body, info, err
}

// GetRange implements storage.Bucket.
func (b *watchedBucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	err := b.Bucket.GetRange(ctx, key, offset, buf)
	b.note(err)
	return err
}

// Head implements storage.Bucket.
func (b *watchedBucket) Head(ctx context.Context, key string) (storage.Info, error) {
	info, err := b.Bucket.Head(ctx, key)
	b.note(err)
	return info, err
}

// inspect reads the rows of a shard, cleans them and shows them to features, as far as that
// needs no other shard.
func (d *data) inspect(ctx context.Context, shard int) error {
	rows, whole := d.aloneCleaned(ctx, shard)
	var fitter *feature.Fitter
	if whole && d.plan.Spec.Trains() {
		fitter = feature.NewFitter(d.plan)
	}
	var splits []uint8 // all of the training rows'
	for batch, err := range rows {
		if err == nil && fitter != nil {
			if n := int(batch.NumRows()); n > len(splits) {
				splits = make([]uint8, n)
			}
			err = cmp.Or(fitter.Check(batch), fitter.Observe(batch, splits[:batch.NumRows()]), fitter.TooLarge())
		}
		if err != nil {
			return d.located(err)
		}
	}
	return nil
}

// aloneCleaned yields the rows of a shard after the cleaning steps up to the first that needs
// other rows; whole says that these are all steps.
func (d *data) aloneCleaned(ctx context.Context, shard int) (rows iter.Seq2[arrow.Record, error], whole bool) {
	rep := new(pipeline.Report)
	chain, whole := clean.New(d.plan, pipeline.InTraining), true
	if steps, _ := d.plan.Spec.Shuffles(); steps > 0 {
		chain, whole = clean.Until(d.plan, d.plan.Passes()[0].Step), false
	} else if d.plan.Spec.Learns() {
		chain, whole = clean.BeforeLearning(d.plan), false
	}
	return through(d.batches(ctx, shard, rep), func(batch arrow.Record) (arrow.Record, error) { return chain.Apply(ctx, batch, rep) }), whole
}

// reduceInspect marks the bad shards in the manifest, which all stages behind read.
func reduceInspect(ctx context.Context, t *Task) error {
	d, all, err := shardResults[inspected](ctx, t)
	if err != nil {
		return err
	}
	var of profiled
	if err := t.Input(ctx, "manifest", &of); err != nil {
		return err
	}
	for i := range all {
		of.Manifest.Shards[i].Skipped = all[i].Bad
	}
	if err := judgeSkipped(d.plan.Spec, of.Manifest); err != nil {
		return err
	}
	if skipped := of.Manifest.Skipped(); len(skipped) > 0 {
		t.Report.Counts[stages.SkippedShards], t.Report.Counts["rows.skipped"] = int64(len(skipped)), of.Manifest.SkippedRows()
		text := skippedText(skipped)
		t.Report.Outputs["skipped_shards"] = shortened(text)
		t.warn("%s", text)
	}
	return t.Save(ctx, "manifest", of)
}

// shownSkipped bounds the shards that a run tells of.
const shownSkipped = 5

// skippedText tells people what is left out.
func skippedText(skipped []dataset.Skipped) string {
	text := fmt.Sprintf("%d shards are left out (sources.train.on_bad_shard)", len(skipped))
	for _, s := range skipped[:min(len(skipped), shownSkipped)] {
		text += fmt.Sprintf("\n%s: %s", s.Place, s.Reason)
	}
	return text
}

// judgeSkipped fails where more is left out than the spec allows, or all.
func judgeSkipped(spec *pipeline.Spec, m *dataset.Manifest) error {
	skipped, most := m.Skipped(), spec.Spec.Sources.Train.OnBadShard.MaxSkipped
	if len(skipped) == 0 || len(skipped) <= most && m.Rows > m.SkippedRows() {
		return nil
	}
	return &thalweg.Error{Op: "inspect dataset", Kind: thalweg.Invalid, Subject: m.Path, Err: fmt.Errorf("%s; %d may be, and not all", skippedText(skipped), most),
		Hint: "mend or remove the files, or raise sources.train.on_bad_shard.max_skipped"}
}
