package search

import (
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Annealing walks from point to point: to a neighbour that is better always, to one that is
// worse the less likely the later it is (Kirkpatrick et al. 1983). It begins with the best
// of a few trials at random.
type Annealing struct {
	// Chains is how many Markov chains there are, each a trial of every generation.
	Chains int `yaml:"chains,omitempty" json:"chains,omitempty" jsonschema:"minimum=1,maximum=100" default:"2"`
}

// How walks cool down, from their first generation to their last: the temperature is in
// spreads of the scores, the stride in lengths of the spaces.
const (
	hottest, coldest  = 0.2, 0.005
	longest, shortest = 0.4, 0.04
)

// CheckSearch implements pipeline.SearchAlgorithm.
func (a *Annealing) CheckSearch(of *pipeline.Body, at pipeline.Place) {
	if most := of.Search.MaxTrials; a.Chains > most {
		at.Problem("algorithm.chains", "write fewer chains, or more trials", "%d chains have no trial each: max_trials is %d", a.Chains, most)
	}
}

// Generations implements Algorithm.
func (a *Annealing) Generations(p *Problem) []int {
	all := p.trials()
	first := min(max(a.Chains, all/5), all)
	return inTurns(first, a.Chains, all)
}

// inTurns cuts so many trials into a first generation and others of one size.
func inTurns(first, size, all int) []int {
	first = min(first, all)
	generations := []int{first}
	for all -= first; all > 0; all -= size {
		generations = append(generations, min(size, all))
	}
	return generations
}

// Propose implements Algorithm.
func (a *Annealing) Propose(p *Problem, generation int, finished []Trial) []Point {
	sizes := a.Generations(p)
	if generation == 0 {
		return p.drawn(sizes[0], make(map[string]bool))
	}
	met := p.met(finished)
	now := a.walked(p, sizes[:generation], len(sizes)-1, finished)
	stride := cooled(longest, shortest, generation-1, len(sizes)-1)
	points := make([]Point, sizes[generation])
	for c := range points {
		points[c].At = p.another(met, func(try int) []float64 {
			return p.neighbour(finished[now[c]].At, stride, generation, c, try)
		})
	}
	return points
}

// walked returns the trial that each walk is at, after the generations of some sizes, of so
// many in all after the first.
func (a *Annealing) walked(p *Problem, sizes []int, all int, finished []Trial) []int {
	now := make([]int, a.Chains)
	order := p.ranked(finished[:sizes[0]])
	for c := range now {
		now[c] = order[c%len(order)]
	}
	at := sizes[0]
	for g := 1; g < len(sizes); g++ {
		temperature := cooled(hottest, coldest, g-1, all)
		spread := p.spread(finished[:at+sizes[g]])
		for c := range sizes[g] {
			if p.accepts(&finished[now[c]], &finished[at+c], temperature*spread, g, c) {
				now[c] = at + c
			}
		}
		at += sizes[g]
		if 2*g >= all && len(now) > 1 { // in the second half, who is worst goes on from the best
			best, worst := p.ranked(finished[:at])[0], 0
			for c := range now {
				if p.Better(&finished[now[worst]], &finished[now[c]]) {
					worst = c
				}
			}
			now[worst] = best
		}
	}
	return now
}

// accepts reports whether a walk goes from one trial to another (Metropolis).
func (p *Problem) accepts(from, to *Trial, temperature float64, of ...int) bool {
	switch {
	case p.Better(to, from):
		return true
	case to.Score == nil || from.Score == nil || temperature <= 0:
		return false
	}
	worse := math.Abs(*to.Score - *from.Score)
	return kernel.Log(1-p.draw(append(of, -1)...)) < -worse/temperature
}

// spread returns the difference between the best and the median of scores: the worst may be
// far off.
func (p *Problem) spread(trials []Trial) float64 {
	var scored []Trial
	for _, i := range p.ranked(trials) {
		if trials[i].Score != nil {
			scored = append(scored, trials[i])
		}
	}
	if len(scored) == 0 {
		return 0
	}
	return math.Abs(*scored[0].Score - *scored[len(scored)/2].Score)
}

// cooled goes from one number above 0 to another in so many steps, each by the same factor.
func cooled(from, to float64, step, steps int) float64 {
	if steps < 2 {
		return from
	}
	span := kernel.Log(to) - kernel.Log(from)
	return float64(from * (kernel.Expm1(float64(span*float64(step)/float64(steps-1))) + 1))
}

// neighbour returns a point within a stride of another, or so: one coordinate differs at
// least, each of the others by half a chance. A choice is drawn anew.
func (p *Problem) neighbour(at []float64, stride float64, of ...int) []float64 {
	out := append([]float64(nil), at...)
	d := len(at)
	must := place(p.draw(append(of[:len(of):len(of)], d)...), d)
	for i := range out {
		draws := func(k int) float64 { return p.draw(append(of[:len(of):len(of)], i, k)...) }
		if i != must && draws(0) < 0.5 {
			continue
		}
		if p.Parameters[i].Space.Space == pipeline.SpaceChoice {
			if i == must || draws(3) < stride {
				out[i] = draws(1)
			}
			continue
		}
		out[i] = within(out[i] + float64(stride*(draws(1)+draws(2)-1)))
	}
	return out
}

// within mirrors a coordinate at the ends of its space.
func within(at float64) float64 {
	if at < 0 {
		at = -at
	}
	if at > 1 {
		at = 2 - at
	}
	return min(max(at, 0), 1)
}

// another returns the first point of some that was not met, and notes it; where all were,
// the last.
func (p *Problem) another(met map[string]bool, point func(try int) []float64) (at []float64) {
	for try := range patience {
		at = point(try)
		if key := p.key(at); !met[key] {
			met[key] = true
			break
		}
	}
	return at
}
