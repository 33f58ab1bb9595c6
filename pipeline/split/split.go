// Package split assigns rows to training, validation and test. Where the
// assignment depends on the data (datetime), each shard is observed, the
// observations are merged in shard order into cut points, and the cut points
// are stored with the run: what was training once is training for ever.
package split

import (
	"encoding/json"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The splits, as Assign numbers them; Count is how many there are.
const (
	Train      = 0
	Validation = 1
	Test       = 2
	Count      = 3
)

// Names are the splits' names by number.
var Names = [Count]string{"train", "validation", "test"}

// Observer looks at the rows of one shard, in order. It is for one goroutine.
type Observer interface {
	// Observe looks at a batch of cleaned rows, which stays the caller's. How the
	// rows were cut into batches makes no difference.
	Observe(batch arrow.Record) error
	// Partial returns what was observed, as JSON.
	Partial() ([]byte, error)
}

// placeOfRow is what a split goes by that hashes rows.
const placeOfRow = "the place of a row in the training data, which an event does not have"

// Catalog lists the ways of splitting; to add one is a file and a line here.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "random", Options: &method{place: placeOfRow, observer: observeNothing, finish: finishNothing, assign: assignRandom, fold: foldRandom}},
		{Name: "datetime", Options: &method{by: []table.Type{table.Timestamp}, column: "the column of the time",
			observer: observeTimes, finish: finishTimes, assign: assignTimes}},
		{Name: "hash", Options: &method{by: []table.Type{table.String, table.Int64, table.Timestamp}, column: "the column of the key",
			observer: observeNothing, finish: finishNothing, assign: assignHash, fold: foldHash}},
		{Name: "stratify", Options: &method{by: []table.Type{table.String, table.Int64, table.Bool}, column: "the column whose values have equal shares",
			place: placeOfRow, observer: observeStrata, finish: finishStrata, assign: assignStrata, fold: foldStrata}},
		{Name: "fixed", Options: &method{by: []table.Type{table.String, table.Int64}, column: "the column that says train, validation or test",
			place: "a column that says it, which output_columns can name", given: true,
			observer: observeFixed, finish: finishFixed, assign: assignFixed}},
	}
}

// Method is a way of splitting: the options of an entry of the catalog, this
// package's or another's.
type Method interface {
	pipeline.SplitMethod
	// Observer returns what looks at the rows of a shard before there are cuts.
	Observer(c *Cuts, from Origin) Observer
	// Finish completes the cuts by the partials of all shards, in shard order.
	Finish(c *Cuts, partials [][]byte) error
	// Assign writes the split of each row of a batch to dst, which is as long.
	Assign(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error
}

// Origin is where the rows of a shard lie: with its number in the shard it tells a row
// from all others, whatever other objects there are and however they are cut.
type Origin struct {
	// Object is the key of the shard's object, of which it has the rows from First on.
	Object string
	First  int64
}

// method is a Method of functions.
type method struct {
	// by are the types of the column that rows are split by, and column what a spec is
	// told that lacks one.
	by     []table.Type
	column string
	// place is what the split goes by where an event cannot be told its own.
	place string
	// given: the data say how many rows each split has.
	given    bool
	observer func(c *Cuts, from Origin) Observer
	// finish returns the cut points that the partials of all shards, in shard
	// order, call for.
	finish func(c *Cuts, partials [][]byte) error
	assign func(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error
	// fold adds to each row's split in dst its fold; nil: the method has no folds.
	fold func(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error
}

// SplitBy implements pipeline.SplitMethod.
func (m *method) SplitBy() (types []table.Type, what string) { return m.by, m.column }

// NotOfEvents implements pipeline.SplitMethod.
func (m *method) NotOfEvents() string { return m.place }

// Given implements pipeline.SplitMethod.
func (m *method) Given() bool { return m.given }

// Folded implements pipeline.SplitMethod.
func (m *method) Folded() bool { return m.fold != nil }

// Fold implements Folder.
func (m *method) Fold(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error {
	return m.fold(c, batch, from, dst)
}

// Observer implements Method.
func (m *method) Observer(c *Cuts, from Origin) Observer { return m.observer(c, from) }

// Finish implements Method.
func (m *method) Finish(c *Cuts, partials [][]byte) error { return m.finish(c, partials) }

// Assign implements Method.
func (m *method) Assign(c *Cuts, batch arrow.Record, from Origin, dst []uint8) error {
	return m.assign(c, batch, from, dst)
}

func methodOf(plan *pipeline.Plan) (Method, error) {
	if m, ok := plan.Split.(Method); ok {
		return m, nil
	}
	return nil, &thalweg.Error{Op: "split rows", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("split type %q", plan.Spec.Spec.Preprocessing.Split.Type)}
}

// Cuts says which rows belong to which split. It is data: stored as JSON in the
// run, the same for every shard and worker.
type Cuts struct {
	Type string `json:"type"`
	// Seed decides a split by hashes.
	Seed uint64 `json:"seed,omitempty"`
	// Bounds are the cumulative shares after which validation and test begin: those of
	// the spec, or of the rows (fixed).
	Bounds [2]float64 `json:"bounds"`
	// Folds is how many folds there are of the training and validation rows; 0: none.
	Folds int `json:"folds,omitempty"`
	// Column and Times: rows before Times[0] are training, rows before Times[1]
	// validation, the others test (datetime); microseconds since 1970 UTC. Equal
	// times are never parted. A row without a time is training; Missing counts
	// these.
	Column  string   `json:"column,omitempty"`
	Times   [2]int64 `json:"times"`
	Missing int64    `json:"missing,omitempty"`
	// Strata are the values of the column with their own cuts (stratify).
	Strata []Stratum `json:"strata,omitempty"`
}

// Judged returns the split that versions are judged by.
func (c *Cuts) Judged() uint8 {
	if c.Bounds[1] < 1 {
		return Test
	}
	return Validation
}

// newCuts returns what a spec says of the cuts of a plan.
func newCuts(plan *pipeline.Plan) (*Cuts, Method, error) {
	spec := plan.Spec.Spec.Preprocessing.Split
	m, err := methodOf(plan)
	if err != nil {
		return nil, nil, err
	}
	c := &Cuts{Type: spec.Type, Column: spec.Column, Seed: plan.Spec.Spec.Trainer.Seed, Folds: plan.Spec.Folds()}
	if m.Given() {
		return c, m, nil
	}
	if len(spec.Probabilities) != Count {
		return nil, nil, &thalweg.Error{Op: "split rows", Kind: thalweg.Invalid, Subject: "preprocessing.split.probabilities", Hint: "give three: train, validation, test"}
	}
	c.Bounds = [2]float64{spec.Probabilities[Train], spec.Probabilities[Train] + spec.Probabilities[Validation]}
	if spec.Probabilities[Test] == 0 {
		c.Bounds[1] = 1 // whatever the sum is rounded to
	}
	return c, m, nil
}

// NewObserver returns the observer of one shard, whose rows lie where from says.
func NewObserver(plan *pipeline.Plan, from Origin) (Observer, error) {
	c, m, err := newCuts(plan)
	if err != nil {
		return nil, err
	}
	return m.Observer(c, from), nil
}

// Finish merges the partials of all shards, in shard order.
func Finish(plan *pipeline.Plan, partials [][]byte) (*Cuts, error) {
	c, m, err := newCuts(plan)
	if err != nil {
		return nil, err
	}
	return c, m.Finish(c, partials)
}

// each calls do with the partial of each shard.
func each[P any](partials [][]byte, do func(p P) error) error {
	for i, data := range partials {
		var p P
		err := thalweg.DecodeStrict(data, &p)
		if err == nil {
			err = do(p)
		}
		if err != nil {
			return &thalweg.Error{Op: "merge split", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("shard %d", i), Err: err}
		}
	}
	return nil
}

// Assign writes the split of each row of a batch of the shard of an origin to dst,
// which is grown as needed and returned. It depends on the row alone, not on
// the batch that the row comes in. The plan is the one that the cuts are of.
func (c *Cuts) Assign(plan *pipeline.Plan, batch arrow.Record, from Origin, dst []uint8) ([]uint8, error) {
	m, err := methodOf(plan)
	if err != nil {
		return nil, err
	}
	n := int(batch.NumRows())
	if cap(dst) < n {
		dst = make([]uint8, n)
	}
	dst = dst[:n]
	return dst, m.Assign(c, batch, from, dst)
}

// ColumnName is the column that says a row's split.
const ColumnName = "_split"

// Column returns the names of the splits that Assign gave rows; null where valid does
// not mark them. The zero Mask marks all.
func Column(mem memory.Allocator, parts []uint8, valid table.Mask) arrow.Array {
	b := array.NewStringBuilder(mem)
	defer b.Release()
	b.AppendValues(Names[:], nil)
	names := b.NewArray()
	defer names.Release()
	buf, indices := table.Alloc(mem, len(parts), arrow.Int32Traits)
	for i, p := range parts {
		indices[i] = int32(p)
	}
	return table.NewText(mem, len(parts), buf, valid, names)
}

// part returns the split of a value, by the values at which validation and test
// begin.
func part[T int64 | uint64](v, validation, test T) uint8 {
	switch {
	case v >= test:
		return Test
	case v >= validation:
		return Validation
	}
	return Train
}

// Blind reports whether an observer does not look at rows.
func Blind(o Observer) bool {
	_, blind := o.(nothing)
	return blind
}

// nothing observes nothing.
type nothing struct{}

func observeNothing(*Cuts, Origin) Observer { return nothing{} }
func finishNothing(*Cuts, [][]byte) error   { return nil }
func (nothing) Observe(arrow.Record) error  { return nil }
func (nothing) Partial() ([]byte, error)    { return json.Marshal(struct{}{}) }
