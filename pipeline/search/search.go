// Package search says which values of a spec's fields the trials of a search have, and
// which trial is best. Trials come in generations: those of one follow from the seed, the
// spaces and the trials of the generations before, and from nothing else, so that any
// cluster tries the same, whoever trains what and in whichever order they end.
package search

import (
	"maps"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// Algorithm is the options of its entry in the catalog. It is immutable, and may be used
// concurrently.
type Algorithm interface {
	pipeline.SearchAlgorithm
	// Generations returns how many trials each generation has: one at least, at most as
	// many as the problem allows in all.
	Generations(p *Problem) []int
	// Propose returns the points of a generation, from 0, by the trials of all before, in
	// their order.
	Propose(p *Problem, generation int, finished []Trial) []Point
}

// Problem is what is searched.
type Problem struct {
	// Parameters are in the order of their paths.
	Parameters []Parameter
	Seed       uint64
	// MaxTrials is how many trials there are at most.
	MaxTrials int
	// Metric is what trials are compared by; of it more is better, or less.
	Metric   string
	Maximize bool
	// Body is the spec as it is without the values of a trial.
	Body *pipeline.Body

	name      string
	algorithm Algorithm
}

// Point is what is tried.
type Point struct {
	// At are coordinates from 0 to 1, in the order of the parameters.
	At []float64
	// Values are those of other fields than the parameters; nil: none.
	Values pipeline.Values
	// Partial: they make a trial cost less than the spec says, so that it is none that can
	// be best.
	Partial bool
}

// Trial is a model that was trained, or is to be.
type Trial struct {
	// Number counts trials from 1, and Generation the generations.
	Number     int `json:"number"`
	Generation int `json:"generation"`
	// At are its coordinates, as Point has them.
	At []float64 `json:"at"`
	// Values are put into the spec.
	Values pipeline.Values `json:"values"`
	// Partial: it was tried with a part of the budget, and cannot be best.
	Partial bool `json:"partial,omitempty"`
	// Score is the metric that trials are compared by; nil where it failed.
	Score *float64 `json:"score,omitempty"`
	// Metrics are all of the validation rows, at the best epoch.
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Epochs  int                `json:"epochs,omitempty"`
	// Model is the sha256 of its model.
	Model string `json:"model,omitempty"`
	// Failed says why there is none: training diverged, or the spec refuses the values.
	Failed string `json:"failed,omitempty"`
}

// New returns the problem of a spec, which has a search.
func New(spec *pipeline.Spec) (*Problem, error) {
	s := spec.Spec.Search
	if s == nil {
		return nil, &thalweg.Error{Op: "search", Kind: thalweg.Invalid, Subject: spec.Metadata.Name, Hint: "the spec has no search"}
	}
	a, ok := s.Algorithm.Options.(Algorithm)
	if !ok {
		return nil, &thalweg.Error{Op: "search", Kind: thalweg.Unsupported, Subject: "algorithm " + s.Algorithm.Name}
	}
	p := &Problem{Seed: spec.Spec.Trainer.Seed, MaxTrials: s.MaxTrials, Metric: s.Metric, Maximize: s.Goal == "maximize",
		Body: &spec.Spec, name: s.Algorithm.Name, algorithm: a, Parameters: parameters(s)}
	return p, nil
}

// parameters returns those of a search, by their paths.
func parameters(s *pipeline.SearchSpec) (all []Parameter) {
	for _, path := range slices.Sorted(maps.Keys(s.Parameters)) {
		all = append(all, Parameter{Path: path, Space: s.Parameters[path]})
	}
	return all
}

// Generations returns how many trials each generation has.
func (p *Problem) Generations() []int { return p.algorithm.Generations(p) }

// Before returns the generation, from 0, of the trial at an index, and how many trials
// those before it have.
func (p *Problem) Before(index int) (generation, trials int) {
	for g, n := range p.Generations() {
		if index < trials+n {
			return g, trials
		}
		trials += n
	}
	return -1, trials
}

// Trial returns the trial at an index, before it is tried, by the trials of the generations
// before it.
func (p *Problem) Trial(index int, finished []Trial) (Trial, error) {
	generation, before := p.Before(index)
	if generation < 0 || before > len(finished) {
		return Trial{}, &thalweg.Error{Op: "search", Kind: thalweg.Corrupt, Subject: "trials before",
			Hint: "trial and those before it are of another search"}
	}
	points := p.algorithm.Propose(p, generation, finished[:before])
	at := points[index-before]
	t := Trial{Number: index + 1, Generation: generation + 1, At: at.At, Values: make(pipeline.Values), Partial: at.Partial}
	for i, q := range p.Parameters {
		t.Values[q.Path] = q.Value(at.At[i])
	}
	maps.Copy(t.Values, at.Values)
	return t, nil
}

// Better reports whether a trial is better than another: one that failed is worse than any
// that did not, and of equal ones none is.
func (p *Problem) Better(a, b *Trial) bool {
	switch {
	case a.Score == nil || b.Score == nil:
		return a.Score != nil && b.Score == nil
	case p.Maximize:
		return *a.Score > *b.Score
	}
	return *a.Score < *b.Score
}

// Best returns the first of the best trials, nil where all have failed.
func (p *Problem) Best(trials []Trial) *Trial {
	var best *Trial
	for i := range trials {
		if t := &trials[i]; t.Score != nil && !t.Partial && (best == nil || p.Better(t, best)) {
			best = t
		}
	}
	return best
}

// ranked returns the indices of trials, the best first, and of equal ones the first.
func (p *Problem) ranked(trials []Trial) []int {
	order := make([]int, len(trials))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p.Better(&trials[a], &trials[b]):
			return -1
		case p.Better(&trials[b], &trials[a]):
			return 1
		}
		return 0
	})
	return order
}
