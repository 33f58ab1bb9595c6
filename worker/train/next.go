package train

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// next computes the state after an exchange, and whether a checkpoint of it is
// due. It is a pure function of the state and the arguments: every worker comes
// to the same.
func (t *trainer) next(what phase, epoch, round int, average []float32, notes [][]byte) (next *state, due bool, err error) {
	s := *t.state
	p := &s.position
	p.Sequence++
	p.Ledger.Epochs = slices.Clone(p.Ledger.Epochs)
	noteError := func(replica int, err error) error {
		return &thalweg.Error{Op: opTrain, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("run %s: note of replica %d to exchange %d", t.job.Run, replica, p.Sequence-1), Err: err}
	}
	switch what {
	case gather:
		p.Facts = make([]facts, len(notes))
		for replica, note := range notes {
			if err := json.Unmarshal(note, &p.Facts[replica]); err != nil {
				return nil, false, noteError(replica, err)
			}
		}
		plan, err := newPlan(t.job, p.Facts)
		if err != nil {
			return nil, false, err
		}
		p.Ledger.Expected = plan.expected
		s.vector = t.initial()

	case descend:
		if round == 0 {
			p.Ledger.Epochs = append(p.Ledger.Epochs, Tally{})
			p.Loss = 0
		}
		for replica, note := range notes {
			u, err := decodeUsed(note)
			if err != nil {
				return nil, false, noteError(replica, err)
			}
			p.Ledger.Epochs[epoch].Add(u.tally)
			p.Loss += u.loss
		}
		s.vector = average
		t.blend(&s, round)
		trainer := &t.job.Trainer
		p.Steps += trainer.Distributed.SyncEvery
		// The end of an epoch is a checkpoint anyhow.
		if trainer.StepsPerCheckpoint > 0 && p.Steps >= trainer.StepsPerCheckpoint && round+1 < t.plan.rounds {
			p.Steps, due = 0, true
		}

	case evaluate:
		if err := p.Ledger.check(t.job.Run, epoch); err != nil {
			return nil, false, err
		}
		merged, err := t.accumulator()
		if err != nil {
			return nil, false, err
		}
		for replica, note := range notes {
			a, err := t.accumulator()
			if err == nil {
				err = json.Unmarshal(note, a)
			}
			if err == nil {
				err = merged.Merge(a)
			}
			if err != nil {
				return nil, false, noteError(replica, err)
			}
		}
		t.judge(&s, epoch, merged.Values())
		s.mean, p.Mean = nil, 0
		p.Steps, due = 0, true
	}
	return &s, due, nil
}

// blend takes the parameters at the end of a round into the epoch's mean, from
// the middle of the epoch on.
func (t *trainer) blend(s *state, round int) {
	params := s.vector[:t.params:t.params]
	switch {
	case round < t.plan.rounds/2:
		return
	case s.position.Mean == 0:
		s.mean = params
	default:
		mean := make([]float32, t.params)
		kernel.Blend(mean, s.mean, params, 1/float64(s.position.Mean+1))
		s.mean = mean
	}
	s.position.Mean++
}

// judge compares an epoch's validation metrics with the best so far and decides
// whether training goes on. Without validation rows, or where the metric is
// undefined for them, the newest epoch counts as the best.
func (t *trainer) judge(s *state, epoch int, values map[string]float64) {
	p := &s.position
	trainer := &t.job.Trainer
	name := trainer.ValidationMetric
	value, measured := values[name]
	best, known := p.Metrics[name]
	higher, _ := metric.HigherIsBetter(string(t.job.Model.Loss().Label()), name)
	if !measured || !known || higher && value > best || !higher && value < best {
		p.Best, p.Stale = epoch+1, 0
		p.Metrics = map[string]float64{}
		if values[metric.Rows] > 0 {
			p.Metrics = values
		}
		s.best = s.mean
	} else {
		p.Stale++
	}
	switch {
	case trainer.EarlyStop > 0 && p.Stale >= trainer.EarlyStop:
		p.Stopped = fmt.Sprintf("no improvement of validation %s in %d epochs", name, p.Stale)
	case epoch+1 == trainer.Epochs:
		p.Stopped = "all epochs done"
	}
}
