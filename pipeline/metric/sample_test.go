package metric_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// scikitRows are 300 rows of a generator that any language has, and what
// scikit-learn 1.7 makes of them with the threshold 0.4: roc_auc_score,
// average_precision_score and so on; calibration_error is of 16 bins by NumPy.
func scikitRows() (predictions, labels []float32, want map[string]float64) {
	x := uint64(12345)
	next := func() float64 {
		x = (x*1103515245 + 12345) % (1 << 31)
		return float64(x) / (1 << 31)
	}
	for range 300 {
		u, v := next(), next()
		p := float32(0.02 + 0.9*u*u)
		label := float32(0)
		if v < float64(p) {
			label = 1
		}
		predictions, labels = append(predictions, p), append(labels, label)
	}
	return predictions, labels, map[string]float64{
		"roc_auc": 0.8343235711656763, "pr_auc": 0.6986362961363862, "log_loss": 0.4513829438222602, "brier": 0.14655798517159696,
		"f1": 0.6597938144329897, "precision": 0.6213592233009708, "recall": 0.7032967032967034, "accuracy": 0.78,
		"calibration_error": 0.06309678832689922}
}

// scikitClasses are 300 rows of five classes of which no row has the last, and what
// f1_score, brier_score_loss and so on of scikit-learn 1.9 make of them.
func scikitClasses() (predictions, labels []float32, want map[string]float64) {
	x := uint64(12345)
	next := func() float64 {
		x = (x*1103515245 + 12345) % (1 << 31)
		return float64(x) / (1 << 31)
	}
	for range 300 {
		p, sum := [5]float64{0: next() + 0.3, 1: next(), 2: next(), 3: next(), 4: 0.001}, 0.0
		for k := range p {
			p[k] = p[k] * p[k] * p[k]
			sum += p[k]
		}
		for _, p := range p {
			predictions = append(predictions, float32(p/sum))
		}
		v, label, below := next(), 0, p[0]/sum
		for v >= below && label < 3 {
			label++
			below += p[label] / sum
		}
		if label == 3 && next() >= 0.5 {
			label = 2
		}
		labels = append(labels, float32(label))
	}
	return predictions, labels, map[string]float64{"f1_macro": 0.5405547525814633, "f1_micro": 0.63, "accuracy": 0.63,
		"brier": 0.5171595562087475, "log_loss": 1.0261895291792906}
}

func TestMetricsOfClassesAreThoseOfScikitLearn(t *testing.T) {
	predictions, labels, want := scikitClasses()
	for _, coarse := range []bool{false, true} {
		s, err := metric.NewSample(metric.Catalog(), pipeline.Answer{Type: "category", Classes: []string{"a", "b", "c", "d", "e"}}, coarse)
		if err != nil {
			t.Fatal(err)
		}
		observe(s, predictions, labels, 0)
		got := estimates(t, s)
		for name, v := range want {
			e := got[name]
			if math.Abs(e.Value-v) > 1e-6 {
				t.Errorf("%s is %v, scikit-learn says %v", name, e.Value, v)
			}
			if e.Interval == nil || e.Interval[0] >= v || e.Interval[1] <= v {
				t.Errorf("the interval of %s is %v", name, e.Interval)
			}
		}
	}
}

func sample(t testing.TB, label string, coarse bool) *metric.Sample {
	t.Helper()
	answer := pipeline.Answer{Type: label, Threshold: 0.4}
	switch label {
	case "category":
		answer.Classes = []string{"a", "b"}
	case "quantiles":
		answer.Levels = []float64{0.1, 0.9}
	}
	s, err := metric.NewSample(metric.Catalog(), answer, coarse)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func estimates(t *testing.T, s *metric.Sample) map[string]metric.Estimate {
	t.Helper()
	e, err := s.Estimates()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// observe adds rows that are numbered from first on.
func observe(s *metric.Sample, predictions, labels []float32, first int) {
	parts := make([]uint8, len(labels))
	for i := range parts {
		parts[i] = metric.Part(7, 0, int64(first+i))
	}
	s.Observe(predictions, labels, parts)
}

func TestMetricsAreThoseOfScikitLearn(t *testing.T) {
	predictions, labels, want := scikitRows()
	for _, coarse := range []bool{false, true} {
		s := sample(t, "binary", coarse)
		observe(s, predictions, labels, 0)
		got, within := s.Whole().Values(), 3e-4
		if coarse {
			within = 3e-3
		}
		for name, v := range want {
			if math.Abs(got[name]-v) > within {
				t.Errorf("coarse %v: %s is %v, scikit-learn says %v", coarse, name, got[name], v)
			}
		}
	}
	margins := make([]float32, len(predictions))
	for i, p := range predictions {
		margins[i] = float32(math.Log(float64(p)/(1-float64(p))) - math.Log(0.4/0.6))
	}
	m := sample(t, "margin", false)
	observe(m, margins, labels, 0)
	for _, name := range []string{"roc_auc", "pr_auc", "f1", "precision", "recall", "accuracy"} {
		if got := m.Whole().Values()[name]; math.Abs(got-want[name]) > 3e-4 {
			t.Errorf("%s of margins is %v, scikit-learn says %v", name, got, want[name])
		}
	}
	if curves := m.Whole().(metric.Detailed).Curves(); len(curves) != 2 || len(curves[0].Columns) != 2 || len(curves[1].Points[0]) != 2 {
		t.Errorf("curves of margins: %v", curves)
	}
	s := sample(t, "binary", false)
	observe(s, predictions, labels, 0)
	names, confusion := s.Whole().(metric.Detailed).Confusion()
	if diff := cmp.Diff(confusion, [][]int64{{170, 39}, {27, 64}}); diff != "" || names[1] != "true" {
		t.Errorf("confusion of %v:\n%s", names, diff)
	}
	// The best threshold by trying all predictions.
	for _, e := range metric.Catalog() {
		m := e.Options.(*metric.Measure)
		if m.Output != "binary" || e.Name != metric.F1 && e.Name != metric.Accuracy {
			continue
		}
		best := 0.0
		for _, p := range predictions {
			a, err := metric.New(metric.Catalog(), pipeline.Answer{Type: "binary", Threshold: float64(p)})
			if err != nil {
				t.Fatal(err)
			}
			a.Observe(predictions, labels)
			best = max(best, a.Values()[e.Name])
		}
		at, threshold, ok := s.Whole().(metric.Thresholder).Best(m)
		a, err := metric.New(metric.Catalog(), pipeline.Answer{Type: "binary", Threshold: threshold})
		if err != nil {
			t.Fatal(err)
		}
		if a.Observe(predictions, labels); !ok || a.Values()[e.Name] < best-1e-12 || at.Values()[e.Name] != a.Values()[e.Name] {
			t.Errorf("%s from %v on is %v, the best is %v", e.Name, threshold, a.Values()[e.Name], best)
		}
	}
}

// The truth is in 95 of 100 intervals, and that of the difference of two models on
// the same rows is narrower than either's.
func TestIntervalsHaveTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	rows := func(n int) (p, worse, labels []float32) {
		p, labels = draw(random, n, -1, 1.2)
		for _, v := range p {
			worse = append(worse, float32(1/(1+math.Exp(-(math.Log(float64(v)/(1-float64(v)))*0.9+random.NormFloat64()*0.5)))))
		}
		return p, worse, labels
	}
	p, worse, labels := rows(400_000)
	truth, worseTruth := sample(t, "binary", false), sample(t, "binary", false)
	observe(truth, p, labels, 0)
	observe(worseTruth, worse, labels, 0)
	want, wantWorse := truth.Whole().Values(), worseTruth.Whole().Values()
	const trials = 200
	hits, changes, narrower := map[string]int{}, map[string]int{}, 0
	for range trials {
		p, worse, labels := rows(1500)
		s, other := sample(t, "binary", false), sample(t, "binary", false)
		observe(s, p, labels, 0)
		observe(other, worse, labels, 0)
		all := estimates(t, s)
		for name, e := range all {
			if e.Interval != nil && e.Interval[0] <= want[name] && want[name] <= e.Interval[1] {
				hits[name]++
			}
		}
		diff, err := other.Change(s)
		if err != nil {
			t.Fatal(err)
		}
		for name, e := range diff {
			if d := wantWorse[name] - want[name]; e.Interval[0] <= d && d <= e.Interval[1] {
				changes[name]++
			}
		}
		if e, c := all["roc_auc"].Interval, diff["roc_auc"].Interval; c[1]-c[0] < (e[1]-e[0])*0.7 {
			narrower++
		}
	}
	for _, of := range []map[string]int{hits, changes} {
		for _, name := range []string{"roc_auc", "pr_auc", "log_loss", "brier", "f1", "accuracy", "precision", "recall"} {
			if share := float64(of[name]) / trials; share < 0.9 || share > 0.99 {
				t.Errorf("%.0f %% of the intervals of %s have the truth", share*100, name)
			}
		}
	}
	if narrower < trials*9/10 {
		t.Errorf("only %d of %d intervals of changes are narrower", narrower, trials)
	}
}

// An interval of few rows is wide, even where all are alike, and there is none where
// nothing can be said.
func TestIntervalsOfFewRows(t *testing.T) {
	s := sample(t, "binary", false)
	observe(s, []float32{0.9, 0.9, 0.9, 0.1}, []float32{1, 1, 1, 0}, 0)
	got := estimates(t, s)
	if e := got["accuracy"]; e.Value != 1 || e.Interval == nil || e.Interval[0] > 0.6 || e.Interval[1] != 1 {
		t.Errorf("accuracy %v, %v", e.Value, e.Interval)
	}
	if e := got["roc_auc"]; e.Value != 1 || e.Interval != nil {
		t.Errorf("roc_auc without the only row of a class: %v, %v", e.Value, e.Interval)
	}
	if got := estimates(t, sample(t, "number", false)); len(got) != 1 {
		t.Errorf("of no rows: %v", got)
	}
}

func TestSamplesHaveTheSameBitsHoweverTheWorkWasCut(t *testing.T) {
	predictions, labels := draw(rand.New(rand.NewPCG(3, 3)), 5000, -1, 1)
	pairs := make([]float32, 0, 2*len(labels))
	for _, p := range predictions {
		pairs = append(pairs, 1-p, p)
	}
	for _, label := range []string{"binary", "margin", "category", "number", "count", "quantiles"} {
		var want map[string]metric.Estimate
		predictions, width := predictions, 1
		if label == "category" || label == "quantiles" {
			predictions, width = pairs, 2
		}
		for _, batch := range []int{1, 13, 1000} {
			merged := sample(t, label, false)
			for shard := range 5 {
				s := sample(t, label, false)
				for from := shard * 1000; from < (shard+1)*1000; from += batch {
					to := min(from+batch, (shard+1)*1000)
					observe(s, predictions[from*width:to*width], labels[from:to], from)
				}
				data, err := json.Marshal(s)
				if err != nil {
					t.Fatal(err)
				}
				decoded := sample(t, label, false)
				if err := json.Unmarshal(data, decoded); err != nil {
					t.Fatal(err)
				}
				if err := merged.Merge(decoded); err != nil {
					t.Fatal(err)
				}
			}
			got := estimates(t, merged)
			if want == nil {
				want = got
			}
			for name, e := range got {
				if name != metric.Rows && name != metric.BaseRate && e.Interval == nil {
					t.Errorf("%s: %s has no interval", label, name)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in batches of %d:\n%s", label, batch, diff)
			}
		}
	}
}

func TestSamplesRefuseDamage(t *testing.T) {
	for _, text := range []string{`[`, `{}`, `{"whole":{},"parts":{"3":{"rows":1,"ones":1,"hits":1,"positives":"gPgBAQ=="}}}`, `{"whole":{"rows":-1}}`} {
		if err := json.Unmarshal([]byte(text), sample(t, "binary", false)); err == nil || text != "[" && !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := sample(t, "binary", false).Merge(sample(t, "binary", true)); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("merging a coarse sample: %v", err)
	}
}

func TestCurvesEndWhereTheyMust(t *testing.T) {
	predictions, labels := draw(rand.New(rand.NewPCG(8, 9)), 50_000, -1, 1)
	s := sample(t, "binary", false)
	observe(s, predictions, labels, 0)
	for _, c := range s.Whole().(metric.Detailed).Curves() {
		if len(c.Points) < 3 || len(c.Points) > 202 {
			t.Errorf("%s has %d points", c.Name, len(c.Points))
		}
		first, last := c.Points[0], c.Points[len(c.Points)-1]
		switch c.Name {
		case "roc":
			area := 0.0
			for i := 1; i < len(c.Points); i++ {
				area += (c.Points[i][0] - c.Points[i-1][0]) * (c.Points[i][1] + c.Points[i-1][1]) / 2
			}
			if first[0] != 0 || first[1] != 0 || last[0] != 1 || last[1] != 1 || math.Abs(area-s.Whole().Values()["roc_auc"]) > 1e-3 {
				t.Errorf("roc from %v to %v with area %v", first, last, area)
			}
		case "pr":
			if last[0] != 1 || math.Abs(last[1]-s.Whole().Values()["base_rate"]) > 1e-12 {
				t.Errorf("pr ends at %v", last)
			}
		case "calibration":
			for _, p := range c.Points {
				if p[2] > 1000 && math.Abs(p[0]-p[1]) > 0.05 {
					t.Errorf("calibrated rows at %v", p)
				}
			}
		}
	}
}

func BenchmarkSample(b *testing.B) {
	predictions, labels := draw(rand.New(rand.NewPCG(1, 2)), 4096, -1, 1)
	s := sample(b, "binary", false)
	for b.Loop() {
		observe(s, predictions, labels, 0)
	}
	b.ReportMetric(float64(b.N)*4096/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
