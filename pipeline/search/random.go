package search

import "github.com/thalweg/thalweg/pipeline"

// Random tries values drawn at random from their spaces, none twice: all trials are one
// generation (Bergstra and Bengio 2012).
type Random struct{}

// CheckSearch implements pipeline.SearchAlgorithm.
func (*Random) CheckSearch(*pipeline.Body, pipeline.Place) {}

// Generations implements Algorithm.
func (*Random) Generations(p *Problem) []int {
	return []int{p.trials()}
}

// Propose implements Algorithm.
func (r *Random) Propose(p *Problem, _ int, _ []Trial) []Point {
	return p.drawn(r.Generations(p)[0], make(map[string]bool))
}

// drawn returns n points at random, none that was met unless all were, and notes them.
func (p *Problem) drawn(n int, met map[string]bool) []Point {
	points := make([]Point, 0, n)
	drawn, all := patience*n, patience*n+p.points()
	for i := 0; len(points) < n; i++ {
		at := p.anywhere(i)
		if drawn <= i && i < all { // few are left: one after the other
			at = p.at(i - drawn)
		}
		if key := p.key(at); !met[key] || i >= all {
			met[key] = true
			points = append(points, Point{At: at})
		}
	}
	return points
}

// patience is how often a point is drawn that was met before points are counted through.
const patience = 100

// at returns the i-th of all points, of which there are some number.
func (p *Problem) at(i int) []float64 {
	out := make([]float64, len(p.Parameters))
	for k := len(out) - 1; k >= 0; k-- {
		n := max(p.Parameters[k].count(), 1)
		out[k] = p.Parameters[k].middle(i % n)
		i /= n
	}
	return out
}
