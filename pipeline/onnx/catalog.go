package onnx

import "github.com/thalweg/thalweg/pipeline/kernel"

// Encoder adds to the graph what an encoder makes of a feature.
type Encoder func(x *exporter, e encoding) error

// Encoders are the encoders that have a form in ONNX, by their names in a spec. To add one
// is a file and a line here; one that is not here is refused by name.
func Encoders() map[string]Encoder {
	return map[string]Encoder{
		"none":      encodeScaled,
		"bins":      encodeBins,
		"periodic":  encodePeriodic,
		"elements":  encodeElements,
		"onehot":    encodeOneHot,
		"embedding": encodeOneHot,
		"hash":      encodeHash,
		"ordinal":   encodeValued,
		"frequency": encodeValued,
		"target":    encodeValued,
	}
}

// Builder adds to the graph what a model makes of the slots, as exporter.model has it.
type Builder func(x *exporter, shape kernel.Shape) (value, error)

// Models are the models that have a form in ONNX, likewise.
func Models() map[string]Builder {
	return map[string]Builder{
		"linear": buildLinear,
		"cnn":    buildCNN,
		"fm":     buildFM,
		"mlp":    buildMLP,
		"trees":  buildTrees,
	}
}
