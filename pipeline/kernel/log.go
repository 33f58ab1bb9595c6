package kernel

import "math"

// Epsilon is the distance from 0 and 1 to which a float32 probability is
// clamped before its logarithm is taken: the spacing of float32 at 1, which is
// also what scikit-learn's log_loss does for float32 predictions.
const Epsilon = 1.0 / (1 << 23)

// smallProduct is below what the logarithm of a product of clamped
// probabilities is taken, instead of that of each: one factor more, of at least
// Epsilon, still leaves a normal float64. Each factor costs a rounding of 2^-53
// and, unless it is 1, adds at least 2^-24 to the logarithm, so the sum is right
// to 2^-29 of itself whatever the factors are.
const smallProduct = 1e-290

// Log returns the natural logarithm of a positive normal x with an error below
// one unit in the last place. It is FreeBSD's e_log.c like math.Log, but with
// every product rounded by itself: math.Log may be fused or written in assembly
// on some machines, and a sum of logarithms decides when training stops.
func Log(x float64) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
		l1    = 6.666666666666735130e-01
		l2    = 3.999999999940941908e-01
		l3    = 2.857142874366239149e-01
		l4    = 2.222219843214978396e-01
		l5    = 1.818357216161805012e-01
		l6    = 1.531383769920937332e-01
		l7    = 1.479819860511658591e-01
	)
	f1, exponent := math.Frexp(x)
	if f1 < math.Sqrt2/2 {
		f1 *= 2
		exponent--
	}
	f := f1 - 1
	k := float64(exponent)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	t1 := float64(s2 * (l1 + float64(s4*(l3+float64(s4*(l5+float64(s4*l7)))))))
	t2 := float64(s4 * (l2 + float64(s4*(l4+float64(s4*l6)))))
	half := float64(0.5 * float64(f*f))
	return float64(k*ln2Hi) - ((half - (float64(s*(half+t1+t2)) + float64(k*ln2Lo))) - f)
}

// LogSum is a sum of logarithms of probabilities that does not depend on how
// the rows were cut into calls: it multiplies probabilities, and takes one
// logarithm of many. The zero LogSum is empty.
type LogSum struct {
	sum     float64
	product float64 // of the pending probabilities; 0 where none are
}

// Add adds log(p), p clamped to [Epsilon, 1].
func (s *LogSum) Add(p float64) {
	p = max(p, Epsilon)
	if s.product != 0 {
		p *= s.product
	}
	s.product = p
	if p < smallProduct {
		s.sum += Log(p)
		s.product = 0
	}
}

// Value returns the sum.
func (s *LogSum) Value() float64 {
	if s.product == 0 {
		return s.sum
	}
	return s.sum + Log(s.product)
}

// Merge adds other's sum; the result depends on the order of merges only.
func (s *LogSum) Merge(other float64) {
	*s = LogSum{sum: s.Value() + other}
}
