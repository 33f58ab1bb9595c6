package summary

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/bits"
)

// Moments gathers what mean and deviation come of: exact sums of values and of
// their squares. The zero Moments is ready to use.
type Moments struct {
	count        int64
	sum, squares total
	// more are sums of what was merged.
	more [2]big.Int
}

// Units of the sums: the least float64 above 0, and its square.
const (
	unit        = 1074
	unitSquares = 2 * unit
)

// Add adds a finite value.
func (m *Moments) Add(x float64) {
	mantissa, exponent := parts(x)
	m.count++
	m.sum.add(0, mantissa, exponent, x < 0)
	high, low := bits.Mul64(mantissa, mantissa)
	m.squares.add(high, low, 2*exponent, false)
}

// AddCount adds a finite value n times.
func (m *Moments) AddCount(x float64, n int64) {
	mantissa, exponent := parts(x)
	high, low := bits.Mul64(mantissa, mantissa)
	for m.count += n; n > 0; n -= 1 << 22 {
		times := uint64(min(n, 1<<22)) // with which the squares have at most 128 bits
		h, l := bits.Mul64(mantissa, times)
		m.sum.add(h, l, exponent, x < 0)
		h, l = bits.Mul64(low, times)
		m.squares.add(h+high*times, l, 2*exponent, false)
	}
}

// parts returns what x is of: mantissa times 2 to the power of exponent, in units.
func parts(x float64) (mantissa uint64, exponent uint) {
	b := math.Float64bits(x)
	mantissa, exponent = b&(1<<52-1), uint(b>>52&(1<<11-1))
	if exponent > 0 {
		mantissa |= 1 << 52
		exponent--
	}
	return mantissa, exponent
}

// Count returns the number of values.
func (m *Moments) Count() int64 { return m.count }

// Merge adds the values of o.
func (m *Moments) Merge(o *Moments) {
	sum, squares := o.sums()
	m.count += o.count
	m.more[0].Add(&m.more[0], sum)
	m.more[1].Add(&m.more[1], squares)
}

func (m *Moments) sums() (sum, squares *big.Int) {
	sum, squares = m.sum.exact(), m.squares.exact()
	return sum.Add(sum, &m.more[0]), squares.Add(squares, &m.more[1])
}

// precision of what comes of the sums before it is rounded to a float64.
const precision = 256

// Mean returns the mean of the values, rounded once; there is at least one.
func (m *Moments) Mean() float64 {
	sum, _ := m.sums()
	mean, _ := new(big.Rat).SetFrac(sum, scaled(m.count, unit)).Float64()
	return mean
}

// Deviation returns the standard deviation of the values themselves (divided by
// their count, not by one less); there is at least one.
func (m *Moments) Deviation() float64 {
	sum, squares := m.sums()
	squares.Mul(squares, big.NewInt(m.count))
	squares.Sub(squares, sum.Mul(sum, sum))
	n := new(big.Int).Mul(big.NewInt(m.count), big.NewInt(m.count))
	variance := new(big.Float).SetPrec(precision).Quo(new(big.Float).SetPrec(precision).SetInt(squares), new(big.Float).SetInt(n))
	variance.SetMantExp(variance, -unitSquares)
	deviation, _ := variance.Sqrt(variance).Float64()
	return deviation
}

// scaled returns n times 2 to the power of shift.
func scaled(n int64, shift uint) *big.Int { return new(big.Int).Lsh(big.NewInt(n), shift) }

type momentsJSON struct {
	Count   int64    `json:"count"`
	Sum     *big.Int `json:"sum"`     // in units of 2^-1074
	Squares *big.Int `json:"squares"` // in units of 2^-2148
}

// MarshalJSON returns the same bytes for the same values in whatever order.
func (m *Moments) MarshalJSON() ([]byte, error) {
	sum, squares := m.sums()
	return json.Marshal(momentsJSON{m.count, sum, squares})
}

// maxJSON bounds the JSON of Moments, which are numbers of some 1,300 digits.
const maxJSON = 4096

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Moments) UnmarshalJSON(data []byte) error {
	var in momentsJSON
	if len(data) > maxJSON {
		return fmt.Errorf("moments of %d bytes", len(data))
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Sum == nil || in.Squares == nil || in.Count < 0 || in.Squares.Sign() < 0 {
		return fmt.Errorf("moments that no values have")
	}
	least := new(big.Int).Mul(in.Sum, in.Sum)
	if least.Cmp(new(big.Int).Mul(in.Squares, big.NewInt(in.Count))) > 0 {
		return fmt.Errorf("moments that no values have")
	}
	*m = Moments{count: in.Count, more: [2]big.Int{*in.Sum, *in.Squares}}
	return nil
}

// total is a sum without rounding: digits of 32 bits, from the unit up, that carry
// late.
type total struct {
	digits [136]int64
	adds   int
}

// add adds high·2^64 + low, times 2 to the power of exponent, or subtracts it.
func (t *total) add(high, low uint64, exponent uint, negative bool) {
	const mask = 1<<32 - 1
	shift := exponent % 32
	a, b, c := low<<shift, high<<shift|low>>(64-shift), high>>(64-shift)
	d := t.digits[exponent/32:][:5]
	parts := [5]int64{int64(a & mask), int64(a >> 32), int64(b & mask), int64(b >> 32), int64(c)}
	if negative {
		for i, p := range parts {
			d[i] -= p
		}
	} else {
		for i, p := range parts {
			d[i] += p
		}
	}
	if t.adds++; t.adds == 1<<30 {
		t.carry()
	}
}

// carry leaves less than 2^32 in each digit, so that as many adds fit again.
func (t *total) carry() {
	last := len(t.digits) - 1
	for i, d := range t.digits[:last] {
		t.digits[i+1] += d >> 32
		t.digits[i] = d & (1<<32 - 1)
	}
	t.adds = 0
}

// exact returns the sum in units.
func (t *total) exact() *big.Int {
	out, digit := new(big.Int), new(big.Int)
	for i := len(t.digits) - 1; i >= 0; i-- {
		out.Add(out.Lsh(out, 32), digit.SetInt64(t.digits[i]))
	}
	return out
}
