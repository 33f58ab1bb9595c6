package model

import (
	"math"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/calibration"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// A row of which nothing is known has as many predictions as another, and is calibrated as
// it is; a calibration that does nothing leaves predictions within a rounding.
func TestCalibrationIsOfOutputsAndOfTheConstant(t *testing.T) {
	shape := kernel.Shape{Numbers: 1, NumberNames: []string{"a"}}
	for name, l := range losses(t) {
		if answer := l.Answer().Type; answer != Binary && answer != Category {
			continue
		}
		models := []Spec{&Linear{}}
		neighbours := (&KNN{Neighbours: 3, On: "features"}).Keeping(20)
		if _, err := neighbours.New(l, shape); err == nil { // a loss that has no mean, or weighs, is none of theirs
			models = append(models, neighbours)
		}
		for _, spec := range models {
			m, err := spec.New(l, shape)
			if err != nil {
				t.Fatal(err)
			}
			b := sample(shape, l.For(), 50)
			params := make([]float32, m.Size())
			for i := range params {
				params[i] = float32(i%3) / 3
			}
			same := m.Calibrated(&calibration.Calibration{Method: calibration.Temperature, Slope: 1})
			raw := m.Raw()
			want, got, outputs := make([]float32, b.Rows*m.Outputs()), make([]float32, b.Rows*m.Outputs()), make([]float32, b.Rows*m.Outputs())
			m.Predict(m.NewPredictor(), params, b, want)
			same.Predict(same.NewPredictor(), params, b, got)
			raw.Predict(raw.NewPredictor(), params, b, outputs)
			m.Finish(outputs)
			constant, known := m.Constant(0.3), same.Constant(0.3)
			if len(constant) != m.Outputs() || len(known) != m.Outputs() {
				t.Fatalf("%s, %s: %d and %d values for %d outputs", m.Type(), name, len(constant), len(known), m.Outputs())
			}
			for i := range want {
				if math.Abs(float64(want[i]-got[i])) > 1e-6 || want[i] != outputs[i] {
					t.Fatalf("%s, %s: prediction %d is %v, calibrated by nothing %v, finished %v", m.Type(), name, i, want[i], got[i], outputs[i])
				}
			}
			for k := range constant {
				if math.Abs(float64(constant[k]-known[k])) > 1e-6 {
					t.Errorf("%s, %s: constant %v, calibrated by nothing %v", m.Type(), name, constant, known)
				}
			}
		}
	}
}

// Of rows that weigh, a row of which nothing is known has what the loss is least at for their
// weights: it is asked for the mean or the shares that it has been given.
func TestTheConstantIsOfTheMeanOrSharesThatAreGiven(t *testing.T) {
	shape := kernel.Shape{Numbers: 1, NumberNames: []string{"a"}}
	labels := Labels{Type: Category, Classes: []string{"a", "b", "c"}, Counts: []int64{80, 15, 5}}
	bind := func(spec LossSpec, labels Labels) *Model {
		l, err := spec.Bind(labels)
		if err != nil {
			t.Fatal(err)
		}
		m, err := (&Linear{}).New(l, shape)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	binary := Labels{Type: Binary, Mean: 0.1}
	for name, c := range map[string]struct {
		m     *Model
		given []float64
		want  []float64
	}{
		"binary":         {bind(&CrossEntropy{}, binary), []float64{0.5}, []float64{0.5}},
		"binary, weight": {bind(&CrossEntropy{PositiveClassWeight: 3}, binary), []float64{0.5}, []float64{0.75}},
		"binary, smooth": {bind(&CrossEntropy{LabelSmoothing: new(0.2)}, binary), []float64{0.25}, []float64{0.3}},
		"focal":          {bind(&Focal{}, binary), []float64{0.5}, []float64{0.5}},
		"classes":        {bind(&CrossEntropy{}, labels), []float64{0.25, 0.25, 0.5}, []float64{0.25, 0.25, 0.5}},
		"classes, mean":  {bind(&CrossEntropy{}, labels), []float64{7}, []float64{0.8, 0.15, 0.05}},
		"classes, focal": {bind(&Focal{}, labels), []float64{1. / 3, 1. / 3, 1. / 3}, []float64{1. / 3, 1. / 3, 1. / 3}},
		"classes, weights": {bind(&CrossEntropy{ClassWeights: map[string]pipeline.Factor{"c": 2}}, labels),
			[]float64{0.25, 0.25, 0.5}, []float64{1. / 6, 1. / 6, 2. / 3}},
	} {
		for _, m := range []*Model{c.m, c.m.Calibrated(&calibration.Calibration{Method: calibration.Temperature, Slope: 1})} {
			got := m.Constant(c.given...)
			if len(got) != len(c.want) {
				t.Fatalf("%s: %v", name, got)
			}
			for k, want := range c.want {
				if math.Abs(float64(got[k])-want) > 1e-6 {
					t.Errorf("%s: %v, want %v", name, got, c.want)
				}
			}
		}
	}
}
