// Package calibration turns a model's outputs into probabilities that are as frequent as
// they say. What is fitted follows from a set of rows: neither their order nor where they
// lay can change a bit.
package calibration

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// The methods, as specs spell them.
const (
	// None leaves the probabilities of the loss.
	None = "none"
	// Platt is a logistic regression on the output (Platt 1999).
	Platt = "platt"
	// Isotonic is the rising function of the output with the least squared error, linear
	// between its points.
	Isotonic = "isotonic"
	// Temperature divides the outputs by a number (Guo et al. 2017).
	Temperature = "temperature"
)

// Calibration is a fitted one. It is immutable.
type Calibration struct {
	Method string `json:"method"`
	// Rows are those that it was fitted to.
	Rows int64 `json:"rows"`
	// Slope and Offset make the logit of an output; Slope alone, 1 over the temperature, all
	// outputs of a row where there are several.
	Slope  float64 `json:"slope,omitempty"`
	Offset float64 `json:"offset,omitempty"`
	// X are outputs, ascending, and Y their probabilities, which do not fall (isotonic).
	X []float64 `json:"x,omitempty"`
	Y []float64 `json:"y,omitempty"`
}

// Apply overwrites a model's outputs, of which each row has so many, by probabilities. A
// row's bits depend on that row alone.
func (c *Calibration) Apply(out []float32, width int) {
	if c.Method == Isotonic {
		for i, z := range out {
			out[i] = c.interpolate(float64(z))
		}
		return
	}
	for i, z := range out {
		out[i] = float32(float64(c.Slope*float64(z)) + c.Offset)
	}
	if width == 1 {
		kernel.Sigmoid(out, out)
	} else {
		kernel.Softmax(out, width)
	}
}

// interpolate returns the probability of an output, beyond the points that of the nearest.
func (c *Calibration) interpolate(z float64) float32 {
	at := sort.SearchFloat64s(c.X, z)
	switch {
	case math.IsNaN(z):
		return float32(z)
	case at == 0:
		return float32(c.Y[0])
	case at == len(c.X):
		return float32(c.Y[at-1])
	}
	part := (z - c.X[at-1]) / (c.X[at] - c.X[at-1])
	return float32(c.Y[at-1] + float64((c.Y[at]-c.Y[at-1])*part))
}

// Falls reports whether a larger output has a smaller probability: the rows contradict
// the model.
func (c *Calibration) Falls() bool { return c.Method != Isotonic && c.Slope < 0 }

// Check returns what is wrong with a calibration that came from outside.
func (c *Calibration) Check() error {
	finite := func(x float64) bool { return x-x == 0 }
	switch c.Method {
	case Platt, Temperature:
		if !finite(c.Slope) || !finite(c.Offset) || len(c.X)+len(c.Y) > 0 || c.Method == Temperature && (c.Slope <= 0 || c.Offset != 0) {
			return fmt.Errorf("%s of slope %v, offset %v and %d points", c.Method, c.Slope, c.Offset, len(c.X))
		}
	case Isotonic:
		if len(c.X) == 0 || len(c.X) != len(c.Y) || c.Slope != 0 || c.Offset != 0 {
			return fmt.Errorf("isotonic of %d outputs and %d probabilities", len(c.X), len(c.Y))
		}
		for i := range c.X {
			if !finite(c.X[i]) || !(c.Y[i] >= 0 && c.Y[i] <= 1) || i > 0 && (c.X[i] <= c.X[i-1] || c.Y[i] < c.Y[i-1]) {
				return fmt.Errorf("point %d of isotonic does not rise", i)
			}
		}
	default:
		return fmt.Errorf("there is no calibration %q", c.Method)
	}
	return nil
}

// Fit fits a method to rows: their outputs, so many for each, and their labels, 0 and 1 or
// the numbers of classes. Outputs are finite. It fails where the rows cannot say anything:
// there are none, or of one label only.
func Fit(method string, outputs, labels []float32, width int) (*Calibration, error) {
	if len(labels) == 0 {
		return nil, fmt.Errorf("there are no rows to fit it to")
	}
	for i, y := range labels {
		if y != labels[0] {
			break
		}
		if i == len(labels)-1 {
			return nil, fmt.Errorf("the label of all %d rows is the same", len(labels))
		}
	}
	c := &Calibration{Method: method, Rows: int64(len(labels))}
	switch {
	case method == Temperature:
		c.Slope = inverseTemperature(outputs, labels, width)
	case width != 1:
		return nil, fmt.Errorf("%s is for a binary label", method)
	case method == Platt:
		c.Slope, c.Offset = platt(grouped(outputs, labels))
	case method == Isotonic:
		c.X, c.Y = isotonic(grouped(outputs, labels))
	default:
		return nil, fmt.Errorf("there is no calibration %q", method)
	}
	return c, nil
}

// group is the rows that have an output: how many, and how many of these are true.
type group struct {
	z       float64
	n, ones int64
}

// grouped sorts rows by their output and brings equal ones together.
func grouped(outputs, labels []float32) []group {
	out := make([]group, len(outputs))
	for i, z := range outputs {
		out[i] = group{z: float64(z), n: 1}
		if labels[i] != 0 {
			out[i].ones = 1
		}
	}
	slices.SortFunc(out, func(a, b group) int { return cmp.Compare(a.z, b.z) })
	last := 0
	for _, g := range out[1:] {
		if g.z == out[last].z {
			out[last].n += g.n
			out[last].ones += g.ones
			continue
		}
		last++
		out[last] = g
	}
	return out[:last+1]
}

// isotonic pools neighbours that fall (PAV: Ayer et al. 1955), comparing exact fractions,
// and returns the first and last output of each pool with its share of true rows.
func isotonic(groups []group) (x, y []float64) {
	type pool struct {
		n, ones     int64
		first, last float64
	}
	var pools []pool
	for _, g := range groups {
		p := pool{g.n, g.ones, g.z, g.z}
		for len(pools) > 0 {
			before := &pools[len(pools)-1]
			if before.ones*p.n < p.ones*before.n { // before's share is less
				break
			}
			p.n, p.ones, p.first = p.n+before.n, p.ones+before.ones, before.first
			pools = pools[:len(pools)-1]
		}
		pools = append(pools, p)
	}
	for _, p := range pools {
		share := float64(p.ones) / float64(p.n)
		x, y = append(x, p.first), append(y, share)
		if p.last != p.first {
			x, y = append(x, p.last), append(y, share)
		}
	}
	return x, y
}

// newtonSteps bounds the steps of a fit: each doubles the digits near the minimum.
const newtonSteps = 100

// platt returns the slope and offset whose log loss is least, by Newton's method with
// halved steps (Lin, Lin and Weng 2007). The targets are Platt's, which keep the slope of
// rows that are told apart finite.
func platt(groups []group) (slope, offset float64) {
	var n, ones int64
	largest := 0.0
	for _, g := range groups {
		n, ones = n+g.n, ones+g.ones
		largest = max(largest, math.Abs(g.z))
	}
	high, low := float64(ones+1)/float64(ones+2), 1/float64(n-ones+2)
	scale := 1.0 // of outputs, so that one tolerance fits all
	if largest > 0 {
		scale = 1 / largest
	}
	loss := func(a, b float64) (sum float64) {
		for _, g := range groups {
			f := float64(a*float64(g.z*scale)) + b
			target := float64(float64(g.ones)*high) + float64(float64(g.n-g.ones)*low)
			sum += float64(float64(g.n)*softplus(f)) - float64(target*f)
		}
		return sum
	}
	a, b := 0.0, kernel.Log(float64(ones+1)/float64(n-ones+1))
	for best, step := loss(a, b), 0; step < newtonSteps; step++ {
		var ga, gb, haa, hab, hbb float64
		for _, g := range groups {
			z := float64(g.z * scale)
			p := sigmoid(float64(a*z) + b)
			target := float64(float64(g.ones)*high) + float64(float64(g.n-g.ones)*low)
			d := float64(float64(g.n)*p) - target
			w := float64(float64(g.n) * float64(p*(1-p)))
			ga += float64(d * z)
			gb += d
			haa += float64(w * float64(z*z))
			hab += float64(w * z)
			hbb += w
		}
		haa, hbb = haa+1e-12, hbb+1e-12
		det := float64(haa*hbb) - float64(hab*hab)
		da := -(float64(hbb*ga) - float64(hab*gb)) / det
		db := -(float64(haa*gb) - float64(hab*ga)) / det
		moved := false
		for part := 1.0; part > 1e-10; part /= 2 {
			na, nb := a+float64(part*da), b+float64(part*db)
			if next := loss(na, nb); next < best {
				a, b, best, moved = na, nb, next, true
				break
			}
		}
		if !moved {
			break // within the rounding of the loss
		}
	}
	return float64(a * scale), b
}

// sharpest and bluntest bound 1 over a temperature: e^10 and e^-10.
const sharpest, bluntest = 22026.465794806718, 4.5399929762484854e-05

// inverseTemperature returns the factor of the outputs whose log loss is least.
func inverseTemperature(outputs, labels []float32, width int) float64 {
	rows := make([]int, len(labels))
	for i := range rows {
		rows[i] = i
	}
	// In an order that does not depend on how the rows came.
	slices.SortFunc(rows, func(i, j int) int {
		return cmp.Or(cmp.Compare(labels[i], labels[j]), slices.Compare(outputs[i*width:(i+1)*width], outputs[j*width:(j+1)*width]))
	})
	z := make([]float64, max(2, width))
	each := func(row func(z []float64, y int)) {
		for _, i := range rows {
			if width == 1 {
				z[0], z[1] = 0, float64(outputs[i])
			} else {
				for k, v := range outputs[i*width : (i+1)*width] {
					z[k] = float64(v)
				}
			}
			row(z, int(labels[i]))
		}
	}
	loss := func(beta float64) (sum float64) {
		each(func(z []float64, y int) {
			most, total := slices.Max(z), 0.0
			for _, v := range z {
				total += kernel.Exp64(float64(beta * (v - most)))
			}
			sum += kernel.Log(total) - float64(beta*(z[y]-most))
		})
		return sum
	}
	beta := 1.0
	for best, step := loss(beta), 0; step < newtonSteps; step++ {
		slope, curve := 0.0, 1e-12
		each(func(z []float64, y int) {
			most := slices.Max(z)
			var total, mean, square float64
			for _, v := range z {
				d := v - most
				e := kernel.Exp64(float64(beta * d))
				total += e
				mean += float64(e * d)
				square += float64(e * float64(d*d))
			}
			mean, square = mean/total, square/total
			slope += mean - (z[y] - most)
			curve += max(0, square-float64(mean*mean))
		})
		moved := false
		for part := 1.0; part > 1e-10; part /= 2 {
			next := min(max(beta-float64(part*slope/curve), bluntest), sharpest)
			if found := loss(next); found < best {
				beta, best, moved = next, found, true
				break
			}
		}
		if !moved {
			break
		}
	}
	return beta
}

// sigmoid is 1/(1+e^-f).
func sigmoid(f float64) float64 {
	e := kernel.Exp64(-math.Abs(f))
	if f < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

// softplus is log(1+e^f).
func softplus(f float64) float64 {
	return max(f, 0) + kernel.Log1p(kernel.Exp64(-math.Abs(f)))
}
