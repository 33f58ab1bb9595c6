package train

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// next computes the state after an exchange, and whether a checkpoint of it is
// due. It is a pure function of the state and the arguments, so every worker
// computes the same.
func (t *trainer) next(what phase, at optim.Round, reduced kernel.Vector, notes [][]byte) (next *state, due bool, err error) {
	s := *t.state
	p := &s.position
	p.Sequence++
	p.Ledger.Epochs = slices.Clone(p.Ledger.Epochs)
	read := func(replica int, into any) error {
		if err := json.Unmarshal(notes[replica], into); err != nil {
			return &thalweg.Error{Op: opTrain, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("run %s: note of replica %d to exchange %d", t.job.Run, replica, p.Sequence-1), Err: err}
		}
		return nil
	}
	switch what {
	case gather:
		p.Facts = make([]facts, len(notes))
		for replica := range notes {
			if err := read(replica, &p.Facts[replica]); err != nil {
				return nil, false, err
			}
		}
		if s.plan, err = newPlan(t.job, t.algorithm, p.Facts); err != nil {
			return nil, false, err
		}
		p.Ledger.Expected, p.Ledger.Passes = s.plan.expected, s.plan.schedule.Passes
		s.Vector = make([]float32, t.algorithm.Size())
		if _, private := t.algorithm.(optim.Private); private {
			s.plan.mean = 0.5 // the share of true labels is not for the weights to tell
		}
		t.job.Model.Init(s.Vector[:t.params], t.job.Trainer.Seed, s.plan.mean)
		if t.job.Start != nil {
			initial := slices.Clone(s.Vector[:t.params])
			copy(s.Vector, t.job.Start)
			t.job.Model.Unscale(s.Vector[:t.params], s.plan.labels)
			if f := t.job.Model.Forest(); f != nil {
				copy(f.Bias(s.Vector[:t.params]), f.Bias(initial)) // trees are refitted, and so is what they begin with
			}
		}

	case learn:
		if at.Index == 0 {
			p.Ledger.Epochs = append(p.Ledger.Epochs, RowSet{})
			p.Loss = 0
		}
		for replica := range notes {
			var u usage
			if err := read(replica, &u); err != nil {
				return nil, false, err
			}
			p.Ledger.Epochs[at.Epoch].Add(u.RowSet)
			p.Loss += u.Loss
		}
		if due, err = t.algorithm.Apply(&s.State, at, reduced); err != nil {
			return nil, false, err
		}
		if len(s.Vector) != t.algorithm.Size() || at.Last() && s.Candidate == nil {
			return nil, false, &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid, Subject: fmt.Sprintf("run %s: epoch %d, round %d", t.job.Run, at.Epoch+1, at.Index+1),
				Err:  fmt.Errorf("the algorithm left a vector of %d elements, not %d, and a candidate of %d rounds", len(s.Vector), t.algorithm.Size(), s.Blended),
				Hint: "this is a bug in the algorithm: please report it"}
		}
		due = due && !at.Last() // the end of an epoch is a checkpoint anyhow

	case evaluate:
		if err := p.Ledger.check(t.job.Run, at.Epoch); err != nil {
			return nil, false, err
		}
		merged, err := t.accumulator()
		if err != nil {
			return nil, false, err
		}
		for replica := range notes {
			a, err := t.accumulator()
			if err == nil {
				err = read(replica, a)
			}
			if err == nil {
				err = merged.Merge(a)
			}
			if err != nil {
				return nil, false, err
			}
		}
		values := metric.Optimized(t.job.Metrics, t.job.Model.Loss().Answer().Type, t.job.Optimize, merged)
		t.judge(&s, at.Epoch, values)
		if t.job.Model.Keeps() == 0 { // else the training rows lose nothing: each is the nearest to itself
			p.observe(t.lossOf(&s, at.Epoch, values), s.Stopped != "")
		}
		s.Candidate, s.Blended = nil, 0
		due = true
	}
	return &s, due, nil
}

// unseenMistakes is what the log losses of all validation rows may add up to beyond the best before
// the latest epoch of a learning rate that falls to zero is taken for worse: about what one row
// costs of which a network is wrongly sure. Where classes can be told apart, the least loss of 20
// rows is of an epoch that is sure of everything, and so of what it has not seen too: it cost tables
// of some hundred rows half of their log loss, and makes the worst trials of a search look best.
const unseenMistakes = 4

// chance is how much worse than the best a validation metric may be and still be as good, as far as
// so few rows can tell; below 0 where that is not asked.
func (s *state) chance(of *metric.Measure, name string, rows float64) float64 {
	switch {
	case s.plan.schedule.PreferLater:
		return of.StandardError(s.Top, rows)
	case s.plan.schedule.Anneals && name == metric.LogLoss:
		return unseenMistakes / rows
	}
	return -1
}

// judge compares an epoch's validation metrics with the best so far and decides
// whether training goes on. Without validation rows, or where the metric is
// undefined for them, the newest epoch counts as the best.
func (t *trainer) judge(s *state, epoch int, values map[string]float64) {
	p := &s.position
	trainer := &t.job.Trainer
	name := trainer.ValidationMetric
	value, measured := values[name]
	_, known := p.Metrics[name]
	of := metric.Find(t.job.Metrics, t.job.Model.Loss().Answer().Type, name)
	better := s.plan.schedule.Converges || !measured || !known || of.HigherIsBetter && value > p.Top || !of.HigherIsBetter && value < p.Top
	if better {
		p.Top, p.Stale = value, 0
	} else {
		p.Stale++
	}
	if better || math.Abs(value-p.Top) <= s.chance(of, name, values[metric.Rows]) {
		p.Best = epoch + 1
		p.Metrics = map[string]float64{}
		if values[metric.Rows] > 0 {
			p.Metrics = values
		}
		s.best = s.Candidate
	}
	if e, ok := t.algorithm.(optim.Evaluated); ok {
		e.Evaluated(&s.State, p.Stale)
	}
	switch {
	case s.Converged && trainer.Privacy != nil:
		p.Stopped = "another epoch would spend more than epsilon_max"
	case s.Converged:
		p.Stopped = "converged"
	case trainer.EarlyStop > 0 && p.Stale >= trainer.EarlyStop:
		p.Stopped = fmt.Sprintf("no improvement of validation %s in %d epochs", name, p.Stale)
	case epoch+1 == int(trainer.Epochs):
		p.Stopped = AllEpochsDone
	}
}
