package model

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
)

// Losses and their slopes are those of PyTorch's formulas (testdata/losses.py).
func TestLossesAreThoseOfPyTorchsFormulas(t *testing.T) {
	text, err := os.ReadFile("testdata/losses.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Of      string `json:"of"`
		Options struct {
			Smoothing float64   `json:"label_smoothing"`
			Weight    float64   `json:"positive_class_weight"`
			Gamma     *float64  `json:"gamma"`
			Alpha     float64   `json:"alpha"`
			Weights   []float64 `json:"class_weights"`
		} `json:"options"`
		Outputs []float32 `json:"outputs"`
		Labels  []float32 `json:"labels"`
		Losses  []float64 `json:"losses"`
		Slopes  []float64 `json:"slopes"`
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		label, focal := strings.CutSuffix(c.Of, " focal")
		var weights pipeline.ClassWeights
		for k, w := range c.Options.Weights {
			if weights == nil {
				weights = make(pipeline.ClassWeights)
			}
			weights[[]string{"a", "b", "c"}[k]] = pipeline.Factor(w)
		}
		var options any = &CrossEntropy{LabelSmoothing: &c.Options.Smoothing, PositiveClassWeight: pipeline.Factor(c.Options.Weight), ClassWeights: weights}
		if focal {
			options = &Focal{Gamma: c.Options.Gamma, Alpha: c.Options.Alpha, ClassWeights: weights}
		}
		bound, err := Bind(pipeline.Choice{Options: options}, labelsOf(label, options))
		if err != nil {
			t.Fatal(err)
		}
		l := bound.Options.(Loss)
		n := l.Outputs()
		for i, y := range c.Labels {
			out := slices.Clone(c.Outputs[i*n : (i+1)*n])
			if loss := l.Gradient(out, []float32{y}, 1); math.Abs(loss-c.Losses[i]) > 1e-5*(1+c.Losses[i]) {
				t.Errorf("%s %s, row %d: loss %v, want %v", c.Of, l.Type(), i, loss, c.Losses[i])
			}
			for k, slope := range out {
				if want := c.Slopes[i*n+k]; math.Abs(float64(slope)-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("%s %+v, row %d, output %d: slope %v, want %v", c.Of, c.Options, i, k, slope, want)
				}
			}
		}
	}
}
