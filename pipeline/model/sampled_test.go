package model

import (
	"math"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// A sample is the prediction of the network without the values that its number leaves out,
// which one without dropout is whose
// weights are changed so; a row has the same bits in whatever block it is.
func TestSamplesAreOfThinnedNetworks(t *testing.T) {
	network := func(dropout float64) Spec { return &MLP{Hidden: []int{9, 5}, Activation: "tanh", Dropout: dropout} }
	convolutions := func(dropout float64) Spec {
		return &CNN{Layers: []CNNLayer{{Conv: &Conv{Channels: 2, Size: 3, Stride: 1, Padding: "same", Activation: "tanh"}}, {Pool: &Pool{Size: 2, Kind: "max"}},
			{Dense: &Dense{Size: 5, Activation: "tanh", Dropout: dropout}}}}
	}
	t.Run("mlp", func(t *testing.T) {
		samplesAreThinned(t, kernel.Shape{Numbers: 2, NumberNames: []string{"x", "y"}}, network)
	})
	t.Run("cnn", func(t *testing.T) {
		samplesAreThinned(t, kernel.Shape{Lists: [][]int{{4, 4}}, ListNames: []string{"image"}}, convolutions)
	})
}

// samplesAreThinned holds the samples of a network to those of one without dropout.
func samplesAreThinned(t *testing.T, shape kernel.Shape, of func(dropout float64) Spec) {
	const seed, samples = 77, 4
	m, err := New(pipeline.Choice{Name: "network", Options: of(0.4)}, pipeline.Choice{Name: "cross_entropy", Options: &CrossEntropy{}}, shape)
	if err != nil {
		t.Fatal(err)
	}
	params := make([]float32, m.Size())
	m.Init(params, 3, 0.5)
	for i := range params {
		params[i] += float32(math.Sin(float64(i))) / 4
	}
	b := sample(shape, Binary, 700)
	got := make([]float32, samples*b.Rows)
	m.Sample(m.NewSampler(), params, b, seed, samples, func(s, from int, predictions []float32) {
		copy(got[s*b.Rows+from:], predictions)
	})
	// The same network whose weights behind what is left out are zero, and the others larger.
	plain, err := New(pipeline.Choice{Name: "network", Options: of(0)}, pipeline.Choice{Name: "cross_entropy", Options: &CrossEntropy{}}, shape)
	if err != nil {
		t.Fatal(err)
	}
	differ := false
	for s := range samples {
		of := kernel.Mix(seed + uint64(s+1)*kernel.Golden)
		thinned := append([]float32(nil), params...)
		for i, layer := range m.layers {
			if _, ok := layer.(interface{ Samples() bool }); !ok {
				continue
			}
			width := layer.Outputs()
			factors := make([]float32, width)
			keep := uint32(39322) // of 65536, 0.6
			kernel.Drop(factors, layerSeed(of, i), 0, keep, float32(1<<16)/float32(keep))
			next := m.layers[i+1]
			w := m.part(thinned, i+1)
			v := next.Views()[0]
			outputs := next.Outputs()
			for k, f := range factors {
				for o := range outputs {
					at := k*outputs + o
					if v.Shape[0] == outputs {
						at = o*width + k
					}
					w[v.Offset+at] *= f
				}
			}
		}
		want := make([]float32, b.Rows)
		plain.Predict(plain.NewPredictor(), thinned, b, want)
		for i, p := range want {
			if at := got[s*b.Rows+i]; math.Abs(float64(at-p)) > 1e-6 {
				t.Fatalf("sample %d of row %d is %v, want %v", s, i, at, p)
			}
			differ = differ || s > 0 && got[s*b.Rows+i] != got[i]
		}
	}
	if !differ {
		t.Error("all samples are the same")
	}
	const row = 600
	m.Sample(m.NewSampler(), params, rows(b, shape, row, row+1), seed, samples, func(s, from int, predictions []float32) {
		if from != 0 || len(predictions) != 1 || predictions[0] != got[s*b.Rows+row] {
			t.Errorf("alone, sample %d of a row is %v, want %v", s, predictions, got[s*b.Rows+row])
		}
	})
	// A prediction that is not sampled has all values, in the memory of a sampler too.
	want, again := make([]float32, b.Rows), make([]float32, b.Rows)
	m.Predict(m.NewPredictor(), params, b, want)
	m.Predict(m.NewSampler(), params, b, again)
	if !equalBits(want, again) || equalBits(want, got[:b.Rows]) {
		t.Error("predictions are not those of the whole network")
	}
}
