// Package onnxtest makes artifacts of every kind of feature and model that has a form in
// ONNX, and rows with nulls and values that training never met, for tests of their export.
package onnxtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/calibration"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// Case is an artifact to export.
type Case struct {
	Name     string
	Artifact *artifact.Artifact
	// Exact says that the raw scores of the export have the bits of scoring.
	Exact bool
	// Rows are the cleaned rows to score.
	Rows arrow.Record
}

// columns are those of the rows.
var columns = table.Schema{Columns: []table.Column{
	{Name: "f", Type: table.Float64, Nullable: true},
	{Name: "i", Type: table.Int64, Nullable: true},
	{Name: "b", Type: table.Bool, Nullable: true},
	{Name: "s", Type: table.String, Nullable: true},
	{Name: "u", Type: table.String, Nullable: true},
	{Name: "date", Type: table.Timestamp, Nullable: true},
	{Name: "since", Type: table.Timestamp, Nullable: true},
	{Name: "l", Type: table.Float64List, Nullable: true},
	{Name: "il", Type: table.Int64List, Nullable: true},
	{Name: "y", Type: table.Float64, TrainingOnly: true},
	{Name: "late", Type: table.Bool, TrainingOnly: true},
	{Name: "kind", Type: table.String, TrainingOnly: true},
	{Name: "image", Type: table.Float64List, Nullable: true},
}}

// numbers are features of numbers for models that read numbers.
const numbers = `
    - {name: zscore,   type: number, expression: "f", normalization: zscore, missing_indicator: true}
    - {name: minmax,   type: number, expression: "i", normalization: minmax}
    - {name: robust,   type: number, expression: "f", normalization: robust, missing_value_strategy: fill_with_const, fill_value: 3.5}
    - {name: log1p,    type: number, expression: "f", normalization: log1p}
    - {name: power,    type: number, expression: "f", normalization: power}
    - {name: quantile, type: number, expression: "i", normalization: quantile}
    - {name: plain,    type: number, expression: "b", normalization: none}
    - {name: hours,    type: number, expression: "hour(date)", encoder: {type: periodic, period: 24}}
    - {name: round,    type: number, expression: "f", encoder: {type: periodic, period: 7.5}, missing_value_strategy: fill_with_const, fill_value: 2, missing_indicator: true}
    - {name: ordinal,  type: category, expression: "s", encoder: {type: ordinal}}
    - {name: often,    type: category, expression: "i", encoder: {type: frequency}}
    - {name: target,   type: category, expression: "u", encoder: {type: target}, missing_value_strategy: fill_with_mode}
    - {name: list,     type: list, expression: "l", normalization: log1p}
    - {name: ints,     type: list, expression: "il", missing_value_strategy: fill_with_const, fill_value: 1}
`

// small are features of numbers that stay small whatever a row has: what two things say
// together is the rest of squares, which would leave large ones nothing.
const small = `
    - {name: quantile, type: number, expression: "i", normalization: quantile, missing_indicator: true}
    - {name: plain,    type: number, expression: "b", normalization: none}
    - {name: hours,    type: number, expression: "hour(date)", encoder: {type: periodic, period: 24}}
    - {name: ordinal,  type: category, expression: "s", encoder: {type: ordinal}}
`

// categories are features that every model reads.
const categories = `
    - {name: bins,     type: number, expression: "f", encoder: {type: bins, count: 9}, missing_value_strategy: own_bin}
    - {name: filled,   type: number, expression: "i", encoder: {type: bins, count: 7}, missing_value_strategy: fill_with_const, fill_value: 12}
    - {name: s,        type: category}
    - {name: whole,    type: category, expression: "i", most_common: 20}
    - {name: yes,      type: category, expression: "b"}
    - {name: mode,     type: category, expression: "s", missing_value_strategy: fill_with_mode, min_count: 20}
    - {name: weekday,  type: category, expression: "weekday(date)"}
    - {name: hashed,   type: category, expression: "s", encoder: {type: hash, buckets: 60}}
    - {name: hashint,  type: category, expression: "i", encoder: {type: hash, buckets: 64}}
    - {name: hashbool, type: category, expression: "b", encoder: {type: hash, buckets: 13}, fill_value: maybe}
`

// computed are features whose expressions the graph computes.
const computed = `
    - {name: sum,      type: number, expression: "f * 2 + i", encoder: {type: bins, count: 9}}
    - {name: whole sum, type: number, expression: "i + i * i - 3", encoder: {type: bins, count: 9}, missing_value_strategy: own_bin}
    - {name: share,    type: number, expression: "f / (i - 3)", encoder: {type: bins, count: 9}}
    - {name: rest,     type: category, expression: "i % 7"}
    - {name: rounded,  type: category, expression: "int(round(f / 3))"}
    - {name: floors,   type: number, expression: "floor(f) + ceil(f / 2) - abs(f) + min(i, 5) + max(f, 1.5) + sqrt(abs(f)) - -f", encoder: {type: bins, count: 20}}
    - {name: chosen,   type: number, expression: "b ? f : null", encoder: {type: bins, count: 5}, missing_value_strategy: own_bin}
    - {name: known,    type: number, expression: "coalesce(f, i, 3)", encoder: {type: bins, count: 9}}
    - {name: both,     type: category, expression: "i > 5 and (f < 3 or not b)"}
    - {name: hubs,     type: category, expression: "s in ['JFK', '東京'] || u == s"}
    - {name: several,  type: category, expression: "i in [1, 2, 3] ? 'few' : s ?? 'none'"}
    - {name: absent,   type: category, expression: "i == null"}
    - {name: route,    type: category, expression: "s + '-' + u"}
    - {name: digits,   type: category, expression: "string(i) + string(b)"}
    - {name: late days, type: category, expression: "date > '1983-01-01' and date != null"}
    - {name: year,     type: category, expression: "year(date)"}
    - {name: month,    type: category, expression: "month(date)"}
    - {name: day,      type: category, expression: "day(date)"}
    - {name: hour,     type: category, expression: "hour(date)"}
    - {name: minute,   type: number, expression: "minute(date)", encoder: {type: bins, count: 20}}
    - {name: second,   type: number, expression: "second(date)", encoder: {type: bins, count: 20}}
    - {name: age,      type: number, expression: "secondsBetween(date, since) / 86400", encoder: {type: bins, count: 20}}
    - {name: not computed, type: category, expression: "upper(s)"}
`

const embeddings = `
    - {name: embedded, type: category, expression: "s", encoder: {type: embedding, size: 5}}
    - {name: again,    type: category, expression: "u", encoder: {type: embedding}}
`

// image is a feature of two channels.
const image = `
    - {name: image, type: list, shape: [5, 4, 2]}
`

const crosses = `
  crosses: [{columns: [s, weekday], buckets: 100}, {columns: [hashed, yes, whole], buckets: 128}, {columns: [mode, hashint], buckets: 37}]
`

// document returns a spec.
func document(features, output, modelSpec string) string {
	if strings.Contains(output, "type: category") { // whose classes have no mean
		features = strings.Replace(features, "type: target", "type: frequency", 1)
	}
	return "apiVersion: thalweg/v1\nkind: Pipeline\nmetadata: {name: matrix}\nspec:\n" +
		"  sources: {train: {s3: {path: \"s3://lake/rows/*.parquet\"}, format: {type: parquet}}}\n" +
		"  input_features:\n" + strings.Trim(features, "\n") + "\n  output_features: [" + output + "]\n  model: " + modelSpec + "\n"
}

// The outputs, by name.
var outputs = map[string]string{
	"binary":    "{name: late, type: binary, threshold: 0.4}",
	"margin":    "{name: late, type: binary, loss: {type: hinge}}",
	"number":    "{name: y, type: number}",
	"huber":     "{name: y, type: number, loss: {type: huber}}",
	"quantiles": "{name: y, type: number, loss: {type: quantile, levels: [0.1, 0.5, 0.9]}}",
	"count":     "{name: y, type: count}",
	"category":  "{name: kind, type: category}",
}

// Documents are the specs of the matrix.
func Documents() string { return numbers + categories + embeddings + crosses + fmt.Sprint(outputs) }

// Artifact returns one with features, an output of the matrix and a model.
func Artifact(t testing.TB, features, output, model string) *artifact.Artifact {
	t.Helper()
	return artifacttest.Train(t, document("    "+features, outputs[output], model), columns, 1, trainingRows()...)
}

// Cases returns the matrix.
func Cases(t testing.TB) (all []Case) {
	t.Helper()
	rows := Rows()
	add := func(name, document string, exact bool) *artifact.Artifact {
		t.Helper()
		a := artifacttest.Train(t, document, columns, len(all)+1, trainingRows()...)
		all = append(all, Case{name, a, exact, rows})
		return a
	}
	for _, output := range []string{"binary", "margin", "number", "huber", "quantiles", "count", "category"} {
		a := add("linear "+output, document(numbers+categories+computed+crosses, outputs[output], "{type: linear}"), false)
		soften(a)
		if output != "margin" {
			grown(add("trees "+output, document(categories+computed, outputs[output], "{type: trees, trees: 90, max_leaves: 16}"), true))
		}
	}
	for _, output := range []string{"binary", "number", "category"} {
		grown(add("forest "+output, document(categories, outputs[output], "{type: trees, boosting: forest, trees: 11}"), true))
	}
	for _, output := range []string{"binary", "number", "category"} {
		soften(add("fm "+output, document(small+categories+crosses, outputs[output], "{type: fm, factors: 5}"), false))
	}
	for _, c := range []calibration.Calibration{{Method: calibration.Platt, Slope: 1.3, Offset: -0.2}, {Method: calibration.Temperature, Slope: 0.7},
		{Method: calibration.Isotonic, X: []float64{-0.5, -0.1, 0.2, 0.9}, Y: []float64{0.05, 0.3, 0.3, 0.8}}} {
		for _, output := range []string{"binary", "category"} {
			if output == "binary" || c.Method == calibration.Temperature {
				a := add("calibrated "+c.Method+" "+output, document(categories, outputs[output], "{type: linear}"), false)
				soften(a)
				a.Adjust(&artifact.Adjustment{Calibration: &c}, nil)
			}
		}
	}
	for _, network := range []string{
		"activation: relu", "activation: gelu, normalization: layer", "activation: tanh, normalization: batch, dropout: 0.1", "activation: sigmoid, hidden: [8]"} {
		for _, output := range []string{"binary", "number", "category"} {
			soften(add("mlp "+network+" "+output, document(numbers+embeddings+categories, outputs[output], "{type: mlp, "+network+"}"), false))
		}
	}
	for _, output := range []string{"binary", "number", "category"} {
		soften(add("cnn image "+output, document(image, outputs[output], "{type: cnn, layers: [{conv: {channels: 4, size: 2}}, {pool: {kind: mean}}, "+
			"{conv: {channels: 5, stride: 2, activation: tanh}}, {dense: {size: 7, activation: gelu}}]}"), false))
	}
	soften(add("cnn valid category", document(image, outputs["category"], "{type: cnn, layers: [{conv: {channels: 3, padding: valid, activation: sigmoid}}, {pool: {size: 2}}]}"), false))
	soften(add("cnn sequence binary", document("    - {name: list, type: list, expression: \"l\", normalization: log1p}", outputs["binary"], "{type: cnn, layers: [{conv: {channels: 4}}, {pool: {size: 2}}]}"), false))
	return append(all, importedCases(t)...)
}

// soften makes parameters that were made up so small that sums are of the size of those
// that are learned, and variances positive.
func soften(a *artifact.Artifact) {
	for _, v := range a.Model.Views() {
		for i, p := range v.Of(a.Params) {
			if a.Params[v.Offset+i] = p / 4; v.Tracked {
				a.Params[v.Offset+i] = 0.5 + float32(p*p)
			}
		}
	}
}

// grown puts trees of random splits into an artifact.
func grown(a *artifact.Artifact) {
	f, shape := a.Model.Forest(), a.Model.Shape()
	random := rand.New(rand.NewPCG(5, 6))
	clear(a.Params)
	for k := range f.Bias(a.Params) {
		f.Bias(a.Params)[k] = float32(random.NormFloat64())
	}
	for t := range 11 * a.Model.Outputs() {
		tree := &model.Tree{Values: []float32{0}}
		leaves := []struct{ split, side int }{{-1, 0}}
		for n := random.IntN(16); n > 0; n-- {
			slot := random.IntN(len(shape.Cardinalities))
			s := model.Split{Slot: slot}
			setOf(&s.Set, shape.Cardinalities[slot], isOrdered(shape.Ordered, slot), random)
			leaf := random.IntN(len(tree.Values))
			at := len(tree.Splits)
			if up := leaves[leaf]; up.split >= 0 {
				if up.side == 0 {
					tree.Splits[up.split].Left = at
				} else {
					tree.Splits[up.split].Right = at
				}
			}
			s.Left, s.Right = ^leaf, ^len(tree.Values)
			leaves[leaf] = struct{ split, side int }{at, 0}
			leaves = append(leaves, struct{ split, side int }{at, 1})
			tree.Splits, tree.Values = append(tree.Splits, s), append(tree.Values, 0)
		}
		for i := range tree.Values {
			tree.Values[i] = float32(random.NormFloat64() / 10)
			if f.Averages() {
				tree.Values[i] = random.Float32()
			}
		}
		f.Put(a.Params, t, tree)
	}
}

func isOrdered(slots []int, slot int) bool {
	for _, s := range slots {
		if s == slot {
			return true
		}
	}
	return false
}

// setOf fills a set with ids as trees split them: numbers up to a bin, missing ones with
// them or not, and any of a category's.
func setOf(set *model.IDSet, ids int, ordered bool, random *rand.Rand) {
	cut := random.IntN(ids)
	missing, odd := random.IntN(2) == 0, random.IntN(8) == 0
	for id := range ids {
		switch {
		case ordered && !odd && (id == 0 && missing || id > 0 && id <= cut), (!ordered || odd) && random.IntN(3) > 0:
			set.Add(id)
		}
	}
}

var words = []string{"JFK", "ORD", "Zürich", "", "東京", "a b", "LAX", "true", "7"}

// trainingRows are those that transforms are fitted to.
func trainingRows() (rows [][]any) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		rows = append(rows, row(random, words))
	}
	return rows
}

// row is a random one, whose texts are of some words.
func row(random *rand.Rand, words []string) []any {
	maybe := func(v any) any {
		if random.IntN(9) == 0 {
			return nil
		}
		return v
	}
	list := []any{maybe(random.NormFloat64()), random.NormFloat64() * 10, maybe(float64(random.IntN(4)))}
	ints := []any{int64(random.IntN(9)), maybe(int64(random.IntN(3)))}
	pixels := make([]any, 5*4*2)
	for i := range pixels {
		pixels[i] = random.NormFloat64()
	}
	return []any{maybe(random.NormFloat64() * 20), maybe(int64(random.IntN(30) - 4)), maybe(random.IntN(3) == 0), maybe(words[random.IntN(len(words))]),
		maybe(words[random.IntN(5)]), maybe(int64(random.IntN(1<<30)) * 1_000_003), maybe(int64(random.IntN(1<<30)) * 1_000_003), maybe(list), maybe(ints),
		math.Abs(random.NormFloat64() * 9), random.IntN(3) == 0, fmt.Sprintf("k%d", random.IntN(4)), maybe(pixels)}
}

// Rows returns cleaned rows to score: some as training had them, with nulls, unknown
// values and extremes, and one with nothing.
func Rows() arrow.Record {
	random := rand.New(rand.NewPCG(3, 4))
	var rows [][]any
	for i := range 500 {
		r := row(random, append(words, "unknown", "x\"y", "ORD "))
		switch i {
		case 0:
			r = make([]any, len(columns.Columns))
		case 1:
			r[0], r[1] = math.NaN(), int64(math.MaxInt64)
		case 2:
			r[0], r[1] = math.Inf(1), int64(math.MinInt64+1)
		case 3:
			r[0], r[1] = math.Inf(-1), int64(1<<53+1)
		case 4:
			r[0], r[5] = 1e300, int64(-1)
		case 5:
			r[0], r[5] = -1e300, int64(-62135596800000000)
		case 6:
			r[0], r[7] = math.Copysign(0, -1), []any{math.NaN(), math.Inf(1), 1e200}
		case 7:
			r[0], r[7], r[8] = 5e-324, []any{1.0}, []any{}
		case 8: // nothing known, though texts are there
			for k := range r {
				r[k] = nil
			}
			r[3], r[4] = "unknown", "unknown"
		}
		rows = append(rows, r)
	}
	return tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
}
