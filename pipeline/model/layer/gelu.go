package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// gelu is x times the probability that a normal variable is below x, by its approximation
// with tanh (Hendrycks and Gimpel 2016).
func gelu() Activation {
	return Activation{Name: "gelu", Gain: 2, keeps: true, apply: kernel.GELU,
		slope: func(dst, d, in, kept []float32) { kernel.GELUSlope(dst, d, kept, in) },
	}
}
