package serve

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// arms is how a scorer scores the rows of a rollout: each by the version that streams would
// take for it.
type arms struct {
	choose    *engine.RequestArms
	candidate *engine.RequestScorer
	version   thalweg.ModelVersion // of the candidate
	shadow    bool
	tally     *engine.Tally
	parts     [rollout.Arms]part
	scores    [rollout.Arms][]float64
}

// part is the rows of an arm.
type part struct {
	values  []byte
	ends    []int
	offsets []int64
}

// rollOut has a version that was made for a rollout share its rows with the candidate. Nobody
// asks it yet.
func (v *Version) rollOut(candidate *artifact.Artifact, cfg engine.Config) error {
	m := v.Model.Arms()[rollout.Candidate]
	var tally *engine.Tally
	if cfg.Tally != nil {
		tally = cfg.Tally(v.Model)
	}
	for _, s := range v.batcher.mu.idle {
		s := s.(*rowScorer)
		to, err := engine.NewRequestScorer(m, candidate, cfg)
		if err != nil {
			return err
		}
		if theirs := answerColumnsOf(to); !theirs.schema.Equal(v.answers.schema) {
			return &thalweg.Error{Op: "serve rollout", Kind: thalweg.Unsupported, Subject: v.Model.String(), Err: fmt.Errorf("the two versions answer with other columns"),
				Hint: "take the version over at once: `thalweg rollout promote`"}
		}
		choose, err := engine.NewRequestArms(v.Model.Rollout, candidate, cfg)
		if err != nil {
			return err
		}
		s.arms = &arms{choose: choose, candidate: to, version: m.Version, shadow: v.Model.Rollout.Shadow, tally: tally}
		s.scorer.Tell(&s.arms.scores[rollout.Champion])
		to.Tell(&s.arms.scores[rollout.Candidate])
	}
	return nil
}

// yields takes the rows that were scored.
type yields = func(arrow.Record) error

// score scores rows of JSON.
func (a *arms) score(rows event.Events, s *rowScorer, yield yields) ([]engine.Reject, error) {
	chosen, err := a.choose.Choose(context.Background(), rows)
	if err != nil {
		return nil, err
	}
	for k := range a.parts {
		p := &a.parts[k]
		p.values, p.ends, p.offsets = p.values[:0], p.ends[:0], p.offsets[:0]
	}
	start := 0
	for i, end := range rows.Ends {
		p := &a.parts[chosen[i]]
		p.values = append(p.values, rows.Values[start:end]...)
		p.ends, p.offsets = append(p.ends, len(p.values)), append(p.offsets, rows.Offsets[i])
		start = end
	}
	of := func(k int) event.Events {
		if k == rollout.Champion && a.shadow {
			return rows
		}
		p := &a.parts[k]
		return event.Events{Values: p.values, Ends: p.ends, Offsets: p.offsets}
	}
	return a.both(func(k int) int { return len(of(k).Ends) }, yield, func(k int, yield yields) ([]engine.Reject, error) {
		scorer, from := a.of(k, s)
		return scorer.Score(context.Background(), of(k), from, yield)
	})
}

// scoreRows scores rows of a record, those that follow each other and are of one version at a
// time.
func (a *arms) scoreRows(rows arrow.Record, offsets []int64, s *rowScorer, yield yields) ([]engine.Reject, error) {
	chosen, err := a.choose.ChooseRows(rows, offsets)
	if err != nil {
		return nil, err
	}
	count := [rollout.Arms]int{}
	for _, k := range chosen {
		count[k]++
	}
	if a.shadow {
		count[rollout.Champion] = len(chosen)
	}
	return a.both(func(k int) int { return count[k] }, yield, func(k int, yield yields) (lost []engine.Reject, err error) {
		scorer, from := a.of(k, s)
		all := a.shadow && k == rollout.Champion
		for lo := 0; lo < len(chosen) && err == nil; {
			hi := lo + 1
			for hi < len(chosen) && (all || chosen[hi] == chosen[lo]) {
				hi++
			}
			if all || chosen[lo] == k {
				some := rows.NewSlice(int64(lo), int64(hi))
				var more []engine.Reject
				more, err = scorer.ScoreRows(context.Background(), some, offsets[lo:hi], from, yield)
				some.Release()
				lost = append(lost, more...)
			}
			lo = hi
		}
		return lost, err
	})
}

// of returns the scorer of an arm, and what its rows say of where they are from.
func (a *arms) of(k int, s *rowScorer) (*engine.RequestScorer, artifact.Origin) {
	if k == rollout.Champion {
		return s.scorer, s.origin
	}
	from := s.origin
	from.Version = a.version
	return a.candidate, from
}

// both has both arms score, and counts what they do. What the candidate of a shadow finds is
// nobody's answer, be it an error.
func (a *arms) both(rows func(k int) int, yield yields, score func(k int, yield yields) ([]engine.Reject, error)) (lost []engine.Reject, err error) {
	for k := range a.scores {
		n, to := rows(k), yield
		beside := a.shadow && k == rollout.Candidate
		if beside {
			to = func(arrow.Record) error { return nil }
		}
		if n == 0 {
			continue
		}
		a.scores[k] = a.scores[k][:0]
		began := time.Now()
		found, err := score(k, to)
		dead := len(found)
		if err != nil {
			dead = n
		}
		a.tally.Observe(k, n, dead, time.Since(began), a.scores[k])
		if err != nil && k == rollout.Candidate {
			a.tally.Break(err.Error())
		}
		switch {
		case beside:
		case err != nil:
			return nil, err
		default:
			lost = append(lost, found...)
		}
	}
	return lost, nil
}
