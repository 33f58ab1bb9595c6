package calibration_test

import (
	_ "embed"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"gonum.org/v1/gonum/optimize"

	"github.com/thalweg/thalweg/pipeline/calibration"
)

//go:embed testdata/reference.json
var reference []byte

// example is rows, and the probabilities that scikit-learn makes of other outputs.
type example struct {
	Name, Method string
	Width        int
	Outputs, At  []float32
	Labels       []float32
	Want         []float64
}

func examples(t *testing.T) (all []example) {
	t.Helper()
	if err := json.Unmarshal(reference, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestProbabilitiesAreThoseOfScikitLearn(t *testing.T) {
	for _, e := range examples(t) {
		c, err := calibration.Fit(e.Method, e.Outputs, e.Labels, e.Width)
		if err != nil {
			t.Fatalf("%s, %s: %v", e.Name, e.Method, err)
		}
		if err := c.Check(); err != nil {
			t.Errorf("%s, %s: %v", e.Name, e.Method, err)
		}
		c.Apply(e.At, e.Width)
		for i, want := range e.Want {
			// Both are as exact as float32s, but for how far scikit-learn descends.
			if got := float64(e.At[i]); math.Abs(got-want) > 2e-5 {
				t.Errorf("%s, %s: probability %d is %v, want %v", e.Name, e.Method, i, got, want)
			}
		}
	}
}

// What is fitted follows from the rows, whatever order they come in.
func TestTheOrderOfRowsDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, e := range examples(t) {
		want, err := calibration.Fit(e.Method, e.Outputs, e.Labels, e.Width)
		if err != nil {
			t.Fatal(err)
		}
		order := random.Perm(len(e.Labels))
		var outputs, labels []float32
		for _, i := range order {
			outputs, labels = append(outputs, e.Outputs[i*e.Width:(i+1)*e.Width]...), append(labels, e.Labels[i])
		}
		got, err := calibration.Fit(e.Method, outputs, labels, e.Width)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s, %s: %v, want %v, %v", e.Name, e.Method, got, want, err)
		}
		data, err := json.Marshal(want)
		again := new(calibration.Calibration)
		if err == nil {
			err = json.Unmarshal(data, again)
		}
		if err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%s comes back as %v, %v", data, again, err)
		}
	}
}

// The fits are at the minima that gonum finds. They are not gonum's, whose last bits depend
// on the processor.
func TestGonumFindsNoLowerLoss(t *testing.T) {
	logLoss := func(e *example, logit func(z float64) float64, high, low float64) (sum float64) {
		for i, z := range e.Outputs {
			f, target := logit(float64(z)), low
			if e.Labels[i] != 0 {
				target = high
			}
			sum += math.Log1p(math.Exp(-math.Abs(f))) + math.Max(f, 0) - target*f
		}
		return sum
	}
	for _, e := range examples(t) {
		if e.Width > 1 || e.Method == calibration.Isotonic {
			continue
		}
		c, err := calibration.Fit(e.Method, e.Outputs, e.Labels, 1)
		if err != nil {
			t.Fatal(err)
		}
		high, low, start := 1.0, 0.0, []float64{1}
		at := func(x []float64) func(float64) float64 { return func(z float64) float64 { return x[0] * z } }
		mine := at([]float64{c.Slope})
		if e.Method == calibration.Platt {
			ones := 0.0
			for _, y := range e.Labels {
				ones += float64(y)
			}
			high, low, start = (ones+1)/(ones+2), 1/(float64(len(e.Labels))-ones+2), []float64{0, 0}
			at = func(x []float64) func(float64) float64 { return func(z float64) float64 { return x[0]*z + x[1] } }
			mine = at([]float64{c.Slope, c.Offset})
		}
		found, err := optimize.Minimize(optimize.Problem{Func: func(x []float64) float64 { return logLoss(&e, at(x), high, low) }}, start, nil, &optimize.NelderMead{})
		if err != nil {
			t.Fatal(err)
		}
		if got := logLoss(&e, mine, high, low); got > found.F+1e-9*math.Abs(found.F) {
			t.Errorf("%s, %s: loss %v, gonum finds %v", e.Name, e.Method, got, found.F)
		}
	}
}

func TestRowsThatSayNothingAreRefused(t *testing.T) {
	for name, rows := range map[string][2][]float32{"none": {}, "one label": {{1, 2, 3}, {1, 1, 1}}} {
		for _, method := range []string{calibration.Platt, calibration.Isotonic, calibration.Temperature} {
			if c, err := calibration.Fit(method, rows[0], rows[1], 1); err == nil {
				t.Errorf("%s, %s: %v", name, method, c)
			}
		}
	}
	if _, err := calibration.Fit(calibration.Platt, []float32{1, 2, 3, 4}, []float32{0, 1}, 2); err == nil {
		t.Error("platt of two outputs")
	}
	if _, err := calibration.Fit("beta", []float32{1, 2}, []float32{0, 1}, 1); err == nil {
		t.Error("a method that there is not")
	}
}

func TestWhatIsNoCalibrationIsRefused(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []calibration.Calibration{{}, {Method: "platt", Slope: inf}, {Method: "platt", X: []float64{1}}, {Method: "temperature"}, {Method: "temperature", Slope: -1},
		{Method: "isotonic"}, {Method: "isotonic", X: []float64{1, 1}, Y: []float64{0, 1}}, {Method: "isotonic", X: []float64{1, 2}, Y: []float64{1, 0}},
		{Method: "isotonic", X: []float64{1}, Y: []float64{2}}, {Method: "isotonic", X: []float64{1}, Y: []float64{math.NaN()}}, {Method: "isotonic", X: []float64{-inf}, Y: []float64{0}}} {
		if err := c.Check(); err == nil {
			t.Errorf("%+v", c)
		}
	}
}
