package kernel

import "math"

// What e^v and the sigmoid are computed with, for those who compute them to the same bits
// elsewhere.
const (
	// LogitBound keeps 2^k and 1+exp(-z) normal float32s. Beyond it the sigmoid
	// is below 2^-125, or 1.
	LogitBound = 87
	// RoundMagic is 1.5 * 2^23: adding it to a float32 of magnitude below 2^22
	// leaves the nearest integer in the low bits of the mantissa.
	RoundMagic = 12582912
	// Log2E is the logarithm of e to base 2.
	Log2E = 1.44269504088896341
	// The coefficients of Cephes' exp2f: 2**f = 1 + Exp1*f + ... + Exp6*f^6 for
	// |f| <= 1/2.
	Exp1 = 6.931472028550421e-1
	Exp2 = 2.402264791363012e-1
	Exp3 = 5.550332471162809e-2
	Exp4 = 9.618437357674640e-3
	Exp5 = 1.339887440266574e-3
	Exp6 = 1.535336188319500e-4
)

// Sigmoid sets dst[i] = 1/(1+exp(-z[i])), with a relative error below
// (1+|z[i]|) * 2^-22: what an error of one unit in z's last place would make,
// and some roundings. NaN gives NaN. dst may be z.
//
// exp(-z) is 2^k * 2^f with k+f = -z*log2(e), |f| <= 1/2, and a polynomial for
// 2^f, its terms paired (Estrin) so that the machine can overlap them. It is
// written out in the loop because the compiler would call it, and training
// spends most of its time here. The conversions keep every product rounded by
// itself where the machine could fuse it, so all machines give the same bits.
func Sigmoid(dst, z []float32) {
	checkLen(len(z), len(dst))
	if n := groups(len(z), 8); n > 0 {
		sigmoidAVX2(dst[:n], z[:n])
		dst, z = dst[n:], z[n:]
	}
	dst = dst[:len(z)]
	for i, v := range z {
		if v > LogitBound {
			v = LogitBound
		} else if v < -LogitBound {
			v = -LogitBound
		}
		t := float32(v * -Log2E)
		shifted := t + RoundMagic
		f := t - (shifted - RoundMagic)
		f2 := float32(f * f)
		low := float32(f*Exp1) + 1
		mid := float32(f*Exp3) + Exp2
		high := float32(f2*Exp6) + (float32(f*Exp5) + Exp4)
		p := float32((float32(high*f2)+mid)*f2) + low
		// The low bits of shifted are k; moved to the exponent they make 2^k.
		e := float32(p * math.Float32frombits((math.Float32bits(shifted)+127)<<23))
		dst[i] = 1 / (1 + e)
	}
}

// LogisticResidual sets dst[i] = (sigmoid(z[i])-y[i])*scale: the gradient of
// the log loss by the logit, y being 0 or 1. It returns the sum of the rows'
// log losses, each probability clamped to [Epsilon, 1]. dst may be z, but not y.
// The loss is that of a product of probabilities in four interleaved parts.
func LogisticResidual(dst, z, y []float32, scale float32) (loss float64) {
	checkLen(len(z), len(y))
	checkLen(len(z), len(dst))
	products := [4]float64{1, 1, 1, 1}
	for n := groups(len(dst), 8); n > 0; {
		var done int
		if few := n &^ 15; avx512 && few > 0 {
			done = residualAVX512(dst[:few], z[:few], y[:few], scale, &products, smallProduct)
		} else {
			done = residualAVX2(dst[:n], z[:n], y[:n], scale, &products, smallProduct)
		}
		n -= done
		dst, z, y = dst[done:], z[done:], y[done:]
		if min(products[0], products[1], products[2], products[3]) < smallProduct {
			loss, products = loss-logOf(products), [4]float64{1, 1, 1, 1}
		}
	}
	Sigmoid(dst, z)
	y = y[:len(dst)]
	for i, p := range dst {
		r := p - y[i]
		dst[i] = float32(r * scale)
		q := 1 - math.Abs(float64(r)) // the label's probability
		if q < Epsilon {
			q = Epsilon
		}
		products[i%4] *= q
		if i%8 == 7 && min(products[0], products[1], products[2], products[3]) < smallProduct {
			loss, products = loss-logOf(products), [4]float64{1, 1, 1, 1}
		}
	}
	return loss - logOf(products)
}

// logOf is the logarithm of the product of four.
func logOf(products [4]float64) (sum float64) {
	product := products[0]
	for _, p := range products[1:] {
		if both := product * p; both >= smallProduct {
			product = both
		} else {
			sum += Log(product)
			product = p
		}
	}
	return sum + Log(product)
}

// WeightedLogisticResidual is LogisticResidual with the rows whose y is 1, their
// losses and gradients, times weight.
func WeightedLogisticResidual(dst, z, y []float32, scale, weight float32) float64 {
	checkLen(len(z), len(y))
	Sigmoid(dst, z)
	y = y[:len(dst)]
	var losses [2]LogSum
	scales := [2]float32{scale, float32(scale * weight)}
	for i, p := range dst {
		r, kind := p-y[i], 0
		if y[i] != 0 {
			kind = 1
		}
		dst[i] = float32(r * scales[kind])
		losses[kind].Add(1 - math.Abs(float64(r)))
	}
	return -losses[0].Value() - float64(float64(weight)*losses[1].Value())
}

// LogisticResiduals is LogisticResidual with the loss and gradient of each row times its
// weight.
func LogisticResiduals(dst, z, y, weights []float32, scale float32) (loss float64) {
	checkLen(len(z), len(y))
	checkLen(len(z), len(weights))
	Sigmoid(dst, z)
	y, weights = y[:len(dst)], weights[:len(dst)]
	for i, p := range dst {
		r, w := p-y[i], weights[i]
		dst[i] = float32(r * float32(w*scale))
		loss -= float64(float64(w) * Log(max(1-math.Abs(float64(r)), Epsilon)))
	}
	return loss
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
	return float64(loss / 2)
}
