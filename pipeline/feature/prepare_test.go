package feature

import (
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Prepared rows give the same statistics, blocks and labels as the cleaned rows that
// they are made of, and need none of their other columns.
func TestPreparedRowsStandForTheCleanedOnes(t *testing.T) {
	plan := everyFeature()
	rows := batch(training()...)
	splits := []uint8{0, 1, 0, 2, 0}
	p, err := NewPreparation(plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := p.Apply(rows, splits)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "splits", Splits(prepared, nil), splits)
	check(t, "rows", table.Rows(prepared), table.Rows(rows))
	partial := func(of arrow.Record) string {
		f := NewFitter(plan)
		if err := f.Observe(of, splits); err != nil {
			t.Fatal(err)
		}
		out, err := f.Partial()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	check(t, "statistics", partial(prepared), partial(rows))
	tr := fit(t, plan, rows)
	want, _ := apply(t, tr, rows)
	got, _ := apply(t, tr, prepared)
	check(t, "block", got, want)
	labels, valid, err := tr.Labels(prepared, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLabels, wantValid, err := tr.Labels(rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "labels", labels, wantLabels)
	check(t, "which labels there are", valid, wantValid)
	// Part by part, into one block.
	var whole, part kernel.Block
	tr.Resize(&whole, 5)
	applier := tr.NewApplier()
	for _, at := range [][2]int{{0, 2}, {2, 5}} {
		tr.Within(&whole, at[0], at[1], &part)
		if err := applier.Apply(prepared.NewSlice(int64(at[0]), int64(at[1])), &part, nil); err != nil {
			t.Fatal(err)
		}
	}
	check(t, "parts of a block", whole.Numbers, want.Numbers)
	check(t, "ids of parts of a block", whole.Categories, want.Categories)
}
