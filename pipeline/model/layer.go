package model

import "github.com/thalweg/thalweg/pipeline/model/layer"

type (
	// Layer is a layer of a network.
	Layer = layer.Layer
	// View names a part of the parameters.
	View = layer.View
	// Chunk is the rows that a layer works on.
	Chunk = layer.Chunk
	// Rescaler is a layer whose values are affine in its parameters.
	Rescaler = layer.Rescaler
)
