package search

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
)

// Grid tries each combination of values, all in one generation: those of a choice, all
// whole numbers of a space or steps of them, and steps numbers from lower to upper.
type Grid struct{}

// CheckSearch implements pipeline.SearchAlgorithm.
func (*Grid) CheckSearch(of *pipeline.Body, at pipeline.Place) {
	n := 1
	for _, q := range parameters(of.Search) {
		if q.Space.Space == "" || !q.Space.Complete() {
			return // that is told already
		}
		steps := q.gridSize()
		if steps == 0 {
			at.Problem(pipeline.ParameterField(q.Path, "steps"), "write steps: 5", "a grid needs to know how many values of %s it takes", q.Path)
			return
		}
		if n *= steps; n > 1<<20 {
			break
		}
	}
	if n > of.Search.MaxTrials {
		at.Problem("max_trials", fmt.Sprintf("write max_trials: %d, or fewer steps or values", n), "the grid has %d points, and max_trials is %d", n, of.Search.MaxTrials)
	}
}

// Generations implements Algorithm.
func (*Grid) Generations(p *Problem) []int {
	n := 1
	for i := range p.Parameters {
		n *= p.Parameters[i].gridSize()
	}
	return []int{n}
}

// Propose implements Algorithm. The last parameter has another value in each trial.
func (g *Grid) Propose(p *Problem, _ int, _ []Trial) []Point {
	points, grids := make([]Point, g.Generations(p)[0]), make([][]float64, len(p.Parameters))
	for k := range grids {
		grids[k] = p.Parameters[k].grid()
	}
	for i := range points {
		at, left := make([]float64, len(p.Parameters)), i
		for k := len(at) - 1; k >= 0; k-- {
			at[k] = grids[k][left%len(grids[k])]
			left /= len(grids[k])
		}
		points[i].At = at
	}
	return points
}
