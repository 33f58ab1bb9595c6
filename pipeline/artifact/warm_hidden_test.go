package artifact

import (
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// hiddenOf is a spec's model of neighbours on the hidden layer of a network.
func hiddenOf(network string) string {
	return "knn, neighbours: 1, on: hidden, of: {type: " + network + "}"
}

// remember makes the rows of a range those of a model that starts as params say.
func remember(t *testing.T, a *Artifact, params []float32, label string, from, to int) {
	t.Helper()
	batch := tabletest.Batch(memory.DefaultAllocator, a.Schema, 0, warmRows(label, from, to)...)
	defer batch.Release()
	var block kernel.Block
	if err := a.Transform.NewApplier().Apply(batch, &block, nil); err != nil {
		t.Fatal(err)
	}
	block.Labels = make([]float32, block.Rows)
	for i := range block.Labels {
		block.Labels[i] = float32(i % 2)
	}
	a.Model.Remember(a.Model.NewWorkspace(), params, 0, &block)
	a.SetParams(params)
}

// A model of neighbours has the network of its parent, be that the network itself or a model
// of neighbours before it, and the rows of its own run.
func TestNeighboursStartWithTheNetworkOfAVersion(t *testing.T) {
	for _, network := range []string{"mlp, hidden: [6, 4], activation: tanh", "mlp, hidden: [6], normalization: layer"} {
		parent := warmed(t, xyz+", "+rest, "number", network, 0, 50)
		before := parent
		for range 2 { // from the network, then from the model of neighbours
			next := warmed(t, xyz+", "+rest, "number", hiddenOf(network), 0, 50)
			params, got, err := next.StartFrom(before)
			if err != nil {
				t.Fatal(err)
			}
			if got.Features != 7 || len(got.New) != 0 || got.Values != 0 {
				t.Errorf("%s: %+v", network, got)
			}
			for _, v := range next.Model.Views() {
				_, ok := model.Find(parent.Model, v.Name)
				was, _ := model.Find(before.Model, v.Name)
				if kept := v.Offset >= next.Model.Front(); kept == ok {
					t.Errorf("%s: view %s of the network: %v", network, v.Name, ok)
				}
				for i, x := range v.Of(params) {
					if constant := v.Name == "list.pixels.weight" && x == 0; ok && x != was.Of(before.Params)[i] && !constant || !ok && x != 0 {
						t.Fatalf("%s: %s[%d] is %v", network, v.Name, i, x)
					}
				}
			}
			remember(t, next, params, "number", 0, 50)
			for i, y := range outputs(t, next, next.Params, "number", 0, 50) { // each row is the nearest to itself
				if y != float32(i%2) {
					t.Errorf("%s: row %d is %v", network, i, y)
				}
			}
			before = next
		}
	}
}

func TestNeighboursStartWithAConvolutionalNetworkOfTheSameArrays(t *testing.T) {
	hidden := func(document string) string {
		document = strings.Replace(document, "model: {type: cnn,", "model: {type: knn, neighbours: 1, on: hidden, of: {type: cnn,", 1)
		return strings.Replace(document, "dropout: 0.2}}]}", "dropout: 0.2}}]}}\n  trainer: {warm_start: 1}", 1)
	}
	parent := trainedOn(t, convolved, imageColumns, images())
	next := trainedOn(t, hidden(convolved), imageColumns, images())
	params, got, err := next.StartFrom(parent)
	if err != nil || got.Features != 1 {
		t.Fatal(got, err)
	}
	for _, v := range next.Model.Views() {
		was, ok := model.Find(parent.Model, v.Name)
		for i, x := range v.Of(params) {
			if ok && x != was.Of(parent.Params)[i] {
				t.Fatalf("%s[%d] is %v", v.Name, i, x)
			}
		}
	}
	for says, document := range map[string]string{
		"its layer 0 is another than the spec's":         hidden(strings.Replace(convolved, "channels: 2", "channels: 3", 1)),
		"it has 3 layers, the spec 2":                    hidden(strings.Replace(convolved, "{pool: {size: 2}}, ", "", 1)),
		"its list has the shape [2 3], the spec's [3 2]": hidden(strings.Replace(convolved, "[2, 3]", "[3, 2]", 1)),
	} {
		if _, _, err := trainedOn(t, document, imageColumns, images()).StartFrom(parent); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	// Other rows, other means: no weight of a convolution can make up for them.
	says := "the elements of list pixels are normalised by other training rows"
	if _, _, err := trainedOn(t, hidden(convolved), imageColumns, images()[5:]).StartFrom(parent); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want %q", err, says)
	}
}

func TestAVersionWithoutTheNetworkIsNoParentOfNeighbours(t *testing.T) {
	of := func(kind string) *Artifact { return warmed(t, xyz, "binary", kind, 0, 40) }
	hidden := of(hiddenOf("mlp, hidden: [6, 4]"))
	for says, pair := range map[string][2]*Artifact{
		"its hidden layers are [6], the spec's [6 4]":     {hidden, of("mlp, hidden: [6]")},
		"it is a model of type linear, the spec's is mlp": {hidden, of("linear")},
		"it is a model of type knn, the spec's is mlp":    {hidden, of("knn")},
		"it is a model of type knn, the spec's is linear": {of("linear"), of("knn")},
	} {
		if _, _, err := pair[0].StartFrom(pair[1]); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if _, _, err := of("mlp, hidden: [6, 4]").StartFrom(hidden); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "it is a model of type knn, the spec's is mlp") {
		t.Errorf("%v", err)
	}
}
