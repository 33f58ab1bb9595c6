package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// digits returns images of the given number of pixels, of which a few tell the
// label.
func digits(t *testing.T, pixels int) []byte {
	t.Helper()
	columns := "label"
	for i := range pixels {
		columns += fmt.Sprintf(" pixel_%d", i)
	}
	random := rand.New(rand.NewPCG(1, 1))
	return rowsOf(t, 1000, columns, func(int) []any {
		row, ink := make([]any, 1+pixels), int64(0)
		for i := range pixels {
			v := random.Int64N(256)
			if i%100 == 7 {
				ink += v
			}
			row[1+i] = v
		}
		row[0] = ink / 256
		return row
	})
}

// A line of the spec makes 784 columns features. What it matched is said by validate
// and by the run; a run on data with more columns has more features.
func TestManyColumnsAreOneLineOfTheSpec(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/digits.parquet", string(digits(t, 784)))
	put(t, dir+"/digits.yaml", specOf("digits", `
  input_features: [{columns: "*", type: number, normalization: minmax}]
  output_features: [{name: many, type: binary, expression: "label > 3"}]
`))
	c := parallelDev(t, embedded.Config{})
	text, err := command(t, c, "validate", dir+"/digits.yaml", "--data", dir+"/digits.parquet")
	want := `features "*": 784 of type number, from "pixel_0" to "pixel_783"; 1 that match are features of their own or the label's`
	if err != nil || !strings.Contains(text, want) {
		t.Errorf("%v\n%s", err, text)
	}
	upload(t, c, digits(t, 784))
	if text, err := command(t, c, "apply", "-f", dir+"/digits.yaml", "--wait"); err != nil || !strings.Contains(text, strings.TrimPrefix(want, "features ")) {
		t.Errorf("%v\n%s", err, text)
	}
	upload(t, c, digits(t, 800))
	text, err = command(t, c, "runs", "start", "digits", "--wait")
	if err != nil || !strings.Contains(text, `"*": 800 of type number, from "pixel_0" to "pixel_799"`) || !strings.Contains(text, "features         800") {
		t.Errorf("%v\n%s", err, text)
	}
}

// A run has the losses of its epochs as numbers, in the unit of its validation metric,
// and a version its strongest weights; both are in the RPC's answer about the run.
func TestARunHasItsLossesAndAVersionItsWeights(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	c := parallelDev(t, embedded.Config{})
	upload(t, c, rowsOf(t, 3000, "weak strong y city", func(i int) []any {
		weak, strong := random.NormFloat64(), 1e-6*random.NormFloat64()
		y := 10*weak - 300e6*strong + 50*random.NormFloat64()
		if i%3 == 0 {
			y += 90
		}
		return []any{weak, strong, y, []string{"Oslo", "Riga", "Bonn"}[i%3]}
	}))
	const columns = `
  input_features: [{columns: [weak, strong], type: number}, {name: city, type: category}]
  output_features: [{name: y, type: number}]
`
	text, err := applied(t, c, specOf("sums", columns))
	if err != nil || !strings.Contains(text, "LOSS OF VALIDATION  ") || !strings.Contains(text, "EPOCH  TRAIN LOSS") {
		t.Fatalf("%v\n%s", err, text)
	}
	res, err := client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: "sums-1-1"})
	if err != nil {
		t.Fatal(err)
	}
	run := res.Run
	last := run.Curve[len(run.Curve)-1]
	if uint32(run.Metrics["train.best_epoch"]) != last.Epoch || last.GetValidation() != run.Metrics["validation.mse"] ||
		last.Train < 2200 || last.Train > 2800 || run.Curve[0].Train < last.Train || run.Outputs["curve"] != "" || run.Outputs["weights"] != "" {
		t.Errorf("curve %v, metrics %v, outputs %v", run.Curve, run.Metrics, run.Outputs)
	}
	var got []string
	for _, w := range run.Weights {
		got = append(got, fmt.Sprintf("%s %s %.0f", w.Feature, w.Value, w.Effect/10))
	}
	if want := "strong  -30, city Oslo 6, city "; !strings.HasPrefix(strings.Join(got, ", "), want) || len(got) != 5 || !strings.HasPrefix(got[4], "weak  1") {
		t.Errorf("weights %q, want %q", got, want)
	}
	for _, args := range [][]string{{"sums"}, {"sums", "champion"}, {"sums", "1"}, {"sums", "1", "-o", "json"}} {
		text, err := command(t, c, append([]string{"models", "show"}, args...)...)
		if err != nil || !strings.Contains(text, "strong") || !strings.Contains(text, "Oslo") || !strings.Contains(text, "validation.mse") {
			t.Errorf("%v: %v\n%s", args, err, text)
		}
	}
	// Trees have the importance of features instead.
	if text, err := applied(t, c, specOf("grown", columns+`
  model: {type: trees, trees: 12, max_depth: 4, subsample: 0.8, column_sample: 0.7, monotone: {strong: -1}}
  trainer: {early_stop: 0}
`)); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if res, err = client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: "grown-1-1"}); err != nil {
		t.Fatal(err)
	}
	splits := uint64(0)
	for _, f := range res.Run.Importance {
		splits += f.Splits
	}
	if first := res.Run.Importance[0]; first.Feature != "strong" || !(first.Gain > 1e6) || len(res.Run.Importance) != 3 || splits < 50 || res.Run.Metrics["train.trees"] != 12 || len(res.Run.Weights) > 0 {
		t.Errorf("importance %v, metrics %v", res.Run.Importance, res.Run.Metrics)
	}
	for _, args := range [][]string{{"grown"}, {"grown", "-o", "json"}} {
		text, err := command(t, c, append([]string{"models", "show"}, args...)...)
		if err != nil || !strings.Contains(text, "strong") || !strings.Contains(strings.ToLower(text), "gain") {
			t.Errorf("%v: %v\n%s", args, err, text)
		}
	}
	if _, err := command(t, c, "models", "show", "sums", "champio"); err == nil || !strings.Contains(err.Error(), "did you mean champion?") {
		t.Errorf("error %v", err)
	}
}

// A run starts from the weights of the version that trainer.warm_start names, is as
// good, and says so; a version that cannot be is refused by name.
func TestARunStartsFromAVersion(t *testing.T) {
	data := func(rows int, city string) []byte {
		random := rand.New(rand.NewPCG(1, uint64(rows)))
		return rowsOf(t, rows, "x z city y", func(i int) []any {
			x := 7 + 3*random.NormFloat64()
			return []any{x, x * random.Float64(), []string{"Oslo", "Riga", city}[i%3], 2*x + 10*float64(i%3) + random.NormFloat64()}
		})
	}
	c := parallelDev(t, embedded.Config{})
	upload(t, c, data(3000, "Bonn"))
	apply := func(features, output, start string) (string, error) {
		return applied(t, c, specOf(strings.Replace(output, "number", "warm", 1), fmt.Sprintf(`
  input_features: [%s, {name: city, type: category}]
  output_features: [{name: y, type: %s}]
  registry: {model: warm}
  trainer: {warm_start: %s}
`, features, output, start)))
	}
	if text, err := apply("{name: x, type: number}", "number", "champion"); err != nil || strings.Contains(text, "WARM START") {
		t.Fatalf("%v\n%s", err, text)
	}
	upload(t, c, data(2400, "Rome"))
	text, err := apply("{name: z, type: number}, {name: x, type: number}", "number", "1")
	if err != nil || !strings.Contains(text, "from version 1: weights of 2 of 3 features; new are z; 1 values that it did not know") {
		t.Fatalf("%v\n%s", err, text)
	}
	if text, err = command(t, c, "models", "show", "warm", "2"); err != nil || !strings.Contains(text, "started from version 1") {
		t.Errorf("%v\n%s", err, text)
	}
	res, err := client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: "warm-2-1"})
	if err != nil || res.Run.Metrics["test.rmse"] > 1.1 {
		t.Errorf("%v: %v", err, res.Run.GetMetrics())
	}
	// On the same rows there is nothing left to learn.
	text, err = command(t, c, "runs", "start", "warm", "--wait")
	if err != nil || !strings.Contains(text, "from version 1") {
		t.Errorf("%v\n%s", err, text)
	}
	if text, err = apply("{name: z, type: number}, {name: x, type: number}", "number", "champion"); err != nil || !strings.Contains(text, "from version 3: weights of 3 of 3 features\n") {
		t.Errorf("%v\n%s", err, text)
	}
	if res, err = client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: "warm-3-1"}); err != nil || res.Run.Metrics["train.epochs"] > 3 {
		t.Errorf("%v: %v", err, res.Run.GetMetrics())
	}
	for start, want := range map[string]string{"9": "version 9 of model warm does not exist", "last": "none, champion or the number of a version"} {
		if text, err := apply("{name: x, type: number}", "number", start); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if text, err := apply("{name: x, type: number}", "count", "2"); err == nil || !strings.Contains(err.Error(), "start from version 2: trainer.warm_start: ") || !strings.Contains(err.Error(), "it learned the number output y, the spec's output y is a count") {
		t.Errorf("%v\n%s", err, text)
	}
}

// Neighbours are searched on the hidden layer of a version, by its number or as champion, of
// neighbours before too; without a version the run says what to train first.
func TestNeighboursOnTheHiddenLayerOfAVersion(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 5))
	c := parallelDev(t, embedded.Config{})
	upload(t, c, rowsOf(t, 2000, "x z city y", func(i int) []any {
		x := random.NormFloat64()
		return []any{x, random.NormFloat64(), []string{"Oslo", "Riga"}[i%2], x*x + float64(i%2)}
	}))
	apply := func(name, model, start string) (string, error) {
		return applied(t, c, specOf(name, fmt.Sprintf(`
  input_features: [{name: x, type: number}, {name: z, type: number}, {name: city, type: category, encoder: {type: embedding, size: 2}}]
  output_features: [{name: y, type: number}]
  registry: {model: %s}
  model: %s
  trainer: {epochs: auto, warm_start: %s}
`, name, model, start)))
	}
	const network = "{type: mlp, hidden: [16, 4], dropout: 0}"
	const hidden = "{type: knn, neighbours: 7, on: hidden, of: " + network + "}"
	if text, err := apply("near", hidden, "champion"); err == nil || !strings.Contains(err.Error(), "model near has no version that alias champion names") || !strings.Contains(err.Error(), "train model: mlp first") {
		t.Errorf("%v\n%s", err, text)
	}
	if text, err := apply("near", network, "none"); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for version, start := range []string{"1", "champion"} {
		text, err := apply("near", hidden, start)
		if err != nil || !strings.Contains(text, fmt.Sprintf("from version %d: weights of 3 of 3 features\n", version+1)) {
			t.Fatalf("%v\n%s", err, text)
		}
		res, err := client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: fmt.Sprintf("near-%d-1", version+3)})
		if err != nil || res.Run.Metrics["train.kept_rows"] == 0 || res.Run.Metrics["test.rmse"] > 0.4 { // of a deviation of 1.5
			t.Errorf("%v: %v", err, res.Run.GetMetrics())
		}
	}
	if text, err := command(t, c, "models", "export", "near", "--format", "onnx", "--into", t.TempDir()+"/near.onnx"); err == nil || !strings.Contains(err.Error(), "model knn: it has no form in ONNX") {
		t.Errorf("%v\n%s", err, text)
	}
}

// Every row that was read is in a split or dropped for one stated reason, by validate
// and by a run; rows.train are those that were learned from.
func TestRowsAreCountedByReason(t *testing.T) {
	fields := []arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "y", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "need", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "city", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true}}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	random := rand.New(rand.NewPCG(1, 1))
	odd := []func(y, need *float64, city, at *bool){
		func(y, _ *float64, _, _ *bool) { *y = math.MaxFloat64 }, // null
		func(y, _ *float64, _, _ *bool) { *y = math.NaN() },
		func(y, _ *float64, _, _ *bool) { *y = math.Inf(-1) },
		func(y, _ *float64, _, _ *bool) { *y = 1e300 },
		func(_, need *float64, _, _ *bool) { *need = math.NaN() },
		func(_, need *float64, _, _ *bool) { *need = math.MaxFloat64 }, // null
		func(_, _ *float64, city, _ *bool) { *city = false },
		func(y, need *float64, city, _ *bool) { *y, *need, *city = 1e300, math.NaN(), false }, // one reason
		func(_, _ *float64, _, at *bool) { *at = false },
	}
	const rows = 2000
	for i := range int64(rows) {
		y, need, city, at := random.NormFloat64(), random.NormFloat64(), true, true
		if k := int(i % 50); k < len(odd) {
			odd[k](&y, &need, &city, &at)
		}
		b.Field(0).(*array.Int64Builder).Append(i)
		for k, v := range []float64{y, need} {
			if v == math.MaxFloat64 {
				b.Field(k + 1).AppendNull()
			} else {
				b.Field(k + 1).(*array.Float64Builder).Append(v)
			}
		}
		if city {
			b.Field(3).(*array.StringBuilder).Append("Oslo")
		} else {
			b.Field(3).AppendNull()
		}
		if at {
			b.Field(4).(*array.TimestampBuilder).Append(arrow.Timestamp(i * 1e6))
		} else {
			b.Field(4).AppendNull()
		}
	}
	data, dir := parquetOf(t, b), t.TempDir()
	c := parallelDev(t, embedded.Config{})
	upload(t, c, data)
	put(t, dir+"/rows.parquet", string(data))
	put(t, dir+"/spec.yaml", specOf("rows", `
  input_features:
    - {name: need, type: number, missing_value_strategy: drop_row}
    - {name: city, type: category, missing_value_strategy: drop_row}
    - {name: id, type: number}
  output_features: [{name: y, type: number}]
  preprocessing:
    clean: [{filter: {expression: "id % 50 != 20"}}]
    split: {type: datetime, column: at}
`))
	reasons := map[string]int64{"1 filter: id % 50 != 20": 40, "feature need is missing": 120, "feature city is missing": 40,
		"the label is null": 40, "the label is not finite": 80, "the label is beyond float32": 40}
	text, err := command(t, c, "validate", dir+"/spec.yaml", "--data", dir+"/rows.parquet")
	for reason, n := range reasons {
		if want := fmt.Sprintf("dropped: %d, %s\n", n, reason); err != nil || !strings.Contains(text, want) {
			t.Errorf("%v: no %q in\n%s", err, want, text)
		}
	}
	if want := "rows: 2000 read, 1640 to learn from and to judge by\n"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
	said(t, c, "apply", "-f", dir+"/spec.yaml", "--wait")
	res, err := client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: "rows-1-1"})
	if err != nil {
		t.Fatal(err)
	}
	counts, metrics := res.Run.Counts, res.Run.Metrics
	sum := counts["rows.train"] + counts["rows.validation"] + counts["rows.test"]
	for name, n := range counts {
		if reason, ok := strings.CutPrefix(name, "dropped: "); ok {
			if sum += n; reasons[reason] != n {
				t.Errorf("%s: %d, want %d", name, n, reasons[reason])
			}
		}
	}
	if counts["rows_in"] != rows || sum != rows || metrics["validation.rows"] != float64(counts["rows.validation"]) || metrics["test.rows"] != float64(counts["rows.test"]) {
		t.Errorf("of %d rows %d are counted: %v, metrics %v", rows, sum, counts, metrics)
	}
	if _, err := command(t, c, "models", "export", "rows", "1", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	text, err = command(t, c, "clean", "-f", dir+"/spec.yaml", "--into", dir+"/cleaned.parquet", "-o", "json")
	var cleaned localdata.Cleaned
	if err := errors.Join(err, json.Unmarshal([]byte(text), &cleaned)); err != nil || !maps.Equal(cleaned.Dropped, reasons) {
		t.Errorf("%v, want the reasons %v\n%s", err, reasons, text)
	}
	checkCleaned(t, dir+"/cleaned.parquet", counts, rows)
	provenance, err := os.ReadFile(dir + "/provenance.json")
	if want := fmt.Sprintf(`"rows":{"train":%d}`, counts["rows.train"]); err != nil || !strings.Contains(string(provenance), want) {
		t.Errorf("no %s in %s: %v", want, provenance, err)
	}
}

// A column that objects have of two types is read where no value is lost, and else the
// run fails by the names of the objects; so does a binary label of other values than
// two, by that of its object.
func TestObjectsWithTwoTypesOfAColumn(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	bucket, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	cell := func(b array.Builder, i int) {
		switch b := b.(type) {
		case *array.Int64Builder:
			b.Append(int64(i))
		case *array.Float64Builder:
			b.Append(float64(i) + 0.5)
		case *array.BooleanBuilder:
			b.Append(i%2 == 0)
		case *array.StringBuilder:
			b.Append(fmt.Sprint(i % 7))
		}
	}
	object := func(typ arrow.DataType, odd int64) []byte {
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "x", Type: typ}, {Name: "y", Type: arrow.PrimitiveTypes.Int64}}, nil))
		for i := range 200 {
			if wide, ok := b.Field(0).(*array.Int64Builder); ok && i == 150 && odd > 0 {
				wide.Append(odd)
			} else {
				cell(b.Field(0), i)
			}
			b.Field(1).(*array.Int64Builder).Append(int64(i * 7 % 3 % 2))
		}
		return parquetOf(t, b)
	}
	for i, test := range []struct {
		a, b    arrow.DataType
		odd     int64
		feature string
		label   string
		want    []string // nil: the run succeeds
	}{
		{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64, 0, "type: number", "y > 0", nil},
		{arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Int64, 1 << 60, "type: number", "y > 0", nil},
		{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64, 1<<53 + 1, "type: number", "y > 0", []string{"a.parquet", "row 150", "9007199254740993"}},
		{arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int64, 0, "type: number", "y > 0", []string{"a.parquet", "b.parquet", "bool"}},
		{arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64, 0, "type: category", "y > 0", []string{"a.parquet", "b.parquet", "int64"}},
		{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int64, 0, "type: number", "y * 2", []string{".parquet, row group 0", "is neither 0 nor 1"}},
	} {
		for k, typ := range []arrow.DataType{test.a, test.b} {
			if _, err := bucket.Put(t.Context(), fmt.Sprintf("pair%d/%c.parquet", i, 'a'+k), object(typ, test.odd)); err != nil {
				t.Fatal(err)
			}
		}
		file := t.TempDir() + "/spec.yaml"
		put(t, file, fmt.Sprintf(`
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: pair%d}
spec:
  sources: {train: {s3: {path: "s3://lake/pair%[1]d/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: x, %s}]
  output_features: [{name: label, type: binary, expression: %q}]
`, i, test.feature, test.label))
		text, err := command(t, c, "apply", "-f", file, "--wait")
		if (err == nil) != (test.want == nil) {
			t.Errorf("%v beside %v: %v\n%s", test.a, test.b, err, text)
		}
		for _, want := range test.want {
			if !strings.Contains(text+fmt.Sprint(err), want) {
				t.Errorf("%v beside %v: %v\n%s\nwant %q", test.a, test.b, err, text, want)
			}
		}
	}
}
