package kernel

import "math"

const (
	// logitBound keeps exp(-z) and 1+exp(-z) normal float32s. Beyond it the
	// sigmoid is within 2^-125 of 0 or equal to 1.
	logitBound = 87
	// roundMagic is 1.5 * 2^23: adding it to a float32 of magnitude below 2^22
	// leaves the nearest integer in the low bits of the mantissa.
	roundMagic = 12582912
	// ln2High and ln2Low split ln 2 (Cody and Waite): k*ln2High is exact for
	// |k| < 2^15, so the reduced argument loses nothing.
	ln2High = 0.693359375
	ln2Low  = -2.12194440e-4
	log2E   = 1.44269504088896341
)

// exp returns e**x for |x| <= logitBound with a relative error below 2^-22.
// It is the float32 form of Cephes' expf: x = k*ln2 + r with |r| <= ln2/2 and a
// polynomial of degree 5 in r. The conversions keep every product rounded by
// itself where the machine could fuse it, so all machines give the same bits.
func exp(x float32) float32 {
	shifted := float32(x*log2E) + roundMagic
	k := shifted - roundMagic
	r := x - float32(k*ln2High)
	r -= float32(k * ln2Low)
	p := float32(1.9875691500e-4*r) + 1.3981999507e-3
	p = float32(p*r) + 8.3334519073e-3
	p = float32(p*r) + 4.1665795894e-2
	p = float32(p*r) + 1.6666665459e-1
	p = float32(p*r) + 5.0000001201e-1
	p = float32(p*float32(r*r)) + r + 1
	return p * math.Float32frombits((math.Float32bits(shifted)+127)<<23)
}

// sigmoid returns 1/(1+e**-z) with a relative error below 2^-21; NaN gives NaN.
func sigmoid(z float32) float32 {
	if z > logitBound {
		z = logitBound
	} else if z < -logitBound {
		z = -logitBound
	}
	return 1 / (1 + exp(-z))
}

// Sigmoid sets dst[i] = 1/(1+exp(-z[i])), with a relative error below 2^-21.
// dst may be z.
func Sigmoid(dst, z []float32) {
	checkLen(len(z), len(dst))
	dst = dst[:len(z)]
	for i, v := range z {
		dst[i] = sigmoid(v)
	}
}

// LogisticResidual sets dst[i] = (sigmoid(z[i])-y[i])*scale: the gradient of
// the log loss by the logit, y being 0 or 1. It returns the sum of the rows'
// log losses, each probability clamped to [Epsilon, 1-Epsilon]. dst may be z.
func LogisticResidual(dst, z, y []float32, scale float32) float64 {
	checkLen(len(z), len(dst))
	checkLen(len(z), len(y))
	dst, y = dst[:len(z)], y[:len(z)]
	var loss float64
	// The log of a product of up to logBatch probabilities is one call instead
	// of logBatch; Epsilon^logBatch is far above the smallest float64.
	product, pending := 1.0, 0
	for i, v := range z {
		p := sigmoid(v)
		d := p - y[i]
		dst[i] = float32(d * scale)
		// |d| is the probability of the other label.
		product *= 1 - min(math.Abs(float64(d)), 1-Epsilon)
		if pending++; pending == logBatch {
			loss -= Log(product)
			product, pending = 1, 0
		}
	}
	return loss - Log(product)
}

// SquaredResidual sets dst[i] = (z[i]-y[i])*scale: the gradient of half the
// squared error. It returns the sum of the rows' halved squared errors. dst may
// be z.
func SquaredResidual(dst, z, y []float32, scale float32) float64 {
	checkLen(len(z), len(dst))
	checkLen(len(z), len(y))
	dst, y = dst[:len(z)], y[:len(z)]
	var loss float64
	for i, v := range z {
		d := v - y[i]
		dst[i] = float32(d * scale)
		loss += float64(float64(d) * float64(d))
	}
	return loss / 2
}
