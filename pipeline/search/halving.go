package search

import (
	"fmt"
	"strconv"

	"github.com/thalweg/thalweg/pipeline"
)

// Halving tries many points with a part of the budget, and the best of them again with
// eta times as much, until a few are tried in full (Jamieson and Talwalkar 2016). The best
// is one of the latter.
type Halving struct {
	// Eta is by how much the trials become fewer, and what each may use more.
	Eta int `yaml:"eta,omitempty" json:"eta,omitempty" jsonschema:"minimum=2,maximum=10" default:"3"`
	// Resource is the path of the field that says how long a trial trains, one of trainer or
	// model. Default trainer.epochs, of trees model.trees.
	Resource string `yaml:"resource,omitempty" json:"resource,omitempty" example:"trainer.epochs"`
	// Minimum is what the first trials get of it. Default: a part in eta squared of
	// maximum.
	Minimum int `yaml:"minimum,omitempty" json:"minimum,omitempty" jsonschema:"minimum=1,maximum=1000000"`
	// Maximum is what the last trials get of it, and so the version. Default: what the spec
	// says of the field.
	Maximum int `yaml:"maximum,omitempty" json:"maximum,omitempty" jsonschema:"minimum=1,maximum=1000000"`
}

// rung is a generation of trials that get the same.
type rung struct{ trials, resource int }

// CheckSearch implements pipeline.SearchAlgorithm.
func (h *Halving) CheckSearch(of *pipeline.Body, at pipeline.Place) {
	path := h.path(of)
	most := h.most(of)
	switch _, searched := of.Search.Parameters[path]; {
	case h.Eta < 2:
		return // that is told already
	case searched:
		at.Problem(pipeline.ParameterField(path, ""), "leave it out, or name another algorithm.resource", "halving sets %s itself", path)
		return
	case most == 0:
		at.Problem("algorithm.maximum", fmt.Sprintf("write algorithm: {type: halving, maximum: 27}, or a number for %s", path), "halving needs to know how much a whole trial gets of %s", path)
		return
	case h.Minimum > most:
		at.Problem("algorithm.minimum", fmt.Sprintf("at most %d", most), "the first trials get %d of %s, and the last %d", h.Minimum, path, most)
		return
	}
	if rungs := len(h.resources(of)); of.Search.MaxTrials < rungs {
		at.Problem("max_trials", fmt.Sprintf("write at least %d, or a larger minimum", rungs), "from %d to %d of %s there are %d rounds, and max_trials is %d", h.resources(of)[0], most, path, rungs, of.Search.MaxTrials)
	}
}

// Budget implements pipeline.BudgetedSearch.
func (h *Halving) Budget(of *pipeline.Body) (path string, amounts []int) {
	if path = h.path(of); h.Eta >= 2 && h.most(of) > 0 {
		amounts = h.resources(of)
	}
	return path, amounts
}

// path returns the field that is a trial's budget.
func (h *Halving) path(of *pipeline.Body) string {
	switch {
	case h.Resource != "":
		return h.Resource
	case of.Model.Name == "trees":
		return "model.trees"
	}
	return "trainer.epochs"
}

// most returns what a whole trial gets, 0 where it is not known.
func (h *Halving) most(of *pipeline.Body) int {
	if h.Maximum > 0 {
		return h.Maximum
	}
	text, _ := of.Field(h.path(of))
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// resources returns what the trials of each rung get, the last all of it.
func (h *Halving) resources(of *pipeline.Body) []int {
	most := h.most(of)
	least := h.Minimum
	if least == 0 {
		least = max(1, most/(h.Eta*h.Eta))
	}
	out := []int{most}
	for n := most / h.Eta; n >= least && n < out[0]; n /= h.Eta {
		out = append([]int{n}, out...)
	}
	return out
}

// rungs returns the generations: as many trials in the first as leave enough for the others.
func (h *Halving) rungs(p *Problem) []rung {
	resources := h.resources(p.Body)
	first := p.trials()
	for ; first > 1; first-- {
		sum := 0
		for n, i := first, 0; i < len(resources); i++ {
			sum += n
			n = max(1, n/h.Eta)
		}
		if sum <= p.MaxTrials {
			break
		}
	}
	out := make([]rung, len(resources))
	for i, r := range resources {
		out[i] = rung{first, r}
		first = max(1, first/h.Eta)
	}
	return out
}

// Generations implements Algorithm.
func (h *Halving) Generations(p *Problem) []int {
	var sizes []int
	for _, r := range h.rungs(p) {
		sizes = append(sizes, r.trials)
	}
	return sizes
}

// Propose implements Algorithm.
func (h *Halving) Propose(p *Problem, generation int, finished []Trial) []Point {
	rungs := h.rungs(p)
	this := rungs[generation]
	var points []Point
	if generation == 0 {
		points = p.drawn(this.trials, make(map[string]bool))
	} else {
		before := finished[len(finished)-rungs[generation-1].trials:]
		for _, i := range p.ranked(before)[:this.trials] {
			points = append(points, Point{At: before[i].At})
		}
	}
	for i := range points {
		points[i].Values = pipeline.Values{h.path(p.Body): strconv.Itoa(this.resource)}
		points[i].Partial = generation < len(rungs)-1
	}
	return points
}
