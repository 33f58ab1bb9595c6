package feature

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// set is a set feature of a column.
func set(column, separator string, o pipeline.FeatureOptions) pipeline.Feature {
	o.Encoder = pipeline.Choice{Name: "multihot", Options: &MultiHot{Buckets: 1 << 12, Separator: separator}}
	return pipeline.Feature{Name: "set_" + column, Type: setType, Column: column, Options: o}
}

// someSets is a plan with a set, beside a category.
func someSets() *pipeline.Plan {
	return planOf(set("s", "a", pipeline.FeatureOptions{}), category("i", pipeline.FeatureOptions{}), set("s", ", ", pipeline.FeatureOptions{MissingValueStrategy: fillWithConst, FillValue: "none, some"}))
}

// setOf is the terms of values that come in any order and any number of times.
func setOf(values ...string) (out []kernel.Term) {
	for _, v := range values {
		out = append(out, kernel.Term{ID: termID([]byte(v), 1<<12), Weight: 1})
	}
	slices.SortFunc(out, func(a, b kernel.Term) int { return int(a.ID) - int(b.ID) })
	return out
}

func TestASetHasEachOfItsValuesOnce(t *testing.T) {
	plan := planOf(set("s", "|", pipeline.FeatureOptions{}))
	rec := column("s", "Drama| dark comedy |Drama", "", nil, "|", "dark comedy|drama", "one")
	tr := fit(t, plan, rec)
	a, b, rep := tr.NewApplier(), new(kernel.Block), new(pipeline.Report)
	if err := a.Apply(rec, b, rep); err != nil {
		t.Fatal(err)
	}
	want := [][]kernel.Term{setOf("Drama", "dark comedy"), nil, nil, nil, setOf("dark comedy", "drama"), setOf("one")}
	if !slices.EqualFunc(b.Terms[0], want, slices.Equal[[]kernel.Term]) || rep.Filled["set_s"] != 1 || rep.Unknown["set_s"] != 2 || a.Blank().Count() != 3 {
		t.Errorf("%v, want %v; %v", b.Terms[0], want, rep)
	}
	ids := map[uint32]string{termID([]byte("dark comedy"), 1<<12): ""}
	tr.TermNames(0, ids)
	data, err := json.Marshal(tr)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(plan, data)
	if err != nil || loaded.Hash() != tr.Hash() || ids[termID([]byte("dark comedy"), 1<<12)] != "dark comedy" {
		t.Errorf("%v, %v", ids, err)
	}
	if _, err := Load(planOf(set("s", ";", pipeline.FeatureOptions{})), data); err == nil {
		t.Error("data of another separator was loaded")
	}
}

func TestAListOfIntegersIsASet(t *testing.T) {
	plan := planOf(set("n", "|", pipeline.FeatureOptions{FillValue: "7|8"}))
	rows := func(lists ...any) (out [][]any) {
		for _, v := range lists {
			out = append(out, []any{nil, v, nil, true})
		}
		return out
	}
	rec := listBatch(rows(l{int64(3), nil, int64(-12), int64(3)}, l{}, nil, l{int64(7), int64(8)})...)
	part := rec.NewSlice(1, 4) // offsets do not begin at 0
	for rec, want := range map[arrow.Record][][]kernel.Term{rec: {setOf("3", "-12"), nil, setOf("7", "8"), setOf("7", "8")}, part: {nil, setOf("7", "8"), setOf("7", "8")}} {
		b := new(kernel.Block)
		if err := fit(t, plan, rec).NewApplier().Apply(rec, b, nil); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(b.Terms[0], want, slices.Equal[[]kernel.Term]) {
			t.Errorf("%v, want %v", b.Terms[0], want)
		}
	}
}
