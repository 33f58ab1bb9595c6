package search

import (
	"math"
	"strconv"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Parameter is a field that is searched.
type Parameter struct {
	Path  string
	Space pipeline.SearchSpace
}

// digits is how many digits of a number are kept: more would say nothing, and these are
// written and read easily.
const digits = 6

// Value returns the value at a coordinate from 0 to 1, as YAML on one line.
func (q *Parameter) Value(at float64) string {
	s := &q.Space
	switch s.Space {
	case pipeline.SpaceChoice:
		return s.Texts()[place(at, len(s.Values))]
	case pipeline.SpaceInt:
		return whole(*s.Lower+math.Floor(float64(at*(*s.Upper-*s.Lower+1))), s)
	case pipeline.SpaceLogInt:
		return whole(math.Floor(between(*s.Lower, *s.Upper+1, at)), s)
	case pipeline.SpaceLogUniform:
		return rounded(between(*s.Lower, *s.Upper, at), s)
	}
	return rounded(*s.Lower+float64(at*(*s.Upper-*s.Lower)), s)
}

// place returns which of n equal parts of [0, 1] a coordinate is in.
func place(at float64, n int) int { return min(max(int(at*float64(n)), 0), n-1) }

// between returns the number at a coordinate between two above 0, evenly by logarithm.
func between(lower, upper, at float64) float64 {
	span := kernel.Log(upper) - kernel.Log(lower)
	return lower * (kernel.Expm1(float64(at*span)) + 1)
}

func whole(v float64, s *pipeline.SearchSpace) string {
	return strconv.FormatFloat(min(max(v, *s.Lower), *s.Upper), 'f', -1, 64)
}

// rounded keeps some digits of a number, within its bounds.
func rounded(v float64, s *pipeline.SearchSpace) string {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	return strconv.FormatFloat(min(max(v, *s.Lower), *s.Upper), 'g', -1, 64)
}

// count returns how many values a space has, 0 for no end of them.
func (q *Parameter) count() int {
	switch s := &q.Space; {
	case s.Space == pipeline.SpaceChoice:
		return len(s.Values)
	case s.Whole() && *s.Upper-*s.Lower < 1<<20:
		return int(*s.Upper-*s.Lower) + 1
	case *s.Lower == *s.Upper:
		return 1
	}
	return 0
}

// steps returns how many coordinates a grid looks at, 0 where the spec has to say.
func (q *Parameter) steps() int {
	n := q.count()
	switch {
	case q.Space.Steps == 0:
		return n
	case n > 0:
		return min(n, q.Space.Steps)
	}
	return q.Space.Steps
}

// gridSize returns how many values of a space a grid takes, 0 where the spec has to say.
func (q *Parameter) gridSize() int {
	if n := q.steps(); n == q.count() {
		return n
	}
	return len(q.grid())
}

// grid returns the coordinates that a grid takes: the middles of the parts that values
// have, and of numbers the ends too. Of those that round to one value there is one.
func (q *Parameter) grid() []float64 {
	n := q.steps()
	var out []float64
	last := ""
	for i := range n {
		at := 0.5
		switch {
		case q.count() == n:
			at = q.middle(i)
		case n > 1:
			at = float64(i) / float64(n-1)
		}
		if value := q.Value(at); i == 0 || value != last {
			out, last = append(out, at), value
		}
	}
	return out
}

// middle returns a coordinate of the i-th of all values of a space.
func (q *Parameter) middle(i int) float64 {
	if s := &q.Space; s.Space == pipeline.SpaceLogInt {
		lower, upper := kernel.Log(*s.Lower), kernel.Log(*s.Upper+1)
		v := *s.Lower + float64(i)
		return float64(kernel.Log(v+0.5)-lower) / (upper - lower)
	}
	return (float64(i) + 0.5) / float64(q.count())
}

// draw returns a number from 0 on, below 1, that follows from what it is for.
func (p *Problem) draw(of ...int) float64 {
	bits := kernel.Mix(p.Seed + kernel.Golden)
	for _, n := range of {
		bits = kernel.Mix(bits + uint64(n+1)*kernel.Golden)
	}
	return float64(bits>>11) / (1 << 53)
}

// anywhere returns the coordinates of a point that is as likely here as there.
func (p *Problem) anywhere(of ...int) []float64 {
	at := make([]float64, len(p.Parameters))
	for i := range at {
		at[i] = p.draw(append(of[:len(of):len(of)], i)...)
	}
	return at
}

// key tells points of other values apart.
func (p *Problem) key(at []float64) string {
	text := ""
	for i := range p.Parameters {
		text += p.Parameters[i].Value(at[i]) + "\x00"
	}
	return text
}

// met returns the keys of trials.
func (p *Problem) met(trials []Trial) map[string]bool {
	met := make(map[string]bool, len(trials))
	for _, t := range trials {
		met[p.key(t.At)] = true
	}
	return met
}

// points returns how many different points there are, 0 for no end of them.
func (p *Problem) points() int {
	const many = 1 << 20
	n := 1
	for i := range p.Parameters {
		k := p.Parameters[i].count()
		if k == 0 || k > many/n {
			return 0
		}
		n *= k
	}
	return n
}

// trials is how many trials there are at most: no more than points.
func (p *Problem) trials() int {
	if n := p.points(); n > 0 {
		return min(n, p.MaxTrials)
	}
	return p.MaxTrials
}
