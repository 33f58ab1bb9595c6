package feature

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Applier applies a transform and remembers the ids of the last dictionaries
// it met. It is for one goroutine.
type Applier struct {
	transform *Transform
	memos     []Memo
	// hashes are those of the last batch, by feature that a cross is of, and hashed
	// what is remembered for them.
	hashes map[int][]uint32
	hashed []Memo
	blank  table.Mask // of the last batch
	see    func(feature int, values arrow.Array)
}

// See has each Apply show the values of every feature, as they are before they are encoded.
// They are the callee's until it returns.
func (a *Applier) See(see func(feature int, values arrow.Array)) { a.see = see }

// NewApplier returns an Applier of t.
func (t *Transform) NewApplier() *Applier {
	return &Applier{transform: t, memos: make([]Memo, len(t.encodings)),
		hashes: make(map[int][]uint32), hashed: make([]Memo, len(t.encodings))}
}

// Apply encodes the features of a cleaned batch into dst, whose memory it
// reuses and whose Labels it leaves alone. What a row becomes depends on that
// row alone, to the bit. rep, which may be nil, counts by feature the values
// that were missing and got the fill, those cut to ±MaxNumber, and those that
// got id 0. A row that Keep would drop gets the mean or id 0.
func (a *Applier) Apply(batch arrow.Record, dst *kernel.Block, rep *pipeline.Report) error {
	t, rows := a.transform, int(batch.NumRows())
	t.Resize(dst, rows)
	a.blank = table.NewMask(rows).Not()
	held := a.held(batch)
	for i, f := range t.plan.Features {
		var n Tally
		a.memos[i].held = held
		if err := a.encode(i, batch, t.places[i].of(dst), &n); err != nil {
			return err
		}
		if rep != nil {
			rep.Fill(f.Name, n.Filled)
			rep.Clip(f.Name, n.Clipped)
			rep.NotKnown(f.Name, n.Unknown)
		}
	}
	columns := dst.Categories[len(dst.Categories)-len(t.plan.Crosses):]
	for i, c := range t.plan.Crosses {
		var of [][]uint32
		for _, f := range c.Of {
			of = append(of, a.hashes[f])
		}
		crossIDs(columns[i], of, c.Buckets)
	}
	return nil
}

// held returns what says the fold of each row that is learned from, where a feature
// wants it: prepared rows say which these are. Of rows of which none is, it is nil.
func (a *Applier) held(batch arrow.Record) []uint64 {
	if !a.transform.supervised || len(batch.Schema().FieldIndices(splitColumn)) == 0 {
		return nil
	}
	seed := seedOf(a.transform.plan)
	out, rows := make([]uint64, batch.NumRows()), table.Rows(batch)
	for i, split := range Splits(batch, nil) {
		if split == trainSplit {
			out[i] = heldHash(seed, rows[i])
		}
	}
	return out
}

// Resize makes room for so many rows in a block, whose memory it reuses and whose
// Labels it leaves alone.
func (t *Transform) Resize(dst *kernel.Block, rows int) {
	dst.Rows = rows
	dst.Numbers = resizeAll(dst.Numbers, t.shape.Numbers, rows)
	dst.Categories = resizeAll(dst.Categories, len(t.shape.Cardinalities), rows)
	dst.Terms = resizeAll(dst.Terms, len(t.shape.Terms), rows)
	dst.Lists = resizeAll(dst.Lists, len(t.shape.Lists), 0)
	for l, dimensions := range t.shape.Lists {
		n := rows * kernel.Elements(dimensions)
		dst.Lists[l] = slices.Grow(dst.Lists[l], n)[:n]
	}
}

// Within makes part the rows [from, to) of a block, which it shares the memory of:
// applying the transform to as many rows fills them.
func (t *Transform) Within(block *kernel.Block, from, to int, part *kernel.Block) {
	t.Resize(part, 0)
	part.Rows = to - from
	for k, column := range block.Numbers {
		part.Numbers[k] = column[from:to:to]
	}
	for j, column := range block.Categories {
		part.Categories[j] = column[from:to:to]
	}
	for j, column := range block.Terms {
		part.Terms[j] = column[from:to:to]
	}
	for l, dimensions := range t.shape.Lists {
		n := kernel.Elements(dimensions)
		part.Lists[l] = block.Lists[l][from*n : to*n : to*n]
	}
}

// Drops reports whether Keep may drop rows.
func (t *Transform) Drops() bool {
	return slices.ContainsFunc(t.plan.Features, func(f pipeline.Feature) bool { return strategy(f) == dropRow })
}

func (a *Applier) encode(i int, batch arrow.Record, out Slots, n *Tally) error {
	from := a.transform.sources[i]
	values, err := from.read(batch)
	if err != nil {
		return err
	}
	defer values.Release()
	if values.Len() != int(batch.NumRows()) {
		return &thalweg.Error{Op: "evaluate", Kind: thalweg.Other, Subject: from.what,
			Err: fmt.Errorf("%d values for %d rows", values.Len(), batch.NumRows())}
	}
	if a.see != nil {
		a.see(i, values)
	}
	if err := a.transform.encodings[i].Encode(values, out, &a.memos[i], n); err != nil {
		return err
	}
	if m, ok := a.transform.members[i]; ok {
		a.hashes[i] = slices.Grow(a.hashes[i][:0], values.Len())[:values.Len()]
		if err := m.hash(values, out, a.hashes[i], &a.hashed[i]); err != nil {
			return err
		}
	}
	if a.blank.Count() > 0 {
		var ids []uint32
		if _, numbers := a.transform.encodings[i].(*valued); numbers {
			ids = a.memos[i].scratch
		} else if len(out.Categories) == 1 {
			ids = out.Categories[0]
		}
		if len(out.Terms) == 1 {
			a.blank.And(without(out.Terms[0][:values.Len()]))
		} else {
			a.blank.And(nothing(a.transform.plan.Features[i], a.transform.length(i), values, ids))
		}
	}
	return nil
}

// Blank marks the rows of the last batch of which nothing is known: every feature is
// missing, or a category that training gave no id.
func (a *Applier) Blank() table.Mask { return a.blank }

// nothing marks the rows in which a feature has no value that training knows. A
// missing value to which the spec gives a meaning, by fill_value or an indicator, is one.
func nothing(f pipeline.Feature, length int, values arrow.Array, ids []uint32) table.Mask {
	none := missingIn(f.Type, length, values)
	if fill := f.Options.FillValue; fill != nil && fill != defaultCategoryFill || f.Options.MissingIndicator {
		none = table.NewMask(values.Len())
	}
	if _, all := f.Options.Encoder.Options.(pipeline.Hasher); f.Type == categoryType && ids != nil && !all {
		for i, id := range ids[:values.Len()] {
			if id == 0 {
				none.Set(i)
			}
		}
	}
	return none
}

// without marks the rows that have no terms.
func without(rows [][]kernel.Term) table.Mask {
	m := table.NewMask(len(rows))
	for i, terms := range rows {
		if len(terms) == 0 {
			m.Set(i)
		}
	}
	return m
}

// resizeAll returns n slices of length rows, reusing memory.
func resizeAll[T any](s [][]T, n, rows int) [][]T {
	s = slices.Grow(s[:0], n)[:n]
	for i := range s {
		s[i] = slices.Grow(s[i][:0], rows)[:rows]
	}
	return s
}

// Keep returns the rows of a cleaned batch whose features can be used: those in
// which no feature with missing_value_strategy drop_row is missing. The others
// are counted and named in rep (which may be nil). The result is the batch
// itself, retained, where all rows stay; the caller releases it.
func (t *Transform) Keep(batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	keep, err := complete(t.plan, t.length, batch, rep)
	if err != nil {
		return nil, err
	}
	if keep.Words == nil {
		batch.Retain()
		return batch, nil
	}
	return table.Select(t.mem, batch, keep)
}

// length returns that of list feature i.
func (t *Transform) length(i int) int {
	if list := t.data.Features[i].List; list != nil {
		return list.Length
	}
	return anyLength
}

// complete marks the rows of a cleaned batch that Keep keeps: the mask has no words
// where no feature drops rows.
func complete(plan *pipeline.Plan, length func(i int) int, batch arrow.Record, rep *pipeline.Report) (keep table.Mask, err error) {
	for i, f := range plan.Features {
		if strategy(f) != dropRow {
			continue
		}
		values, err := sourceOf(f).read(batch)
		if err != nil {
			return keep, err
		}
		missing := missingIn(f.Type, length(i), values)
		values.Release()
		if keep.Words == nil {
			keep = table.NewMask(missing.Rows).Not()
		}
		// A row counts once, by the first feature that misses a value.
		missing.And(keep)
		keep.And(missing.Not())
		if rep != nil && missing.Count() > 0 {
			rep.DropRows(table.RowNumbers(nil, batch, missing), "features", "feature "+f.Name+" is missing")
		}
	}
	return keep, nil
}

// Usable marks the rows of a cleaned batch that a plan can learn from or judge a
// model by, whatever their split: their features are complete, and they have a label.
// The others are counted in rep, each by the first reason.
func Usable(plan *pipeline.Plan, batch arrow.Record, rep *pipeline.Report) (table.Mask, error) {
	declared := func(i int) int {
		if n := plan.Features[i].Options.Length; n != nil {
			return *n
		}
		return anyLength
	}
	use, err := complete(plan, declared, batch, rep)
	if err != nil {
		return use, err
	}
	if use.Words == nil {
		use = table.NewMask(int(batch.NumRows())).Not()
	}
	labels, err := sourceOfLabel(plan.Label).read(batch)
	if err != nil {
		return use, err
	}
	defer labels.Release()
	reject := func(lost table.Mask, reason string) {
		if lost.And(use); lost.Count() > 0 {
			use.And(lost.Not())
			rep.DropRows(table.RowNumbers(nil, batch, lost), "label", reason)
		}
	}
	if labels.NullN() > 0 {
		reject(table.Valid(labels).Not(), "the label is null")
	}
	if numbers, ok := labels.(*array.Float64); ok {
		infinite, beyond := table.NewMask(use.Rows), table.NewMask(use.Rows)
		for i, y := range numbers.Float64Values() {
			if !finite(y) {
				infinite.Set(i)
			} else if !finite(float64(float32(y))) {
				beyond.Set(i)
			}
		}
		reject(infinite, "the label is not finite")
		reject(beyond, "the label is beyond float32")
	}
	return use, nil
}
