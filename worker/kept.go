package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/compact"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// preparedDir is the directory of the state bucket for prepared rows, and for what
// stages found in rows, with one of its own for each pipeline. Names say what an object
// is made of, so that whoever needs the same, in this run or a later one, finds it.
const preparedDir = "prepared/"

const (
	// keptFormat changes whenever the same names would stand for other bytes: the form
	// of objects, what a cleaning step makes of a row, or what a stage finds in rows.
	keptFormat = 5
	// maxKeptBytes bounds the rows of a shard that are kept, which are in memory whole.
	maxKeptBytes = 64 << 20
)

// What is counted of what is kept, in thalweg_prepared_bytes_total.
const (
	keptWritten   = "written"
	keptRead      = "read"
	keptDamaged   = "damaged"
	keptCollected = "collected"
)

// keeping is where and under which names the rows of a dataset are kept.
type keeping struct {
	*feature.Preparation
	dir string // of the pipeline
	// What prepared rows, and what inspect, clean and fit find in a shard's, are made of
	// beside the shard.
	rows, inspect, clean, fit string
}

// newKeeping returns how the rows of a dataset are kept.
func newKeeping(lease *apiv1.Lease, d *data) (k keeping, err error) {
	spec := d.plan.Spec
	var also []string
	for _, way := range spec.Spec.Evaluation.Slices {
		also = append(also, way.Columns...)
	}
	if of, ok := d.plan.Balance(); ok && of.Method == pipeline.Weights {
		also = append(also, of.By) // rows are weighed where they are read
	}
	fairness := spec.Spec.Evaluation.Fairness
	if fairness != nil {
		also = append(also, fairness.Sensitive...)
	}
	if spec.Trains() {
		k.Preparation, err = feature.NewPreparation(d.plan, also)
	} else {
		k.Preparation = new(feature.Preparation) // nobody reads prepared rows
	}
	if err != nil {
		return k, err
	}
	content := func(input string) string { return lease.Inputs[input][strings.IndexByte(lease.Inputs[input], '#')+1:] }
	input := d.plan.Input
	if input.Labels != nil { // what rows get of it is in what the shuffle found
		input.Labels = &table.Labels{Columns: input.Labels.Columns}
	}
	of := []any{keptFormat, pipeline.CleaningHash(spec), input, spec.Spec.Preprocessing.Split, spec.Spec.Trainer.Seed}
	if !spec.Trains() { // clean finds less
		of = append(of, "written")
	}
	if id := d.source.Key.ID(); id != "" {
		of = append(of, id)
	}
	if d.manifest.Partitions != nil { // what folders say is part of an object's key
		of = append(of, d.manifest.Partitions)
	}
	if slices.ContainsFunc(d.manifest.Objects, func(o dataset.Object) bool { return o.ETag == "" && o.Version == "" }) {
		of = append(of, lease.RunId) // the store does not tell whether an object is the same one
	}
	name := func(of []any) string {
		text, failed := json.Marshal(of)
		if failed != nil {
			err = failed
		}
		return storage.SHA256(text)
	}
	k.inspect = name(append(of, "inspected", pipeline.FittingHash(spec)))
	before := len(d.passes) // those that clean knows of
	if steps, _ := spec.Shuffles(); spec.Learns() {
		before = min(before, steps)
	}
	if before > 0 {
		of = append(of, d.passesHash(before))
	}
	k.dir = preparedDir + spec.Metadata.Name + "/"
	cleaned, folds := slices.Clone(of), spec.Folds()
	if d.cuts.Type != "" { // the spec of a trial, and of what follows, has no search
		folds = d.cuts.Folds
	}
	if folds != spec.Spec.Preprocessing.Split.Folds { // a search's: what is observed of strata has a window for each
		cleaned = append(cleaned, fmt.Sprintf("%d folds", folds))
	}
	if len(spec.Spec.Tests) > 0 && spec.Learns() {
		of = append(of, pipeline.TestsHash(spec))
	} else if len(spec.Spec.Tests) > 0 {
		cleaned = append(cleaned, pipeline.TestsHash(spec))
	}
	k.clean = name(cleaned)
	if before < len(d.passes) {
		of = append(of, d.passesHash(len(d.passes)))
	}
	of = append(of, content("learnt"), content("split"), k.Columns)
	if d.balance != nil {
		of = append(of, content("balance"))
	}
	k.rows = name(of)
	if of = append(of, pipeline.FittingHash(spec)); fairness != nil { // whose labels are counted
		if of = append(of, fairness.Sensitive); fairness.Reweighs() {
			of = append(of, fairness.Remedy)
		}
	}
	k.fit = name(of)
	return k, err
}

// key returns the key of what a shard gives, by what else that is made of.
func (d *data) key(shard int, of string) (string, error) {
	s := d.manifest.Shards[shard]
	object := d.manifest.Objects[s.Object]
	object.Header = 0 // a number in the manifest, and the header is in what ETag is of
	made := []any{of, object, s.FirstRowGroup, s.EndRowGroup}
	if s.End > 0 {
		made = append(made, s.Offset, s.End)
	}
	if len(d.passes) > 0 { // what they found is by the shard's number
		made = append(made, fmt.Sprint("shard ", shard))
	}
	if s.Skipped != "" {
		made = append(made, "skipped")
	}
	text, err := json.Marshal(made)
	return d.keeping.dir + storage.SHA256(text)[:32], err
}

// found is what a stage found in a shard's rows, as it is kept.
type found struct {
	SHA256 string          `json:"sha256"` // of the rest
	Result json.RawMessage `json:"result"`
}

// remembered returns what a stage finds in a shard's rows, which a run before may have
// kept; of is what it is made of beside the shard.
func remembered[T any](ctx context.Context, d *data, shard int, of string, find func() (T, error)) (result T, err error) {
	key, err := d.key(shard, of)
	if err != nil {
		return result, err
	}
	var kept found
	body, _, err := d.worker.state.Get(ctx, key)
	if err == nil && json.Unmarshal(body, &kept) == nil && storage.SHA256(kept.Result) == kept.SHA256 && json.Unmarshal(kept.Result, &result) == nil {
		d.progress.Add(d.manifest.Shards[shard].Rows)
		return result, nil
	}
	if err == nil {
		d.damaged(key, len(body), nil)
	} else if !thalweg.Is(err, thalweg.NotFound) {
		return result, err
	}
	if result, err = find(); err != nil {
		return result, err
	}
	if kept.Result, err = json.Marshal(result); err != nil {
		return result, err
	}
	kept.SHA256 = storage.SHA256(kept.Result)
	if body, err = json.Marshal(kept); err == nil {
		d.keep(ctx, key, body)
	}
	return result, err
}

// damaged notes that what is under a key cannot be read.
func (d *data) damaged(key string, size int, err error) {
	d.worker.metrics.kept.WithLabelValues(keptDamaged).Add(float64(size))
	d.worker.log.Warn("prepared rows are damaged, and are made again", "object", key, keyError, err)
}

// keep writes an object. Whoever needs what is not kept makes it again.
func (d *data) keep(ctx context.Context, key string, body []byte) {
	if _, err := d.worker.state.Put(ctx, key, body); err != nil {
		d.worker.log.Warn("prepared rows are not kept", "object", key, keyError, err)
		return
	}
	d.worker.metrics.kept.WithLabelValues(keptWritten).Add(float64(len(body)))
}

// keptNote is the note on a batch of kept rows: where it was read. That on all of them
// has what the cleaning steps did.
type keptNote struct {
	RowGroup int   `json:"row_group"`
	Row      int64 `json:"row"`
	First    int64 `json:"first"`
	Read     int64 `json:"read"`
}

// prepared yields the prepared rows of a shard, with the splits of the view: those that
// are kept or, where they are not, or are damaged, made anew. keep says that they shall be kept then. rep counts
// what cleaning them did.
func (d *data) prepared(ctx context.Context, shard int, keep bool, rep *pipeline.Report) iter.Seq2[*compact.Batch, error] {
	return func(yield func(*compact.Batch, error) bool) {
		if d.cuts.Folds > 0 {
			whole := yield
			yield = func(rows *compact.Batch, err error) bool {
				if rows != nil {
					rows = feature.Viewed(rows, d.view.Of)
				}
				return whole(rows, err)
			}
		}
		key, err := d.key(shard, d.keeping.rows)
		var file *compact.File
		if err == nil {
			file, err = d.openKept(ctx, key)
		}
		switch {
		case err != nil:
			yield(nil, err)
		case file != nil:
			d.replay(ctx, file, shard, rep, yield)
		default:
			d.prepare(ctx, shard, key, keep, rep, yield)
		}
	}
}

// openKept returns the rows under a key, nil where there are none that can be read.
func (d *data) openKept(ctx context.Context, key string) (*compact.File, error) {
	body, _, err := d.worker.state.Get(ctx, key)
	if err != nil {
		if thalweg.Is(err, thalweg.NotFound) {
			err = nil
		}
		return nil, err
	}
	file, err := compact.Open(body)
	if err != nil {
		d.damaged(key, len(body), err)
		return nil, nil
	}
	d.worker.metrics.kept.WithLabelValues(keptRead).Add(float64(len(body)))
	return file, nil
}

// replay yields kept rows.
func (d *data) replay(ctx context.Context, file *compact.File, shard int, rep *pipeline.Report, yield func(*compact.Batch, error) bool) {
	object := d.manifest.Objects[d.manifest.Shards[shard].Object].Key
	for {
		d.worker.cfg.Memory.Yield(ctx)
		b, err := file.Next()
		var note keptNote
		switch {
		case err == io.EOF:
			d.at = table.Place{}
			var of pipeline.Report
			if err := json.Unmarshal(file.Note, &of); err != nil {
				yield(nil, err)
				return
			}
			rep.Merge(&of)
			return
		case err == nil:
			err = json.Unmarshal(b.Note, &note)
		}
		d.at, d.first = table.Place{Object: object, RowGroup: note.RowGroup, Row: note.Row}, note.First
		d.progress.Add(note.Read)
		if !yield(b, err) || err != nil {
			return
		}
	}
}

// prepare yields rows made anew, and keeps them, if it shall and they are within the
// bounds.
func (d *data) prepare(ctx context.Context, shard int, key string, keep bool, rep *pipeline.Report, yield func(*compact.Batch, error) bool) {
	room := min(maxKeptBytes, d.worker.cfg.KeepBytes/max(d.manifest.Rows, 1)*d.manifest.Shards[shard].Rows)
	var out *compact.Encoder
	if keep {
		out = compact.NewEncoder(d.keeping.Columns, feature.PreparedTail)
	}
	var of pipeline.Report
	var splits []uint8
	balanced := balancing{data: d, hash: d.origin(shard).Draw(d.plan.Spec.Spec.Trainer.Seed), rep: &of}
	tests, err := d.tests(ctx, shard, true)
	if err != nil {
		yield(nil, err)
		return
	}
	for cleaned, err := range d.cleaned(ctx, clean.New(d.plan, pipeline.InTraining), shard, &of) {
		if err == nil && tests != nil && keep {
			err = tests.Observe(cleaned, d.at, d.first, &of)
		}
		if err == nil {
			splits, err = d.cuts.Codes(d.plan, cleaned, d.origin(shard), splits)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		read := d.read
		for rows, err := range balanced.rows(cleaned, splits) {
			if err != nil {
				yield(nil, err)
				return
			}
			if out != nil {
				note, _ := json.Marshal(keptNote{d.at.RowGroup, d.at.Row, d.first, read}) // integers can always be written
				if !out.Add(rows, note) || int64(out.Len()) > room {
					out = nil
				}
			}
			if read = 0; !yield(compact.Whole(rows, feature.PreparedTail), nil) {
				return
			}
		}
	}
	rep.Merge(&of)
	note, err := json.Marshal(of)
	if out == nil || err != nil {
		return
	}
	d.keep(ctx, key, out.Finish(note))
}

// balancing prepares cleaned rows of a shard as often as they are there.
type balancing struct {
	*data
	hash   func(row int64) uint64
	rep    *pipeline.Report
	copies []uint32
}

// rows yields prepared rows: those of a batch, or where training rows are balanced those
// that are there at all, and then further copies.
func (b *balancing) rows(cleaned arrow.Record, splits []uint8) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		prepared := func(rows arrow.Record, splits []uint8) bool {
			out, err := b.keeping.Apply(rows, splits)
			if err != nil {
				yield(nil, err)
				return false
			}
			defer out.Release()
			return yield(out, nil)
		}
		if b.balance == nil {
			prepared(cleaned, splits)
			return
		}
		training, err := b.training(cleaned, splits)
		most := uint32(0)
		if err == nil {
			b.copies, most, err = b.balance.Copies(cleaned, training, b.hash, b.rep, b.copies)
		}
		for k, more := uint32(0), true; k < most && more && err == nil; k++ {
			var rows arrow.Record
			var of []uint8
			if rows, of, err = balance.Round(b.worker.pool.Allocator(), cleaned, splits, b.copies, k); err == nil {
				more = prepared(rows, of)
				rows.Release()
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// collect removes all that is kept of the pipeline but what its run needs. Who needs
// other rows after all, as a run that was given up and does not know it yet, makes them
// again.
func (d *data) collect(ctx context.Context) error {
	needed := make(map[string]bool)
	inspecting := *d // was before any shuffle
	inspecting.passes = nil
	for shard := range d.manifest.Shards {
		inspected, err := inspecting.key(shard, d.keeping.inspect)
		if err != nil {
			return err
		}
		needed[inspected] = true
		for _, of := range []string{d.keeping.rows, d.keeping.clean, d.keeping.fit} {
			key, err := d.key(shard, of)
			if err != nil {
				return err
			}
			needed[key] = true
		}
	}
	removed, err := storage.Remove(ctx, d.worker.state, d.keeping.dir, func(key string) bool { return !needed[key] })
	d.worker.metrics.kept.WithLabelValues(keptCollected).Add(float64(removed.Bytes))
	return err
}
