package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/worker/shuffle"
)

const (
	shuffleStage = "shuffle-"
	// shuffleReducers are few enough that a map task holds a piece for each, and many
	// enough for the workers of a cluster.
	shuffleReducers = 8
	// pieceName begins the names of objects of records.
	pieceName = "piece-"
)

// shuffleStages returns the stages of as many shuffles as a spec can ask for. needed says
// which of them, by their number, a spec has.
func shuffleStages(needed func(spec *pipeline.Spec, i int) bool) (all []Stage) {
	for i := range pipeline.MaxShuffles {
		name := fmt.Sprintf("%s%d", shuffleStage, i+1)
		all = append(all, Stage{
			Plan:   stages.Plan{Name: name, Over: stages.OverShards, Reducers: shuffleReducers, Outputs: []string{name}},
			Needed: func(spec *pipeline.Spec) bool { return needed(spec, i) },
			Map:    func(ctx context.Context, t *Task) error { return mapShuffle(ctx, t, i) },
			Reduce: func(ctx context.Context, t *Task) error { return reduceShuffle(ctx, t, i) },
		})
	}
	return all
}

// shufflesBeforeLearning reports whether the i-th shuffle of a spec is before the clean
// stage. It is, unless it is a test's of rows that steps have to learn to clean.
func shufflesBeforeLearning(spec *pipeline.Spec, i int) bool {
	steps, tests := spec.Shuffles()
	return i < steps || i < steps+tests && !spec.Learns()
}

func shufflesAfterLearning(spec *pipeline.Spec, i int) bool {
	steps, tests := spec.Shuffles()
	return i < steps+tests && !shufflesBeforeLearning(spec, i)
}

// pass returns the i-th shuffle of a plan.
func (d *data) pass(i int) (pipeline.Pass, error) {
	passes := d.plan.Passes()
	if i >= len(passes) {
		return pipeline.Pass{}, &thalweg.Error{Op: "shuffle rows", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%d passes", len(passes)), Err: fmt.Errorf("there is no pass %d", i+1)}
	}
	return passes[i], nil
}

// mapShuffle sends a record of each row to the reducer of its key.
func mapShuffle(ctx context.Context, t *Task, i int) error {
	d, err := t.worker.openData(ctx, t.Lease)
	if err != nil {
		return err
	}
	pass, err := d.pass(i)
	if err != nil {
		return err
	}
	d.progress = &t.rowsDone
	for _, s := range d.manifest.Shards[t.Lease.ShardFrom:t.Lease.ShardTo] {
		t.rowsTotal.Add(s.Rows)
	}
	pieces := shuffle.NewPieces(pass.Shuffle, shuffleReducers, func(to, n int, body []byte) (string, error) {
		return t.putRows(ctx, fmt.Sprintf(pieceName+"%06d-%03d-%06d", t.Lease.Index, to, n), body)
	})
	for shard := int(t.Lease.ShardFrom); shard < int(t.Lease.ShardTo); shard++ {
		if err := d.unsettled(ctx, pass, shard, func(batch arrow.Record) error { return pieces.Add(batch, shard) }); err != nil {
			return d.located(err)
		}
	}
	if len(pass.Labels) > 0 {
		if err := t.addLabels(ctx, d, pieces); err != nil {
			return err
		}
	}
	t.Report.Counts["rows"] = t.rowsDone.Load()
	t.Report.Partials, err = pieces.Finish()
	return err
}

// addLabels adds a task's share of the label file: as much of its shards as the task has of
// those of the training data.
func (t *Task) addLabels(ctx context.Context, d *data, pieces *shuffle.Pieces) error {
	shards := d.labels.Manifest.Shards
	at := func(shard uint32) int { return int(shard) * len(shards) / len(d.manifest.Shards) }
	from, to := at(t.Lease.ShardFrom), at(t.Lease.ShardTo)
	for _, s := range shards[from:to] {
		t.rowsTotal.Add(s.Rows)
	}
	keyless := int64(0)
	for shard := from; shard < to; shard++ {
		if err := d.labels.Each(ctx, shard, d.worker.reading(), func(batch arrow.Record) error {
			n, err := pieces.AddLabels(batch, shard)
			keyless += n
			t.rowsDone.Add(batch.NumRows())
			return err
		}); err != nil {
			return err
		}
	}
	if keyless > 0 {
		t.Report.Counts["rows of label_file without a key"] = keyless
	}
	return nil
}

// dropPieces removes what map tasks of a run's shuffles have sent to reducers: many times
// what these found. No shuffle comes later.
func (d *data) dropPieces(ctx context.Context, run string) error {
	for i := range d.passes {
		dir := fmt.Sprintf("%s%s/%s%d/", runsDir, run, shuffleStage, i+1)
		if _, err := storage.Remove(ctx, d.worker.state, dir+pieceName, func(string) bool { return true }); err != nil {
			return err
		}
	}
	return nil
}

// pieces adds the records of a map task to those of a reducer.
func (w *Worker) pieces(ctx context.Context, records *shuffle.Sorter, reference string) error {
	body, err := w.object(ctx, reference)
	if err != nil {
		return err
	}
	before, err := records.AddPiece(body)
	for _, reference := range before {
		if body, err = w.object(ctx, reference); err == nil {
			_, err = records.AddPiece(body)
		}
		if err != nil {
			break
		}
	}
	return err
}

// unsettled calls do with the rows of a shard as a pass finds them: in the steps before it
// lie what the passes before it have found.
func (d *data) unsettled(ctx context.Context, pass pipeline.Pass, shard int, do func(arrow.Record) error) error {
	chain := clean.Until(d.plan, pass.Step)
	whole := d.input
	defer func() { d.input = whole }()
	rows := d.batches(ctx, shard, new(pipeline.Report))
	if !chain.Empty() {
		rows = d.cleaned(ctx, chain, shard, new(pipeline.Report))
	} else if !d.rejects() { // a row is rejected for a bad value in any column
		d.input.Columns = slices.DeleteFunc(slices.Clone(whole.Columns), func(c table.Column) bool {
			return c.Name != pass.By && c.Name != pass.Value && !slices.Contains(pass.Keys, c.Name)
		})
	}
	for batch, err := range rows {
		if err == nil {
			err = do(batch)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reduceShuffle finds which rows of its keys are not the first, and writes them by shard.
func reduceShuffle(ctx context.Context, t *Task, i int) error {
	d, err := t.worker.openData(ctx, t.Lease)
	if err != nil {
		return err
	}
	pass, err := d.pass(i)
	if err != nil {
		return err
	}
	// Half of the rows that a worker holds, in all its slots.
	memory := t.worker.cfg.CacheBytes / int64(2*t.worker.cfg.Slots)
	records := shuffle.NewSorter(t.worker.cfg.spillDir(), memory*3/4)
	defer records.Close()
	for _, partial := range t.Lease.Partials {
		if err := t.worker.pieces(ctx, records, partial); err != nil {
			return err
		}
	}
	out := shuffle.NewOutcome(func(first int, body []byte) (string, error) {
		return t.putRows(ctx, fmt.Sprintf("found-%03d-%08d", t.Lease.Index, first), body)
	})
	if len(pass.Labels) > 0 {
		joined, err := shuffle.Join(ctx, records, pass.Shuffle, memory/4, out.Put)
		if err != nil {
			return err
		}
		out.Index.Joined = &joined
		t.Report.Counts["rows of label_file without a row"] = joined.Unmatched
	} else if err := shuffle.Reduce(ctx, records, pass.Shuffle, memory/4, out.Put); err != nil {
		return err
	}
	if err := out.Finish(); err != nil {
		return err
	}
	return t.Save(ctx, t.Lease.Kind, out.Index)
}

// putRows writes an object as checkpoint.PutObject does, but does not read it again: who
// does finds what is wrong with it.
func (t *Task) putRows(ctx context.Context, name string, body []byte) (string, error) {
	sum := storage.SHA256(body)
	ref := thalweg.ObjectRef{Key: fmt.Sprintf("%s%s/%s/%s-%s.rows", runsDir, t.Lease.RunId, t.Lease.Kind, name, sum[:16]), SHA256: sum}
	_, err := t.worker.state.Put(ctx, ref.Key, body)
	return ref.String(), err
}

// object reads a checksummed object of the state bucket.
func (w *Worker) object(ctx context.Context, reference string) ([]byte, error) {
	ref, err := thalweg.ParseObjectRef(reference)
	if err != nil {
		return nil, &thalweg.Error{Op: "load rows", Kind: thalweg.Invalid, Err: err}
	}
	return checkpoint.GetObject(ctx, w.state, ref)
}

// passed is what a pass has found: an index of each reducer.
type passed struct {
	name    string
	valued  bool // rows get values
	indexes []shuffle.Index
}

// loadPasses reads what the shuffles of the run so far have found.
func (d *data) loadPasses(ctx context.Context, inputs map[string]string) error {
	for i, pass := range d.plan.Passes() {
		of := passed{name: pass.Name, valued: pass.Valued()}
		var joined shuffle.Joined
		for k := range shuffleReducers {
			ref, ok := inputs[fmt.Sprintf("%s%d@%d", shuffleStage, i+1, k)]
			if !ok {
				return nil
			}
			var index shuffle.Index
			if err := d.worker.load(ctx, ref, "rows of pass "+pass.Name, &index); err != nil {
				return err
			}
			of.indexes = append(of.indexes, index)
			if index.Joined != nil {
				joined.Add(*index.Joined)
			}
		}
		if err := d.labels.Check(ctx, joined); err != nil {
			return err
		}
		d.passes = append(d.passes, of)
	}
	return nil
}

// settled returns what shuffles have found of a shard, by step or test. It has that of the
// shard that was asked for last.
func (d *data) settled(ctx context.Context, shard int) (map[string]*pipeline.Settled, error) {
	if d.last.found != nil && d.last.shard == shard {
		return d.last.found, nil
	}
	all := make(map[string]*pipeline.Settled, len(d.passes))
	for _, pass := range d.passes {
		found := new(pipeline.Settled)
		for i := range pass.indexes {
			ref := pass.indexes[i].Of(shard)
			if ref == "" {
				continue
			}
			body, err := d.worker.object(ctx, ref)
			if err == nil {
				err = shuffle.Read(found, body, shard, pass.valued)
			}
			if err != nil {
				return nil, err
			}
		}
		found.Sort()
		all[pass.name] = found
	}
	d.last.shard, d.last.found = shard, all
	return all, nil
}

// shuffled names those inputs of a lease that shuffles made.
func shuffled(inputs map[string]string) string {
	var all []string
	for name, ref := range inputs {
		if strings.HasPrefix(name, shuffleStage) {
			all = append(all, name+" "+ref)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// passesHash names what the first n shuffles have found, whatever the objects that it is in
// are called.
func (d *data) passesHash(n int) string {
	var text strings.Builder
	for _, pass := range d.passes[:n] {
		fmt.Fprintln(&text, pass.name)
		for _, index := range pass.indexes {
			for _, o := range index.Objects {
				_, sum, _ := strings.Cut(o.Reference, "#")
				fmt.Fprintln(&text, o.First, sum)
			}
		}
	}
	return storage.SHA256([]byte(text.String()))
}
