package artifact

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// warmDocument has a feature of every kind; what is in it twice is of two versions.
const warmDocument = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: warm}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  input_features: [%s]
  crosses: [{columns: [origin, code], buckets: 64}]
  output_features: [{name: label, type: %s}]
  model: {type: %s}
  trainer: {warm_start: none}
`

var warmColumns = table.Schema{Columns: []table.Column{
	{Name: "x", Type: table.Float64, Nullable: true}, {Name: "y", Type: table.Float64}, {Name: "z", Type: table.Float64},
	{Name: "origin", Type: table.String}, {Name: "code", Type: table.String}, {Name: "pixels", Type: table.Float64List},
	{Name: "fresh", Type: table.Float64}, {Name: "label", Type: table.String},
}}

// warmed returns an artifact of a document that is fitted on rows of a range.
func warmed(t *testing.T, features, label, kind string, from, to int) *Artifact {
	t.Helper()
	columns := warmColumns
	if label != "category" {
		columns.Columns = append(columns.Columns[:len(columns.Columns)-1:len(columns.Columns)-1], table.Column{Name: "label", Type: table.Float64})
	}
	document := fmt.Sprintf(warmDocument, features, label, kind)
	if !strings.Contains(features, "name: origin") || strings.HasPrefix(kind, "trees") {
		document = document[:strings.Index(document, "  crosses")] + document[strings.Index(document, "  output"):]
	}
	if strings.Contains(kind, "on: hidden") {
		document = strings.Replace(document, "warm_start: none", "warm_start: champion", 1)
	}
	spec, err := pipeline.Parse(catalog.All(), "test.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pipeline.Compile(spec, columns)
	if err != nil {
		t.Fatal(err)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, warmRows(label, from, to)...)
	defer batch.Release()
	a := fitted(t, plan, batch)
	a.Params = make([]float32, a.Model.Size())
	for i := range a.Params {
		a.Params[i] = float32(math.Sin(float64(i*i))) / 3
	}
	return a
}

func warmRows(label string, from, to int) (rows [][]any) {
	for i := from; i < to; i++ {
		x := float64(i)
		var y any = float64(i % 2)
		if label == "category" {
			y = fmt.Sprintf("class %d", i/10)
		}
		rows = append(rows, []any{x, math.Mod(x*7, 13), x * x, fmt.Sprintf("A%d", i%7), fmt.Sprintf("c%d", i/5), []any{x, -2 * x, 3.0}, x, y})
	}
	return rows
}

// outputs returns what a model makes of the rows of a range.
func outputs(t *testing.T, a *Artifact, params []float32, label string, from, to int) []float32 {
	t.Helper()
	batch := tabletest.Batch(memory.DefaultAllocator, a.Schema, 0, warmRows(label, from, to)...)
	defer batch.Release()
	var block kernel.Block
	if err := a.Transform.NewApplier().Apply(batch, &block, nil); err != nil {
		t.Fatal(err)
	}
	out := make([]float32, block.Rows*a.Model.Outputs())
	a.Model.Predict(a.Model.NewWorkspace(), params, &block, out)
	return out
}

const (
	xyz  = `{name: x, type: number}, {name: y, type: number, normalization: minmax}, {name: z, type: number, normalization: log1p}`
	rest = `{name: origin, type: category}, {name: code, type: category, encoder: {type: hash, buckets: 32}}, {name: pixels, type: list}`
)

// A start answers as its parent did, whatever rows the transforms were fitted on, and
// in whatever order the features are: rows of what both know get the same predictions.
func TestAStartAnswersAsItsParentDid(t *testing.T) {
	for _, kind := range []string{"linear", "mlp, hidden: [6, 4], activation: tanh", "mlp, hidden: [6], normalization: batch"} {
		for _, label := range []string{"binary", "number", "count", "category"} {
			t.Run(kind+" "+label, func(t *testing.T) { startsAlike(t, kind, label, rest) })
		}
	}
	t.Run("embedding", func(t *testing.T) {
		startsAlike(t, "mlp, hidden: [6, 4]", "category", strings.Replace(rest, "origin, type: category", "origin, type: category, encoder: {type: embedding, size: 3}", 1))
	})
}

func startsAlike(t *testing.T, kind, label, rest string) {
	parent := warmed(t, xyz+", "+rest, label, kind, 0, 50)
	next := warmed(t, rest+", "+strings.Replace(xyz, "minmax", "zscore", 1), label, kind, 10, 60)
	params, got, err := next.StartFrom(parent)
	if err != nil {
		t.Fatal(err)
	}
	if got.Features != 7 || len(got.New) != 0 {
		t.Errorf("%s: %+v", label, got)
	}
	if label == "category" {
		classes, before := next.Answer().Classes, parent.Answer().Classes
		if len(classes) != 5 || classes[0] != before[1] || got.Values != 1 {
			t.Fatalf("classes %q after %q: %+v", classes, before, got)
		}
		// Of two classes that both know, one is as much likelier than the other.
		a, b := outputs(t, parent, parent.Params, label, 10, 50), outputs(t, next, params, label, 10, 50)
		for i := range len(a) / 5 {
			was, is := math.Log(float64(a[5*i+1]/a[5*i+2])), math.Log(float64(b[5*i]/b[5*i+1]))
			if math.Abs(was-is) > 1e-3*math.Max(1, math.Abs(was)) {
				t.Errorf("row %d: %v, was %v", i, is, was)
			}
		}
		return
	}
	a, b := outputs(t, parent, parent.Params, label, 10, 50), outputs(t, next, params, label, 10, 50)
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-4*math.Max(1, math.Abs(float64(a[i]))) {
			t.Errorf("%s: row %d is %v, was %v", label, i, b[i], a[i])
		}
	}
	// In the unit of training too.
	scale := next.Model.Loss().Scale(3, 7)
	learned := append([]float32(nil), params...)
	next.Model.Unscale(learned, scale)
	next.Model.Rescale(learned, scale)
	for i := range learned {
		if math.Abs(float64(learned[i]-params[i])) > 1e-5 {
			t.Fatalf("%s: parameter %d is %v after Unscale and Rescale, was %v", label, i, learned[i], params[i])
		}
	}
}

// An embedding of another size, and of a new feature, learns: its numbers are not zero where
// their weights are.
func TestANewEmbeddingCanLearn(t *testing.T) {
	sized := func(size string) string {
		return strings.Replace(rest, "origin, type: category", "origin, type: category, encoder: {type: embedding, size: "+size+"}", 1)
	}
	for name, before := range map[string]string{"of another size": sized("3"), "of one-hot": rest} {
		parent := warmed(t, before, "binary", "mlp, hidden: [6, 4]", 0, 50)
		next := warmed(t, sized("5"), "binary", "mlp, hidden: [6, 4]", 10, 60)
		params, got, err := next.StartFrom(parent)
		if err != nil || !slices.Contains(got.New, "origin") {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		weights, _ := model.Find(next.Model, "category.origin.weight")
		numbers, _ := model.Find(next.Model, "category.origin.embedding")
		if slices.ContainsFunc(weights.Of(params), func(w float32) bool { return w != 0 }) || slices.Contains(numbers.Of(params), 0) {
			t.Errorf("%s: weights %v of numbers %v", name, weights.Of(params), numbers.Of(params))
		}
	}
}

// What the parent does not know starts as what it never saw: a column without a say, a
// value of a category as the unknown one.
func TestWhatIsNewStartsAsUnseen(t *testing.T) {
	parent := warmed(t, xyz+", "+rest, "binary", "linear", 0, 6)
	next := warmed(t, `{name: fresh, type: number}, {name: z, type: number}, {name: x, type: number, encoder: {type: bins, count: 4}, missing_value_strategy: own_bin}, `+rest, "binary", "linear", 0, 60)
	params, got, err := next.StartFrom(parent)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.New) != "[fresh z x]" || got.Features != 4 || got.Values != 1 {
		t.Errorf("%+v", got)
	}
	of := func(a *Artifact, name string, params []float32) []float32 {
		v, ok := model.Find(a.Model, name)
		if !ok {
			t.Fatal(name)
		}
		return v.Of(params)
	}
	for _, name := range []string{"number.fresh.weight", "number.z.weight", "category.x.weight"} {
		for _, w := range of(next, name, params) {
			if w != 0 {
				t.Errorf("%s is %v", name, w)
			}
		}
	}
	unseen := of(parent, "category.origin.weight", parent.Params)[0]
	for i, value := range next.Transform.Features()[3].Category.Values {
		w := of(next, "category.origin.weight", params)[i+1]
		if value == "A6" && w != unseen || value != "A6" && w == unseen {
			t.Errorf("%s starts at %v, what was never seen has %v", value, w, unseen)
		}
	}
}

// Bins that were cut elsewhere take the weights of those that they lie in.
func TestBinsStartByWhereTheyLie(t *testing.T) {
	bins := func(count, to int) *Artifact {
		return warmed(t, fmt.Sprintf(`{name: x, type: number, encoder: {type: bins, count: %d}, missing_value_strategy: own_bin}`, count), "binary", "linear", 0, to)
	}
	parent, next := bins(4, 40), bins(16, 80)
	params, got, err := next.StartFrom(parent)
	if err != nil || got.Features != 1 {
		t.Fatal(got, err)
	}
	a, b := outputs(t, parent, parent.Params, "binary", 0, 80), outputs(t, next, params, "binary", 0, 80)
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if same < 70 { // all but those in bins that lie in two
		t.Errorf("%d of 80 rows answer as they did", same)
	}
}

func TestAVersionThatAnswersSomethingElseIsNoParent(t *testing.T) {
	for says, kind := range map[string]string{"its hidden layers are [6 4], the spec's [6]": "mlp, hidden: [6]", "its activation is relu, the spec's gelu": "mlp, hidden: [6, 4], activation: gelu"} {
		_, _, err := warmed(t, xyz, "binary", kind, 0, 40).StartFrom(warmed(t, xyz, "binary", "mlp, hidden: [6, 4]", 0, 40))
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	next := warmed(t, xyz, "binary", "linear", 0, 40)
	for what, parent := range map[string]*Artifact{
		"it learned the number output label, the spec's output label is a binary": warmed(t, xyz, "number", "linear", 0, 40),
		"it is a model of type trees, the spec's is linear":                       warmed(t, strings.NewReplacer(", normalization: minmax", "", ", normalization: log1p", "").Replace(xyz), "binary", "trees", 0, 40),
	} {
		if _, _, err := next.StartFrom(parent); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

// treesOf puts trees into an artifact, which split features one after the other.
func treesOf(a *Artifact, trees int) *Artifact {
	clear(a.Params)
	f, shape := a.Model.Forest(), a.Model.Shape()
	for k := range trees * f.Outputs() {
		tree := model.Tree{Splits: []model.Split{{Left: 1, Right: ^2}, {Left: ^0, Right: ^1}}, Values: []float32{float32(k), -2, 0.5}}
		for i := range tree.Splits {
			s := &tree.Splits[i]
			s.Slot = (k + i) % len(shape.Cardinalities)
			for id := range shape.Cardinalities[s.Slot] {
				if id%5 < 2 || slices.Contains(shape.Ordered, s.Slot) && id < 9 {
					s.Set.Add(id)
				}
			}
		}
		f.Put(a.Params, k, &tree)
	}
	return a
}

const treeFeatures = `{name: x, type: number}, {name: y, type: number}, {name: origin, type: category}, {name: code, type: category, encoder: {type: hash, buckets: 32}}`

// Trees that start as a parent's answer as it did until they are refitted, in whatever
// order the features and classes are.
func TestTreesStartWithTheirParentsSplits(t *testing.T) {
	for _, label := range []string{"binary", "number", "category"} {
		parent := treesOf(warmed(t, treeFeatures, label, "trees", 0, 50), 8)
		next := warmed(t, `{name: code, type: category, encoder: {type: hash, buckets: 32}}, {name: fresh, type: number}, {name: origin, type: category}, {name: y, type: number}, {name: x, type: number}`, label, "trees", 10, 60)
		params, got, err := next.StartFrom(parent)
		if err != nil {
			t.Fatal(err)
		}
		if got.Features != 4 || fmt.Sprint(got.New) != "[fresh]" || got.Trees != 8 {
			t.Errorf("%s: %+v", label, got)
		}
		if err := next.Model.Forest().Check(params); err != nil {
			t.Error(err)
		}
		a, b := outputs(t, parent, parent.Params, label, 10, 50), outputs(t, next, params, label, 10, 50)
		if label == "category" {
			for i := range len(a) / 5 { // classes 1 to 4 are both's
				was, is := math.Log(float64(a[5*i+1]/a[5*i+2])), math.Log(float64(b[5*i]/b[5*i+1]))
				if math.Abs(was-is) > 1e-3 {
					t.Errorf("row %d: %v, was %v", i, is, was)
				}
			}
			continue
		}
		for i := range a {
			if a[i] != b[i] {
				t.Errorf("%s: row %d is %v, was %v", label, i, b[i], a[i])
			}
		}
	}
}

func TestTreesThatCannotBeRefittedAreRefused(t *testing.T) {
	parent := treesOf(warmed(t, treeFeatures, "number", "trees", 0, 50), 8)
	for _, test := range []struct{ features, label, kind, want string }{
		{strings.Replace(treeFeatures, "name: y", "name: z", 1), "number", "trees", "its trees split feature y, which the spec does not have"},
		{strings.Replace(treeFeatures, "{name: origin, type: category}", "{name: origin, type: category, encoder: {type: hash, buckets: 32}}", 1), "number", "trees", "its trees split feature origin by encoder onehot"},
		{strings.Replace(treeFeatures, "buckets: 32", "buckets: 64", 1), "number", "trees", "its trees split feature code by encoder hash"},
		{treeFeatures, "number, loss: {type: quantile, levels: [0.5]}", "trees", "it minimises loss squared, the spec quantile"},
		{treeFeatures, "number", "trees, boosting: forest", "its boosting is gbdt, the spec's forest"},
		{treeFeatures, "number", "trees, trees: 7", "it has 8 trees: write model.trees 8 at least"},
		{treeFeatures, "number", "trees, max_leaves: 2", "its trees have up to 3 leaves: write model.max_leaves 3 at least"},
	} {
		next := warmed(t, test.features, test.label, test.kind, 0, 50)
		if _, _, err := next.StartFrom(parent); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	// What no tree splits may be left out.
	next := warmed(t, treeFeatures, "number", "trees", 0, 50)
	if _, _, err := next.StartFrom(treesOf(warmed(t, treeFeatures+", {name: fresh, type: number}", "number", "trees", 0, 50), 1)); err != nil {
		t.Error(err)
	}
}

// Hashes by another key are other values, and so is a column that is no more, or not yet,
// what it was.
func TestAVersionOfOtherValuesIsNoParent(t *testing.T) {
	of := func(key, pii string) *Artifact {
		document := strings.Replace(fmt.Sprintf(warmDocument, "{name: origin, type: category}", "binary", "linear"), "  crosses: [{columns: [origin, code], buckets: 64}]\n", "", 1)
		document = strings.Replace(document, "  input_features", "  schema: {"+key+"columns: [{name: origin, type: string"+pii+"}, {name: label, type: float64}]}\n  input_features", 1)
		spec, err := pipeline.Parse(catalog.All(), "test.yaml", []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		columns := table.Schema{Columns: []table.Column{{Name: "origin", Type: table.String}, {Name: "label", Type: table.Float64}}}
		plan, err := pipeline.Compile(spec, columns)
		if err != nil {
			t.Fatal(err)
		}
		batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, []any{"a", 0.0}, []any{"b", 1.0})
		defer batch.Release()
		a := fitted(t, plan, batch)
		a.Params = make([]float32, a.Model.Size())
		return a
	}
	next := of("pii_key: a, ", ", pii: hash")
	if _, _, err := next.StartFrom(of("pii_key: a, ", ", pii: hash")); err != nil {
		t.Error(err)
	}
	for want, parent := range map[string]*Artifact{
		"its columns are hashed with key b, the spec's with a":                         of("pii_key: b, ", ", pii: hash"),
		"it learned from column origin with pii: none, the spec has it with pii: hash": of("", ""),
		"it learned from column origin with pii: mask, the spec has it with pii: hash": of("", ", pii: mask"),
	} {
		if _, _, err := next.StartFrom(parent); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
