package search

// Result is what a search found.
type Result struct {
	Algorithm string `json:"algorithm"`
	Metric    string `json:"metric"`
	// Maximize: of the metric more is better.
	Maximize bool `json:"maximize"`
	// Folds is by how many folds trials were compared; 0: by the validation rows.
	Folds int `json:"folds,omitempty"`
	// Best is the number of the best trial.
	Best   int     `json:"best"`
	Trials []Trial `json:"trials"`
}

// Result returns what trials found, of which best is the best.
func (p *Problem) Result(trials []Trial, best *Trial) *Result {
	return &Result{Algorithm: p.name, Metric: p.Metric, Maximize: p.Maximize, Best: best.Number, Trials: trials}
}

// Ranked returns the trials in order, the best first: those in full before those with a
// part of the budget, and those that failed last.
func (r *Result) Ranked() []Trial {
	p := &Problem{Maximize: r.Maximize}
	var full, rest []Trial
	for _, i := range p.ranked(r.Trials) {
		if t := r.Trials[i]; t.Partial || t.Score == nil {
			rest = append(rest, t)
		} else {
			full = append(full, t)
		}
	}
	return append(full, rest...)
}

// Found returns the best score of the trials so far, for each of them; NaN is none of them:
// trials before the first that counts are left out.
func (r *Result) Found() (numbers []int, scores []float64) {
	p := &Problem{Maximize: r.Maximize}
	var best *Trial
	for i := range r.Trials {
		if t := &r.Trials[i]; t.Score != nil && !t.Partial && (best == nil || p.Better(t, best)) {
			best = t
		}
		if best != nil {
			numbers, scores = append(numbers, r.Trials[i].Number), append(scores, *best.Score)
		}
	}
	return numbers, scores
}
