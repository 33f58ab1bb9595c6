package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// tanh is the hyperbolic tangent.
func tanh() Activation {
	return Activation{Name: "tanh", Gain: 1, keeps: true, inPlace: true,
		apply: func(out, in, kept []float32) {
			kernel.Tanh(out, in)
			copy(kept, out)
		},
		slope: func(dst, d, _, kept []float32) { kernel.TanhSlope(dst, d, kept) },
	}
}
