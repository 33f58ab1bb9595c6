package metric_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// answer is what a model of a type of label says.
func answer(label string) pipeline.Answer {
	a := pipeline.Answer{Type: label}
	switch label {
	case "binary":
		a.Threshold = 0.5
	case "category":
		a.Classes = []string{"a", "b", "c"}
	}
	return a
}

func build(t *testing.T, label string) metric.Accumulator {
	t.Helper()
	a, err := metric.New(metric.Catalog(), answer(label))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// decode returns the accumulator that the JSON of one holds.
func decode(label string, data []byte) (metric.Accumulator, error) {
	a, err := metric.New(metric.Catalog(), answer(label))
	if err == nil {
		err = json.Unmarshal(data, a)
	}
	return a, err
}

// exactAUC is the area by sorting: the probability that a positive row has the
// higher prediction, ties counting one half.
func exactAUC(predictions, labels []float32) float64 {
	order := make([]int, len(predictions))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(predictions[a], predictions[b]) })
	var won, ones, below float64
	for from := 0; from < len(order); {
		to := from
		var p, n float64
		for ; to < len(order) && predictions[order[to]] == predictions[order[from]]; to++ {
			if labels[order[to]] != 0 {
				p++
			} else {
				n++
			}
		}
		won += p * (below + n/2)
		below += n
		ones += p
		from = to
	}
	return won / (ones * below)
}

// draw returns rows whose labels follow their predictions, drawn by logit.
func draw(random *rand.Rand, rows int, mean, spread float64) (predictions, labels []float32) {
	for range rows {
		p := 1 / (1 + math.Exp(-(random.NormFloat64()*spread + mean)))
		predictions = append(predictions, float32(p))
		label := float32(0)
		if random.Float64() < p {
			label = 1
		}
		labels = append(labels, label)
	}
	return predictions, labels
}

func TestBinaryValuesAreTheirDefinitions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct{ mean, spread float64 }{{0, 1}, {-1.5, 0.6}, {-7, 1}, {6, 2}, {0, 12}, {-1, 0.01}} {
		predictions, labels := draw(random, 20_000, test.mean, test.spread)
		labels[0], labels[1] = 0, 1
		a := build(t, "binary")
		a.Observe(predictions, labels)
		var loss, ones, correct float64
		for i, p := range predictions {
			ones += float64(labels[i])
			q := math.Abs(float64(1-labels[i]) - float64(p))
			loss -= math.Log(max(q, 0x1p-23))
			if (p >= 0.5) == (labels[i] == 1) {
				correct++
			}
		}
		n := float64(len(predictions))
		got := a.Values()
		for name, want := range map[string]float64{"rows": n, "base_rate": ones / n, "accuracy": correct / n, "log_loss": loss / n} {
			if math.Abs(got[name]-want) > 1e-9*(1+want) {
				t.Errorf("%+v: %s is %v, want %v", test, name, got[name], want)
			}
		}
		if want := exactAUC(predictions, labels); math.Abs(got["roc_auc"]-want) > metric.AUCBound(a) {
			t.Errorf("%+v: roc_auc is %v, exactly %v, bound %v", test, got["roc_auc"], want, metric.AUCBound(a))
		} else if math.Abs(got["roc_auc"]-want) > 2e-4 {
			t.Errorf("%+v: roc_auc is %v, exactly %v", test, got["roc_auc"], want)
		}
	}
}

func TestAUCOfTiedAndSeparatedRows(t *testing.T) {
	for _, test := range []struct {
		predictions, labels []float32
		want                float64
	}{
		{[]float32{0.5, 0.5, 0.5, 0.5}, []float32{0, 1, 0, 1}, 0.5},
		{[]float32{0.1, 0.2, 0.8, 0.9}, []float32{0, 0, 1, 1}, 1},
		{[]float32{0.9, 1, 0, 0.1}, []float32{0, 0, 1, 1}, 0},
		{[]float32{0, 1, 1, 0}, []float32{0, 0, 1, 1}, 0.5},
	} {
		a := build(t, "binary")
		a.Observe(test.predictions, test.labels)
		if got := a.Values()["roc_auc"]; got != test.want {
			t.Errorf("%v %v: %v, want %v", test.predictions, test.labels, got, test.want)
		}
	}
}

func TestUndefinedValuesAreLeftOut(t *testing.T) {
	a := build(t, "binary")
	if got := a.Values(); len(got) != 1 || got["rows"] != 0 {
		t.Errorf("of no rows: %v", got)
	}
	a.Observe([]float32{0.2, 0.3}, []float32{0, 0})
	got := a.Values()
	if _, ok := got["roc_auc"]; ok || got["base_rate"] != 0 || got["accuracy"] != 1 {
		t.Errorf("of one class: %v", got)
	}
	b := build(t, "number")
	b.Observe([]float32{1, 2}, []float32{3, 3})
	if _, ok := b.Values()["r2"]; ok {
		t.Errorf("of a constant label: %v", b.Values())
	}
}

func TestNumberValuesAreTheirDefinitions(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	var predictions, labels []float32
	var sum float64
	for range 10_000 {
		y := float32(1e5 + random.NormFloat64()*3)
		labels = append(labels, y)
		predictions = append(predictions, y+float32(random.NormFloat64()))
		sum += float64(y)
	}
	var squared, absolute, variance float64
	n := float64(len(labels))
	for i := range labels {
		d := float64(predictions[i]) - float64(labels[i])
		squared += d * d
		absolute += math.Abs(d)
		variance += (float64(labels[i]) - sum/n) * (float64(labels[i]) - sum/n)
	}
	a := build(t, "number")
	a.Observe(predictions, labels)
	for name, want := range map[string]float64{"rows": n, "mse": squared / n, "rmse": math.Sqrt(squared / n), "mae": absolute / n, "r2": 1 - squared/variance} {
		if got := a.Values()[name]; math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// parts cuts rows in 5 accumulators that see batches of the given size.
func parts(t *testing.T, label string, predictions, labels []float32, batch int) []metric.Accumulator {
	t.Helper()
	var all []metric.Accumulator
	size := len(labels) / 5
	for part := range 5 {
		a := build(t, label)
		p, y := predictions[part*size:(part+1)*size], labels[part*size:(part+1)*size]
		for from := 0; from < size; from += batch {
			to := min(from+batch, size)
			a.Observe(p[from:to], y[from:to])
		}
		all = append(all, a)
	}
	return all
}

func TestMergedValuesHaveTheSameBitsHoweverTheWorkWasCut(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	predictions, labels := draw(random, 5000, -1, 1)
	for _, label := range []string{"binary", "number"} {
		var want map[string]float64
		for _, batch := range []int{1, 13, 1000} {
			for _, wire := range []bool{false, true} {
				merged := build(t, label)
				for _, a := range parts(t, label, predictions, labels, batch) {
					if wire {
						data, err := json.Marshal(a)
						if err != nil {
							t.Fatal(err)
						}
						if a, err = decode(label, data); err != nil {
							t.Fatal(err)
						}
					}
					if err := merged.Merge(a); err != nil {
						t.Fatal(err)
					}
				}
				if want == nil {
					want = merged.Values()
				}
				if got := merged.Values(); !maps.Equal(got, want) {
					t.Errorf("%s, batches of %d, wire %v: %v, want %v", label, batch, wire, got, want)
				}
				if merged.Rows() != 5000 {
					t.Errorf("%d rows", merged.Rows())
				}
			}
		}
	}
}

func TestMergeRefusesAnotherKind(t *testing.T) {
	other, err := metric.New(metric.Catalog(), pipeline.Answer{Type: "binary", Threshold: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]metric.Accumulator{
		{build(t, "binary"), build(t, "number")}, {build(t, "number"), build(t, "binary")}, {build(t, "binary"), other},
	} {
		if err := pair[0].Merge(pair[1]); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("merging %T into %T: %v", pair[1], pair[0], err)
		}
	}
	if _, err := metric.New(metric.Catalog(), answer("text")); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("metrics of a category: %v", err)
	}
}

// The log loss and accuracy of classes are those that each row gives, however the
// rows are cut; sums of other classes, and damaged ones, are refused.
func TestClassesAreMeasuredByTheirProbabilities(t *testing.T) {
	predictions := []float32{0.5, 0.25, 0.25, 0.2, 0.2, 0.6, 0.4, 0.4, 0.2, 0.1, 0.8, 0.1}
	labels := []float32{0, 2, 1, 0}
	whole, merged := build(t, "category"), build(t, "category")
	whole.Observe(predictions, labels)
	for i := range labels {
		part := build(t, "category")
		part.Observe(predictions[3*i:3*i+3], labels[i:i+1])
		data, err := json.Marshal(part)
		if err == nil {
			part, err = decode("category", data)
		}
		if err == nil {
			err = merged.Merge(part)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]float64{"rows": 4, "accuracy": 0.5, "log_loss": -(math.Log(0.5) + math.Log(0.6) + math.Log(0.4) + math.Log(0.1)) / 4,
		"f1_micro": 0.5, "f1_macro": (0.5 + 0 + 1) / 3, "brier": (0.375 + 0.24 + 0.56 + 1.46) / 4}
	for _, got := range []map[string]float64{whole.Values(), merged.Values()} {
		for name, v := range want {
			if math.Abs(got[name]-v) > 1e-7 {
				t.Errorf("%s is %v, want %v", name, got[name], v)
			}
		}
	}
	two, err := metric.New(metric.Catalog(), pipeline.Answer{Type: "category", Classes: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Merge(whole); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("two classes and three: %v", err)
	}
	data, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{{`"rows":4`, `"rows":5`}, {`"rows":4`, `"rows":-4`}, {`"classes":3`, `"classes":2`}, {`"log_sum":-`, `"log_sum":`}, {`"squared":`, `"squared":-`},
		{`"class":2`, `"class":1`}, {`"class":2`, `"class":3`}, {`"class":0`, `"class":-1`}, {`"of":2`, `"of":1`}, {`"taken":2`, `"taken":1`}, {`"correct":1`, `"correct":3`},
		{`"correct":1`, `"correct":-1`}, {`"of":2`, `"of":9223372036854775807`}} {
		bad := strings.Replace(string(data), edit[0], edit[1], 1)
		if _, err := decode("category", []byte(bad)); err == nil || bad == string(data) {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	a := build(t, "binary")
	a.Observe([]float32{0.25, 0.75, 0.5}, []float32{0, 1, 1})
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	for _, edit := range [][2]string{
		{`"rows":3`, `"rows":4`}, {`"rows":3`, `"rows":-3`}, {`"ones":2`, `"ones":1`}, {`"hits":2`, `"hits":9`},
		{`"threshold":0.5`, `"threshold":0.4`}, {`"log_sum":-`, `"log_sum":`}, {`"positives":"`, `"positives":"//`}, {`{`, `[`},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if bad == good {
			t.Fatalf("%s is not in %s", edit[0], good)
		}
		if _, err := decode("binary", []byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if _, err := decode("number", []byte(`{"rows":1,"labels":{"count":2}}`)); err == nil {
		t.Error("contradicting counts are taken")
	}
}

func TestDirections(t *testing.T) {
	for _, test := range []struct {
		label, name string
		want, ok    bool
	}{
		{"binary", "log_loss", false, true}, {"binary", "roc_auc", true, true}, {"number", "mse", false, true}, {"number", "r2", true, true},
		{"binary", "rows", false, false}, {"binary", "mse", false, false}, {"category", "roc_auc", false, false}, {"category", "accuracy", true, true},
		{"category", "f1_macro", true, true}, {"category", "f1_micro", true, true}, {"category", "brier", false, true}, {"category", "f1", false, false},
	} {
		if m := metric.Find(metric.Catalog(), test.label, test.name); (m != nil) != test.ok || m != nil && m.HigherIsBetter != test.want {
			t.Errorf("%+v: %+v", test, m)
		}
	}
	if got := metric.Names(metric.Catalog(), "number"); got != "coverage, interval_width, mae, mse, r2, rmse" {
		t.Errorf("names: %s", got)
	}
}

// The standard error of a metric is about the deviation of its values of many samples.
func TestTheStandardErrorIsTheDeviationOfSamples(t *testing.T) {
	random, rows := rand.New(rand.NewPCG(3, 4)), 50
	values := make(map[string][]float64)
	for range 400 {
		for _, label := range []string{"binary", "number"} {
			predictions, labels := make([]float32, rows), make([]float32, rows)
			for i := range labels {
				p := 0.1 + 0.8*random.Float32()
				if predictions[i] = p; random.Float32() < p {
					labels[i] = 1
				}
				if label == "number" {
					predictions[i], labels[i] = 8*p, 8*p+float32(random.NormFloat64())
				}
			}
			a, err := metric.New(metric.Catalog(), answer(label))
			if err != nil {
				t.Fatal(err)
			}
			a.Observe(predictions, labels)
			for name, v := range a.Values() {
				values[label+" "+name] = append(values[label+" "+name], v)
			}
		}
	}
	for _, name := range []string{"binary log_loss", "binary accuracy", "binary roc_auc", "number mse", "number rmse", "number mae", "number r2"} {
		label, of, _ := strings.Cut(name, " ")
		var mean, squares float64
		for _, v := range values[name] {
			mean += v / 400
		}
		for _, v := range values[name] {
			squares += (v - mean) * (v - mean) / 400
		}
		got := metric.Find(metric.Catalog(), label, of).StandardError(mean, float64(rows))
		if ratio := got / math.Sqrt(squares); !(ratio > 0.6 && ratio < 2.5) {
			t.Errorf("%s: %.3g, samples deviate by %.3g", name, got, math.Sqrt(squares))
		}
	}
}

func FuzzDecode(f *testing.F) {
	a, err := metric.New(metric.Catalog(), answer("binary"))
	if err != nil {
		f.Fatal(err)
	}
	a.Observe([]float32{0.25, 0.75}, []float32{0, 1})
	data, err := json.Marshal(a)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"rows":2,"ones":1,"positives":"//8BAQ=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, label := range []string{"binary", "number"} {
			a, err := decode(label, data)
			if err != nil {
				continue
			}
			again, err := json.Marshal(a)
			if err != nil {
				t.Fatalf("a decoded accumulator does not encode: %v", err)
			}
			b, err := decode(label, again)
			if err != nil || !maps.Equal(a.Values(), b.Values()) {
				t.Fatalf("%s: %v became %v, %v", data, a.Values(), b, err)
			}
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	predictions, labels := draw(rand.New(rand.NewPCG(1, 2)), 4096, -1, 1)
	a, err := metric.New(metric.Catalog(), answer("binary"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		a.Observe(predictions, labels)
	}
	b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
