package search

import "github.com/thalweg/thalweg/pipeline"

// Genetic breeds points: of the best trials so far two at a time are crossed, and the
// child's values changed a little (BLX crossover, Eshelman and Schaffer 1993).
type Genetic struct {
	// Population is how many trials a generation has, and how many of the best are parents
	// of the next.
	Population int `yaml:"population,omitempty" json:"population,omitempty" jsonschema:"minimum=2,maximum=500" default:"8"`
	// Mutation is the chance of each value of a child to be changed.
	Mutation float64 `yaml:"mutation,omitempty" json:"mutation,omitempty" jsonschema:"minimum=0,maximum=1" default:"0.3"`
}

// Of a crossing: how far beyond its parents a child may be, in their distances, and the
// reach of the first mutations and the last.
const (
	beyond          = 0.25
	widest, closest = 0.3, 0.03
)

// CheckSearch implements pipeline.SearchAlgorithm.
func (g *Genetic) CheckSearch(of *pipeline.Body, at pipeline.Place) {
	if most := of.Search.MaxTrials; g.Population > most {
		at.Problem("algorithm.population", "write a smaller one, or more trials", "a population of %d has no trial each: max_trials is %d", g.Population, most)
	}
}

// Generations implements Algorithm.
func (g *Genetic) Generations(p *Problem) []int {
	return inTurns(g.Population, g.Population, p.trials())
}

// Propose implements Algorithm.
func (g *Genetic) Propose(p *Problem, generation int, finished []Trial) []Point {
	sizes := g.Generations(p)
	if generation == 0 {
		return p.drawn(sizes[0], make(map[string]bool))
	}
	met := p.met(finished)
	parents := p.ranked(finished)
	parents = parents[:min(g.Population, len(parents))]
	reach := cooled(widest, closest, generation-1, len(sizes)-1)
	points := make([]Point, sizes[generation])
	for c := range points {
		points[c].At = p.another(met, func(try int) []float64 {
			a := finished[parents[p.tournament(len(parents), generation, c, try, 0)]].At
			b := finished[parents[p.tournament(len(parents), generation, c, try, 1)]].At
			return g.child(p, a, b, reach, generation, c, try)
		})
	}
	return points
}

// tournament returns the better of two of n ranked ones.
func (p *Problem) tournament(n int, of ...int) int {
	draw := func(k int) int { return place(p.draw(append(of[:len(of):len(of)], k)...), n) }
	return min(draw(0), draw(1))
}

// child crosses two points.
func (g *Genetic) child(p *Problem, a, b []float64, reach float64, of ...int) []float64 {
	out := make([]float64, len(a))
	for i := range out {
		draws := func(k int) float64 { return p.draw(append(of[:len(of):len(of)], 2+i, k)...) }
		changed := draws(1) < g.Mutation
		if p.Parameters[i].Space.Space == pipeline.SpaceChoice {
			switch out[i] = a[i]; {
			case changed:
				out[i] = draws(2)
			case draws(0) < 0.5:
				out[i] = b[i]
			}
			continue
		}
		out[i] = a[i] + float64((float64(draws(0)*(1+2*beyond))-beyond)*(b[i]-a[i]))
		if changed {
			out[i] += float64(reach * (draws(2) + draws(3) - 1))
		}
		out[i] = within(out[i])
	}
	return out
}
