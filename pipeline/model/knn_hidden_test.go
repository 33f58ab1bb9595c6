package model

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// hiddenNetworks are networks that neighbours are searched behind, and what they read.
func hiddenNetworks() map[string]struct {
	KNN
	shape kernel.Shape
	width int
} {
	of := func(name string, options network) KNN {
		return KNN{Neighbours: 3, On: onHidden, Of: pipeline.Choice{Name: name, Options: options}}
	}
	lists := kernel.Shape{Lists: [][]int{{4, 4}}, ListNames: []string{"image"}}
	conv := CNNLayer{Conv: &Conv{Channels: 3, Size: 3, Stride: 1, Padding: "same", Activation: "relu"}}
	return map[string]struct {
		KNN
		shape kernel.Shape
		width int
	}{
		"mlp":           {of("mlp", &MLP{Hidden: []int{9, 5}, Activation: "gelu", Dropout: 0.5, Normalization: "batch"}), everySlot, 5},
		"cnn":           {of("cnn", &CNN{Layers: []CNNLayer{conv, {Pool: &Pool{Size: 2, Kind: "max"}}, {Dense: &Dense{Size: 6, Activation: "tanh", Dropout: 0.2}}}}), lists, 6},
		"cnn of places": {of("cnn", &CNN{Layers: []CNNLayer{conv}}), lists, 3 * 16},
	}
}

// The nearest rows on a hidden layer are those that a plain search through the layer's values
// finds, whatever blocks rows come in.
func TestNeighboursOnAHiddenLayerAreThoseOfItsValues(t *testing.T) {
	const kept, asked = 700, 70 // more than goes through at a time
	for name, of := range hiddenNetworks() {
		t.Run(name, func(t *testing.T) {
			m, err := of.Keeping(kept).New(new(CrossEntropy), of.shape)
			if err != nil {
				t.Fatal(err)
			}
			if m.Type() != "knn" || m.Keeps() != kept || m.Size()-m.Front() != (kept+15)/16*16*of.width+kept {
				t.Fatalf("a %s of %d rows, %d parameters behind %d", m.Type(), m.Keeps(), m.Size()-m.Front(), m.Front())
			}
			params := make([]float32, m.Size())
			m.Init(params, 7, 0.5)
			for i := range params[:m.Front()] { // statistics of normalization too
				params[i] += float32(i%5) / 16
			}
			all := sample(of.shape, Binary, kept+asked)
			w := m.NewWorkspace()
			for from := 0; from < kept; from += 97 {
				to := min(from+97, kept)
				m.Remember(w, params, from, rows(all, of.shape, from, to))
			}
			if err := m.CheckParams(params); err != nil {
				t.Fatal(err)
			}

			// The same layers below a dense one have the values.
			net := of.Of.Options.(network)
			whole, err := net.New(new(CrossEntropy), of.shape)
			if err != nil {
				t.Fatal(err)
			}
			weights := make([]float32, whole.Size())
			copy(weights, params[:m.Front()])
			values := hiddenValues(whole, weights, all, of.width)
			query := rows(all, of.shape, kept, kept+asked)
			out := make([]float32, asked)
			m.Predict(m.NewPredictor(), params, query, out)
			for i := range asked {
				if want := vote3(values, all.Labels[:kept], values[kept+i]); float64(out[i]) != want {
					t.Fatalf("row %d: %v, a plain search has %v", i, out[i], want)
				}
				one := make([]float32, 1)
				m.Predict(w, params, rows(query, of.shape, i, i+1), one)
				if !equalBits(one, out[i:i+1]) {
					t.Fatalf("row %d: %v alone", i, one)
				}
			}
			p := m.NewPredictor()
			m.Predict(p, params, query, out)
			if n := testing.AllocsPerRun(3, func() { m.Predict(p, params, query, out) }); n != 0 {
				t.Errorf("%v allocations a prediction", n)
			}
		})
	}
}

// hiddenValues returns what the layers below a model's last one make of rows, one at a time.
func hiddenValues(m *Model, params []float32, b *kernel.Block, width int) (all [][]float32) {
	w, last := m.NewWorkspace(), len(m.layers)-1
	for i := range b.Rows {
		w.chunk = Chunk{Block: b, From: i, To: i + 1}
		m.below(w, params, last, 0)
		c, _ := w.enter(last)
		all = append(all, slices.Clone(c.In[:width]))
	}
	return all
}

// vote3 is what the logit of the share of the three nearest rows' labels says.
func vote3(values [][]float32, labels []float32, query []float32) float64 {
	order := make([]int, len(labels))
	distances := make([]float64, len(labels))
	for i := range labels {
		order[i] = i
		for k, v := range query {
			d := float64(v) - float64(values[i][k])
			distances[i] += d * d
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case distances[a] < distances[b]:
			return -1
		case distances[a] > distances[b]:
			return 1
		}
		return 0
	})
	out := []float32{(labels[order[0]] + labels[order[1]] + labels[order[2]]) / 3}
	new(CrossEntropy).FromMeans(out)
	new(CrossEntropy).Predict(out)
	return float64(out[0])
}

func TestHiddenLayersThatCannotBeSearchedAreRefused(t *testing.T) {
	wide := KNN{Neighbours: 1, On: onHidden, Of: pipeline.Choice{Name: "mlp", Options: &MLP{Hidden: []int{4096}, Activation: "relu"}}}
	numbers := kernel.Shape{Numbers: 1, NumberNames: []string{"a"}}
	for says, of := range map[string]Spec{
		"2000 training rows of 4096 values":            wide.Keeping(2000),
		`a model of type "linear" has no hidden layer`: (&KNN{Neighbours: 1, On: onHidden, Of: pipeline.Choice{Name: "linear", Options: new(Linear)}}).Keeping(9),
	} {
		if _, err := of.New(new(CrossEntropy), numbers); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
	// What the layer has is what counts, not the features: a shard with too many rows is known by it.
	if err := wide.Bound(2000, 1); err == nil {
		t.Error("2000 rows of 4096 values are within the bound")
	}
	if err := wide.Bound(1000, math.MaxInt32); err != nil {
		t.Error(err)
	}
}
