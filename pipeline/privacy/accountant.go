// Package privacy is the arithmetic of differentially private training: the noise that
// a secret key stands for, who is in a Poisson sample, and what a run has spent.
package privacy

import (
	"fmt"
	"math"
)

// orders are those of Rényi divergence that ε is the least over: fine where most runs have
// their best, coarse beyond.
var orders = func() (out []float64) {
	for x := 11; x < 110; x++ {
		out = append(out, float64(x)/10)
	}
	for x := 11; x < 64; x++ {
		out = append(out, float64(x))
	}
	return append(out, 128, 256, 512, 1024)
}()

// maxTerms bounds a series that does not converge.
const maxTerms = 1000

// Mechanism is the Gaussian mechanism on a Poisson sample: each row is in with probability
// Rate, and the sum of what rows contribute gets noise of Noise times the most that one
// row can contribute.
type Mechanism struct {
	Rate, Noise float64
}

// Validate reports what is no mechanism.
func (m Mechanism) Validate() error {
	if !(m.Rate > 0 && m.Rate <= 1) || !(m.Noise > 0) || math.IsInf(m.Noise, 0) {
		return fmt.Errorf("a sample of %v of the rows with noise of %v is no private step", m.Rate, m.Noise)
	}
	return nil
}

// Epsilon returns the ε that so many steps have spent at δ, where neighbours differ by
// one row that is there or not, and the order that it is found by. Rényi divergences
// of the steps add up (Mironov 2017) and are converted as in Canonne, Kamath and Steinke 2020,
// proposition 12.
func (m Mechanism) Epsilon(steps int64, delta float64) (epsilon, order float64) {
	if steps == 0 {
		return 0, 0
	}
	epsilon = math.Inf(1)
	for _, a := range orders {
		e := float64(float64(steps)*m.Divergence(a)) + math.Log1p(-1/a) - (math.Log(delta)+math.Log(a))/(a-1)
		if e < epsilon {
			epsilon, order = e, a
		}
	}
	return max(epsilon, 0), order
}

// Steps returns how many steps may be made until more than ε is spent at δ, at most limit.
func (m Mechanism) Steps(epsilon, delta float64, limit int64) int64 {
	low, high := int64(0), limit // low is within, beyond high nobody looks
	for low < high {
		middle := low + (high-low+1)/2
		if e, _ := m.Epsilon(middle, delta); e <= epsilon {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// Divergence is the Rényi divergence of an order above 1 that one step has: Mironov, Talwar
// and Zhang 2019, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", section 3.3.
func (m Mechanism) Divergence(order float64) float64 {
	switch {
	case m.Rate == 1:
		return order / (2 * m.Noise * m.Noise)
	case order == math.Trunc(order):
		return m.whole(int(order)) / (order - 1)
	}
	return m.fractional(order) / (order - 1)
}

// whole is the logarithm of the moment of a whole order: a sum over how often the row is in.
func (m Mechanism) whole(order int) float64 {
	sum, choose := math.Inf(-1), 0.0
	for k := 0; k <= order; k++ {
		n := float64(k)
		sum = logAdd(sum, choose+float64(n*math.Log(m.Rate))+float64(float64(order-k)*math.Log1p(-m.Rate))+n*(n-1)/(2*float64(m.Noise*m.Noise)))
		choose += math.Log(float64(order-k)) - math.Log(n+1)
	}
	return sum
}

// fractional is that of any order: two series, of the outcomes below and above where it is
// as probable that the row is in as that it is not. Terms alternate beyond the order; they are
// added by magnitude, as in Google's dp-accounting: that is an upper bound, and nothing cancels.
func (m Mechanism) fractional(order float64) float64 {
	variance := float64(m.Noise * m.Noise)
	middle := float64(variance*math.Log(1/m.Rate-1)) + 0.5
	in, out := math.Log(m.Rate), math.Log1p(-m.Rate)
	sum, choose, lastBelow, lastAbove := math.Inf(-1), 0.0, math.Inf(-1), math.Inf(-1)
	const least = -30 // below what a float64 shows of the sum
	for k := range maxTerms {
		n := float64(k)
		rest := order - n
		below := choose + float64(n*in) + float64(rest*out) + float64(n*(n-1)/(2*variance)) + logTail((n-middle)/m.Noise)
		above := choose + float64(rest*in) + float64(n*out) + float64(rest*(rest-1)/(2*variance)) + logTail((middle-rest)/m.Noise)
		sum = logAdd(sum, logAdd(below, above))
		if below < lastBelow && above < lastAbove && max(below, above) < sum+least {
			return sum
		}
		lastBelow, lastAbove = below, above
		choose += math.Log(math.Abs(rest)) - math.Log(n+1)
	}
	return math.Inf(1) // another order serves
}

// logAdd is log(exp(a) + exp(b)).
func logAdd(a, b float64) float64 {
	a, b = max(a, b), min(a, b)
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// logTail is the logarithm of the probability that a standard normal variable is above x.
func logTail(x float64) float64 {
	if x < 25 {
		return math.Log(math.Erfc(x/math.Sqrt2) / 2)
	}
	// Abramowitz and Stegun, 26.2.12: beyond 25 the next term is below 1e-8 of it.
	y := 1 / (x * x)
	return -float64(x*x/2) - math.Log(x) - float64(math.Log(2*math.Pi)/2) + math.Log1p(-y+float64(3*y*y)-float64(15*y*y*y))
}
