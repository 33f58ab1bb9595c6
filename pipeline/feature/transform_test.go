package feature

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

func training() [][]any {
	return [][]any{
		{"JFK", int64(10), 0.5, true}, {"LAX", int64(20), -3.0, false}, {"JFK", int64(60), math.NaN(), nil},
		{nil, nil, nil, true}, {"\xff<&>", int64(10), 7.25, true}}
}

// The golden hash changes only with the form of a transform, and with it the
// hash of every transform that is out there: raise dataVersion then.
func TestTheCanonicalFormIsStable(t *testing.T) {
	tr := fit(t, everyFeature(), batch(training()...))
	const want = "e7d8b96c7c3d7ea3f6a8a30a475dddf692b8095d992b172d07958b5134c82fbc"
	if tr.Hash() != want {
		t.Errorf("hash %s of\n%s", tr.Hash(), tr.canonical)
	}
}

func TestLoadIsTheInverseOfMarshal(t *testing.T) {
	plan := everyFeature()
	tr := fit(t, plan, batch(training()...))
	inside, err := json.MarshalIndent(struct{ T *Transform }{tr}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var outer struct{ T json.RawMessage }
	if err := json.Unmarshal(inside, &outer); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"alone": tr.canonical, "indented inside another document": outer.T} {
		back, err := Load(plan, data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if back.Hash() != tr.Hash() {
			t.Errorf("%s: another hash", name)
		}
		check(t, "shape", back.Shape(), tr.Shape())
		want, _ := apply(t, tr, batch(training()...))
		got, _ := apply(t, back, batch(training()...))
		check(t, "block", got, want)
	}
}

func TestLoadRefusesWhatFinishDidNotMake(t *testing.T) {
	plan := everyFeature()
	good := string(fit(t, plan, batch(training()...)).canonical)
	for name, change := range map[string][2]string{
		"another version":       {`"version":1`, `"version":2`},
		"an unknown field":      {`"version":1`, `"version":1,"size":0`},
		"another feature":       {`"name":"n_i"`, `"name":"n_x"`},
		"another strategy":      {`"missing":"fill_with_mean"`, `"missing":"drop_row"`},
		"another normalisation": {`"normalization":"zscore"`, `"normalization":"none"`},
		"a value twice":         {`"LAX"`, `"JFK"`},
		"counts cut short":      {`"counts":[`, `"counts":[1,`},
		"numbers not canonical": {`"shift":25`, `"shift":25.0`},
		"another label":         {`"name":"late"`, `"name":"early"`},
		"negative count":        {`"count":4`, `"count":-4`},
		"two kinds of data":     {`"category":{`, `"bins":{"cuts":[],"statistics":{"count":0,"missing":0,"mean":0,"m2":0,"min":0,"max":0}},"category":{`},
		"not JSON":              {`{"version"`, `{version`},
	} {
		data := strings.Replace(good, change[0], change[1], 1)
		if data == good {
			t.Fatalf("%s: nothing was changed in\n%s", name, good)
		}
		if _, err := Load(plan, []byte(data)); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	plan := everyFeature()
	f.Add(fit(f, plan, batch(training()...)).canonical)
	rec := batch(training()...)
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := Load(plan, data)
		if err != nil {
			return
		}
		apply(t, tr, rec)
		if out, err := json.Marshal(tr); err != nil || len(out) > len(data) {
			t.Fatalf("%v; canonical form of %d bytes from %d", err, len(out), len(data))
		}
	})
}

func TestMarshalCannotChangeTheTransform(t *testing.T) {
	tr := fit(t, everyFeature(), batch(training()...))
	data, _ := tr.MarshalJSON()
	clear(data)
	if again, _ := tr.MarshalJSON(); bytes.Equal(data, again) {
		t.Error("the transform handed out its own bytes")
	}
}

func TestKeepDropsARowOnceByItsFirstMissingFeature(t *testing.T) {
	plan := planOf(
		number("f", pipeline.FeatureOptions{MissingValueStrategy: dropRow}),
		category("s", pipeline.FeatureOptions{MissingValueStrategy: dropRow}),
		number("i", pipeline.FeatureOptions{}))
	tr := fit(t, plan, batch([]any{"a", int64(1), 1.0, nil}))
	rep := &pipeline.Report{KeepRemoved: true}
	out, err := tr.Keep(batch([]any{"a", nil, 1.0, nil}, []any{nil, nil, math.NaN(), nil}, []any{nil, nil, 2.0, nil}), rep)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "rows", tabletest.Rows(out), [][]any{{"a", nil, 1.0, nil, true, int64(0)}})
	check(t, "dropped", rep.Dropped, map[string]int64{"feature n_f is missing": 1, "feature c_s is missing": 1})
	check(t, "removed", rep.Removed, []pipeline.Removal{
		{Row: 1, Stage: "features", Reason: "feature n_f is missing"}, {Row: 2, Stage: "features", Reason: "feature c_s is missing"}})

	all := batch([]any{"a", nil, 1.0, nil})
	if out, _ := tr.Keep(all, nil); out != all {
		t.Error("a batch that stays whole was copied")
	}
}

func TestKeepFreesWhatItTakes(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	tr := fit(t, planOf(number("f", pipeline.FeatureOptions{MissingValueStrategy: dropRow})), column("f", 1.0))
	tr.mem = mem
	rec := tabletest.Batch(mem, everyType, 0, []any{"a", nil, 1.0, nil, true}, []any{"b", nil, nil, nil, true}, []any{"a", nil, 1.0, nil, true})
	defer rec.Release()
	out, err := tr.Keep(rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	out.Release()
}

func TestLabels(t *testing.T) {
	labels := func(typ table.Type, kind string, v ...any) ([]float32, []bool, error) {
		schema := table.Schema{Columns: []table.Column{{Name: "y", Type: typ}}}
		rows := make([][]any, len(v))
		for i := range v {
			rows[i] = v[i : i+1]
		}
		plan := planOf()
		plan.Label.Type = kind
		data := transformData{Label: describeLabel(plan.Label)}
		if kind == categoryLabel {
			data.Label.Classes, data.Label.Counts = []string{"-3", "no", "true", "\uFFFD"}, []int64{1, 2, 3, 4}
		}
		tr, err := build(plan, data)
		if err != nil {
			t.Fatal(err)
		}
		return tr.Labels(tabletest.Batch(memory.DefaultAllocator, schema, 40, rows...), make([]float32, 1))
	}
	for _, tc := range []struct {
		typ   table.Type
		kind  string
		in    []any
		want  []float32
		valid []bool
	}{
		{table.Bool, "binary", []any{true, nil, false}, []float32{1, 0, 0}, []bool{true, false, true}},
		{table.Int64, "binary", []any{int64(1), int64(0), nil}, []float32{1, 0, 0}, []bool{true, true, false}},
		{table.String, "category", []any{"true", nil, "never met", "no", "\xff\xfe"}, []float32{2, 0, -1, 1, 3}, []bool{true, false, false, true, true}},
		{table.Int64, "category", []any{int64(3), int64(-3), int64(-3), nil}, []float32{-1, 0, 0, 0}, []bool{false, true, true, false}},
		{table.Bool, "category", []any{false, true, nil}, []float32{-1, 2, 0}, []bool{false, true, false}},
		{table.Float64, "number", []any{1.5, math.NaN(), 1e300, nil}, []float32{1.5, 0, 0, 0}, []bool{true, false, false, false}},
	} {
		got, valid, err := labels(tc.typ, tc.kind, tc.in...)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "labels", got, tc.want)
		check(t, "valid", valid, tc.valid)
	}
	_, _, err := labels(table.Int64, "binary", int64(1), int64(2))
	if want := "read: label late, row 41: 2 is neither 0 nor 1"; err == nil || !strings.HasPrefix(err.Error(), want+" (a binary label is true or false") {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, _, err = labels(table.Float64, "category", 1.5); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a class of 1.5: got %v", err)
	}
	if _, _, err = labels(table.String, "binary", "yes"); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a text label: got %v", err)
	}
}
