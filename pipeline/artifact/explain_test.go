package artifact

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/imported/importedtest"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// explainedBy returns an artifact whose scored rows are explained, by a model that is
// written as in a spec.
func explainedBy(t testing.TB, chosen, label string, top int) *Artifact {
	t.Helper()
	text := strings.NewReplacer("  output_features:", "  model: "+chosen+"\n  output_features:",
		"sink:", fmt.Sprintf("explanations: {top: %d}\n    sink:", top)).Replace(document)
	if strings.Contains(chosen, "trees") {
		text = strings.Replace(text, ", normalization: none", "", 1)
	}
	a := trainedBy(t, text, label)
	switch f := a.Model.Forest(); {
	case f != nil:
		grow(a, f)
	case a.Model.Deep():
		a.Model.Init(a.Params, 7, 0.3)
	}
	return a
}

// grow makes up the trees of a model.
func grow(a *Artifact, f *model.Forest) {
	random := rand.New(rand.NewPCG(1, 2))
	clear(a.Params)
	ids := a.Model.Shape().Cardinalities
	for tree := range f.Options.Trees * f.Outputs() {
		t := model.Tree{Values: []float32{0}}
		for n := 1; n < min(12, f.Options.MaxLeaves); n++ { // the last leaf is split
			s := model.Split{Slot: random.IntN(len(ids)), Left: ^(n - 1), Right: n}
			for id := range ids[s.Slot] {
				if random.IntN(2) == 0 {
					s.Set.Add(id)
				}
			}
			t.Splits, t.Values = append(t.Splits, s), append(t.Values, 0)
		}
		t.Splits[len(t.Splits)-1].Right = ^len(t.Splits)
		for i := range t.Values {
			t.Values[i] = random.Float32() / 2
			t.Rows = append(t.Rows, float32(random.IntN(50)))
		}
		f.Put(a.Params, tree, &t)
	}
	for k := range f.Bias(a.Params) {
		f.Bias(a.Params)[k] = 0.25
	}
}

// models are what is explained.
var explainedModels = []struct{ name, model, label string }{
	{"linear", "{type: linear}", binary},
	{"linear number", "{type: linear}", number},
	{"linear classes", "{type: linear}", category},
	{"linear count", "{type: linear}", `{name: distance2, type: count, expression: "abs(delay)"}`},
	{"hinge", "{type: linear}", `{name: delayed, type: binary, expression: "delay > 15", loss: {type: hinge}}`},
	{"quantiles", "{type: linear}", `{name: delay, type: number, loss: {type: quantile, levels: [0.1, 0.6, 0.9]}}`},
	{"trees", "{type: trees, trees: 20}", binary},
	{"trees classes", "{type: trees, trees: 2, max_leaves: 12}", category},
	{"forest", "{type: trees, boosting: forest, trees: 20}", binary},
	{"forest number", "{type: trees, boosting: forest, trees: 20}", number},
	{"network", "{type: mlp, hidden: [9, 20], activation: gelu, dropout: 0.5, normalization: batch}", binary},
	{"network periodic", "{type: mlp, hidden: [9], activation: gelu, number_embedding: periodic}", binary},
	{"network number", "{type: mlp, hidden: [16], activation: tanh, normalization: layer}", number},
}

// explainedRows are rows with values that are missing, unknown and far from all others.
func explainedRows() (rows [][]any) {
	for i := range int64(40) {
		row := []any{i * 5 * 3600e6, i, i % 20, float64(i) / 7, fmt.Sprintf("A%d", i%6)}
		switch i % 7 {
		case 3:
			row[0], row[4] = nil, nil
		case 5:
			row[2] = int64(300)
		}
		rows = append(rows, row)
	}
	return append(rows, []any{nil, nil, int64(3), 0.5, nil})
}

// TestContributionsAddUpToTheRawScore: of each kind of model and answer, in the columns of
// scored rows. Networks are explained by steps, whose error is bounded here too.
func TestContributionsAddUpToTheRawScore(t *testing.T) {
	batch := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, explainedRows()...)
	for _, m := range explainedModels {
		a := explainedBy(t, m.model, m.label, 3)
		s, err := a.NewScorer(pipeline.InScoring)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		at := map[string]int{}
		for i, c := range s.OutputSchema().Columns {
			at[c.Name] = i
		}
		rows, _ := score(t, a, pipeline.InScoring, batch)
		if len(rows) == 0 {
			t.Fatalf("%s: no rows", m.name)
		}
		worst, named := 0.0, 0
		for _, row := range rows {
			value := func(column string) float64 { return row[at[column]].(float64) }
			raw, sum, size := value("_raw_score"), value("_base_score")+value("_other_contributions"), 1.0
			before := math.Inf(1)
			for k := range 3 {
				feature, share := row[at[fmt.Sprintf("_feature_%d", k+1)]], row[at[fmt.Sprintf("_contribution_%d", k+1)]]
				if feature == nil {
					continue
				}
				named++
				if math.Abs(share.(float64)) > before {
					t.Errorf("%s: %s brought %v, the one before it %v", m.name, feature, share, before)
				}
				before = math.Abs(share.(float64))
				sum, size = sum+share.(float64), size+before
			}
			worst = max(worst, math.Abs(sum-raw)/size)
			if want, ok := rawOf(a, row, at); ok && math.Abs(want-raw) > 1e-4*max(1, math.Abs(want)) {
				t.Errorf("%s: the raw score is %v, the prediction's %v", m.name, raw, want)
			}
		}
		bound := 1e-5
		if a.Model.Deep() {
			bound = 2e-2
		}
		if worst > bound || named < len(rows) {
			t.Errorf("%s: sums are off by %v, %d inputs are named in %d rows", m.name, worst, named, len(rows))
		}
		t.Logf("%s: %v", m.name, worst)
	}
}

// rawOf returns the raw score that a prediction comes of, where it says it.
func rawOf(a *Artifact, row []any, at map[string]int) (float64, bool) {
	forest := a.Model.Forest() != nil && a.Model.Forest().Averages()
	switch p := a.Answer().Type; {
	case p == model.Binary && !forest:
		p := row[at["probability"]].(float64)
		return math.Log(p / (1 - p)), p > 1e-3 && p < 1-1e-3
	case p == model.Binary:
		return row[at["probability"]].(float64), true
	case p == model.Count:
		return math.Log(row[at["score"]].(float64)), true
	case p == model.Category, p == model.Quantiles: // which are put in order
		return 0, false
	}
	return row[at["score"]].(float64), true
}

// TestBatchBoundariesChangeNoBitOfExplanations.
func TestBatchBoundariesChangeNoBitOfExplanations(t *testing.T) {
	rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, explainedRows()...)
	for _, m := range explainedModels {
		a := explainedBy(t, m.model, m.label, 3)
		whole, _ := score(t, a, pipeline.InScoring, rec)
		pieces, _ := score(t, a, pipeline.InScoring, rec.NewSlice(0, 1), rec.NewSlice(1, 18), rec.NewSlice(18, rec.NumRows()))
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Errorf("%s: in pieces rows differ (-whole +pieces):\n%s", m.name, diff)
		}
	}
}

// TestImportedTreesAreExplainedAsTheirLibraryDoes: by the SHAP values of LightGBM and
// XGBoost, which testdata/make.py wrote.
func TestImportedTreesAreExplainedAsTheirLibraryDoes(t *testing.T) {
	for _, name := range importedtest.Models(t) {
		e, err := imported.Parse(name, importedtest.Model(t, name))
		if err != nil {
			t.Fatal(err)
		}
		a, batch, _ := takenOver(t, name, e)
		defer batch.Release()
		by, err := a.Explainer()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s, err := a.NewScorer(pipeline.InTraining)
		if err != nil {
			t.Fatal(err)
		}
		cleaned, _, err := s.Score(t.Context(), batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		cleaned.Release()
		shares := importedtest.Shares(t, name)
		n := len(shares["base"])
		var rows []int32
		for i := range n {
			rows = append(rows, int32(i))
		}
		got := make([][]float64, len(by.Inputs()))
		for i := range got {
			got[i] = make([]float64, n)
		}
		by.Explain(new(model.Explaining), &s.block, rows, 0, got)
		worst := math.Abs(by.Base(0)/e.Slope - shares["base"][0])
		for column, want := range shares {
			input := slices.Index(by.Inputs(), column)
			for i := range want {
				have := 0.0 // no tree splits it
				if input >= 0 {
					have = got[input][i] / e.Slope
				}
				if column != "base" {
					worst = max(worst, math.Abs(have-want[i])/max(1, math.Abs(want[i])))
				}
			}
		}
		bound := 1e-6
		if e.Single { // XGBoost's are float32s
			bound = 1e-5
		}
		t.Logf("%s: %g", name, worst)
		if worst > bound {
			t.Errorf("%s: contributions differ by %g", name, worst)
		}
	}
}
