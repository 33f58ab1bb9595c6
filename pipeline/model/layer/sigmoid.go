package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// sigmoid is 1/(1+e^-x). Its slope is at most a quarter, which its gain makes up for in part.
func sigmoid() Activation {
	return Activation{Name: "sigmoid", Gain: 4, keeps: true, inPlace: true,
		apply: func(out, in, kept []float32) {
			kernel.Sigmoid(out, in)
			copy(kept, out)
		},
		slope: func(dst, d, _, kept []float32) { kernel.SigmoidSlope(dst, d, kept) },
	}
}
