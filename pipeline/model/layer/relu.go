package layer

import "github.com/thalweg/thalweg/pipeline/kernel"

// relu is max(x, 0). Its gain is that of He et al. 2015.
func relu() Activation {
	return Activation{Name: "relu", Gain: 2, inPlace: true, // what it gives is above 0 where what it was given is
		apply: func(out, in, _ []float32) { kernel.Relu(out, in) },
		slope: func(dst, d, in, _ []float32) { kernel.ReluSlope(dst, d, in) },
	}
}
