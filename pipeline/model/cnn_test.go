package model

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// convolved is a network of every kind of layer; tanh has no corners.
func convolved(kind string) *CNN {
	return &CNN{Layers: []CNNLayer{{Conv: &Conv{Channels: 2, Size: 3, Stride: 1, Padding: "same", Activation: "tanh"}}, {Pool: &Pool{Size: 2, Kind: kind}},
		{Conv: &Conv{Channels: 3, Size: 2, Stride: 1, Padding: "valid", Activation: "gelu"}}, {Dense: &Dense{Size: 4, Activation: "tanh", Dropout: 0.2}}}}
}

func TestConvolutionalNetworksKeepTheContract(t *testing.T) {
	for _, dimensions := range [][]int{{9}, {4, 4, 2}} {
		shape := kernel.Shape{Lists: [][]int{dimensions}, ListNames: []string{"image"}}
		for name, l := range losses(t) {
			if name != "cross_entropy of category" {
				continue
			}
			m, err := convolved("mean").New(l, shape)
			if err != nil {
				t.Fatal(err)
			}
			checkModel(t, m)
		}
	}
}

func TestConvolutionalNetworksThatCannotBeAreRefused(t *testing.T) {
	image := func(dimensions ...int) kernel.Shape {
		return kernel.Shape{Lists: [][]int{dimensions}, ListNames: []string{"image"}}
	}
	wide := &CNN{Layers: []CNNLayer{{Conv: &Conv{Channels: 1024, Size: 3, Stride: 1, Padding: "same", Activation: "relu"}}}}
	tall := &CNN{Layers: []CNNLayer{{Conv: &Conv{Channels: 1, Size: 3, Stride: 1, Padding: "valid", Activation: "relu"}}}}
	for says, of := range map[string]struct {
		options *CNN
		shape   kernel.Shape
	}{
		"reads one list, and has 2 (l, m) besides 7 other inputs": {convolved("max"), everySlot},
		"conv 0 has 0 values":       {tall, image(2, 2)},
		"conv 0 has 4194304 values": {wide, image(64, 64)},
	} {
		if _, err := of.options.New(new(CrossEntropy), of.shape); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
}
