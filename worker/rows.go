package worker

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/compact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/train"
)

// weighing says how much training rows weigh. It is immutable.
type weighing interface {
	// Weigh appends the weights of prepared rows, which have the given labels, to dst.
	Weigh(rows arrow.Record, labels, dst []float32) ([]float32, error)
	// Most is the largest weight.
	Most() float64
}

// shardRows reads shards as training wants them: cleaned, split, transformed.
// It implements train.Rows.
type shardRows struct {
	*data
	transform *feature.Transform
	fit       fitted
	// member is the number, from 1, of the member that the training rows are drawn for; 0:
	// they are as they are.
	member   int
	weighing weighing // nil: all rows weigh the same
}

// weigh finds out how much training rows weigh, once fit is known.
func (r *shardRows) weigh() error {
	if f := r.plan.Spec.Spec.Evaluation.Fairness; f.Reweighs() {
		reweighing, err := evaluation.NewReweighing(f, r.fit.Labels)
		r.weighing = reweighing
		return err
	}
	if r.weights != nil {
		r.weighing = r.weights
	}
	return nil
}

// openRows reads the outputs of the stages before training.
func (w *Worker) openRows(ctx context.Context, lease *apiv1.Lease) (*shardRows, error) {
	d, err := w.openData(ctx, lease)
	if err != nil {
		return nil, err
	}
	r := &shardRows{data: d}
	if err := w.load(ctx, lease.Inputs["transform"], "transform", &r.fit); err != nil {
		return nil, err
	}
	if len(r.fit.Rows) != len(d.manifest.Shards) {
		return nil, &thalweg.Error{Op: "load transform", Kind: thalweg.Corrupt, Subject: lease.Inputs["transform"],
			Err: fmt.Errorf("it counts the rows of %d shards, not of %d", len(r.fit.Rows), len(d.manifest.Shards))}
	}
	if r.transform, err = feature.Load(d.plan, r.fit.Transform); err == nil {
		err = r.weigh()
	}
	return r, err
}

// Read implements train.Rows.
func (r *shardRows) Read(ctx context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		if !r.fit.has(shard, train.Training, train.Validation) {
			return
		}
		d := *r.data // several shards may be read at a time
		reading := reading{data: &d, transform: r.transform, applier: r.transform.NewApplier(), half: d.halves(shard), weighing: r.weighing}
		if r.member > 0 {
			reading.draw = d.drawn(shard, r.member)
		}
		reading.out.Block = new(kernel.Block)
		for rows, err := range d.prepared(ctx, shard, false, &reading.rep) {
			if err != nil {
				yield(nil, d.located(err))
				return
			}
			if !reading.batch(rows, yield) {
				return
			}
		}
	}
}

// reading is the state of reading a shard.
type reading struct {
	*data
	transform *feature.Transform
	applier   *feature.Applier
	weighing  weighing
	rep       pipeline.Report
	out       train.Batch
	labels    []float32
	part      kernel.Block
	half      func(row int64) uint64 // nil: validation rows are not halved
	draw      func(row int64) int    // how often a training row is there; nil: once
	times     []int
}

// partRows bounds the rows of a batch where features are texts, whose terms no other bound
// covers, and where rows are drawn, which follow each other copy by copy: it is what kept
// rows come in.
const partRows = compact.ChunkRows

// batch yields the rows of a batch: all together, so that chunks without rows of this
// worker's replicas are not even decoded, or chunk by chunk where a feature may drop rows,
// and in parts of chunks where one is a text or rows are drawn. Parts are cut before rows
// are dropped, so that they are the same of rows that are kept and rows made anew.
func (r *reading) batch(rows *compact.Batch, yield func(*train.Batch, error) bool) bool {
	texts := len(r.transform.Shape().Terms) > 0
	if !r.transform.Drops() && !texts {
		return r.yield(rows, yield)
	}
	for chunk := range rows.Chunks() {
		whole, err := rows.Chunk(chunk)
		if err != nil {
			yield(nil, r.located(err))
			return false
		}
		n := int(whole.NumRows())
		size := n
		if texts || r.draw != nil {
			size = partRows
		}
		more := true
		for from := 0; from < n && more; from += size {
			more = r.some(whole, from, min(from+size, n), yield)
		}
		whole.Release()
		if !more {
			return false
		}
	}
	return true
}

// some yields those of rows [from, to) of a record that no feature drops.
func (r *reading) some(whole arrow.Record, from, to int, yield func(*train.Batch, error) bool) bool {
	part, err := between(whole, from, to)
	if err == nil {
		var kept arrow.Record
		kept, err = r.transform.Keep(part, &r.rep)
		part.Release()
		part = kept
	}
	if err != nil {
		yield(nil, r.located(err))
		return false
	}
	defer part.Release()
	return part.NumRows() == 0 || r.yield(compact.Whole(part, feature.PreparedTail), yield)
}

// between returns rows [from, to) of a record.
func between(whole arrow.Record, from, to int) (arrow.Record, error) {
	if to-from == int(whole.NumRows()) {
		whole.Retain()
		return whole, nil
	}
	some := table.NewMask(int(whole.NumRows()))
	for i := from; i < to; i++ {
		some.Set(i)
	}
	return table.Select(memory.DefaultAllocator, whole, some)
}

// yield hands the rows of a batch on, with their numbers and splits.
func (r *reading) yield(rows *compact.Batch, yield func(*train.Batch, error) bool) bool {
	labels, valid, err := r.transform.Labels(rows.Tail, r.labels)
	if err != nil {
		yield(nil, r.located(err))
		return false
	}
	r.labels = labels
	r.out.Split, r.out.Row = feature.Splits(rows.Tail, r.out.Split), table.Rows(rows.Tail)
	for i, ok := range valid {
		if !ok {
			r.out.Split[i] = train.Unused
		}
	}
	for i, row := range r.out.Row {
		if r.half != nil && r.out.Split[i] == train.Validation && split.Held(r.half(row)) {
			r.out.Split[i] = train.Unused
		}
	}
	r.out.Fill = func(keep table.Mask) error { return r.located(r.fill(rows, keep)) }
	if r.draw == nil {
		return yield(&r.out, nil)
	}
	return r.repeat(yield)
}

// copyBit is where the number of a copy stands in the number of a row, beyond those of
// balanced rows.
const copyBit = 52

// repeat hands the rows of a batch on as often as they are drawn: once for each copy, in
// which those that are not there so often are unused.
func (r *reading) repeat(yield func(*train.Batch, error) bool) bool {
	most := 1
	r.times = slices.Grow(r.times[:0], len(r.out.Row))[:len(r.out.Row)]
	for i, row := range r.out.Row {
		r.times[i] = 1
		if r.out.Split[i] == train.Training {
			r.times[i] = r.draw(row)
			most = max(most, r.times[i])
		}
	}
	names := r.out.Row
	for k := range most {
		r.out.Row = make([]int64, len(names))
		for i, row := range names {
			r.out.Row[i] = row | int64(k)<<copyBit
			if r.times[i] <= k {
				r.out.Split[i] = train.Unused
			}
		}
		if !yield(&r.out, nil) {
			return false
		}
	}
	return true
}

// fill makes a block of the rows of a batch that are kept.
func (r *reading) fill(rows *compact.Batch, keep table.Mask) error {
	block := r.out.Block
	r.transform.Resize(block, keep.Count())
	block.Labels, block.Weights = block.Labels[:0], block.Weights[:0]
	for i := range keep.Marked() {
		block.Labels = append(block.Labels, r.labels[i])
	}
	at := 0
	for chunk := range rows.Chunks() {
		from, to := rows.Bounds(chunk)
		some := keep.Part(from, to)
		n := some.Count()
		if n == 0 {
			continue
		}
		whole, err := rows.Chunk(chunk)
		if err != nil {
			return err
		}
		kept, err := table.Select(memory.DefaultAllocator, whole, some)
		whole.Release()
		if err != nil {
			return err
		}
		r.transform.Within(block, at, at+n, &r.part)
		if err = r.applier.Apply(kept, &r.part, nil); err == nil && r.weighing != nil {
			block.Weights, err = r.weighing.Weigh(kept, block.Labels[at:at+n], block.Weights)
		}
		kept.Release()
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}
