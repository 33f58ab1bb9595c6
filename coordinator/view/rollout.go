package view

import (
	"time"

	"github.com/thalweg/thalweg/coordinator/alert"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/rollout"
)

// The states of a rollout that goes on, as shown; others are its outcomes.
const (
	RolloutRunning = "running"
	RolloutHeld    = "held"
)

// completeRollout adds to a lease the rollout that goes on, if one does.
func completeRollout(s *state.State, p *state.Pipeline, l *apiv1.Lease) {
	r := s.Rollout(p)
	if !r.Going() || len(l.Models) == 0 {
		return
	}
	v := s.Model(p.Newest().Model).Version(r.Candidate)
	l.Rollout = &apiv1.RolloutPin{Candidate: &apiv1.ModelVersion{Version: uint64(v.Version), Checkpoint: v.Checkpoint, RegisteredAtUnixMs: v.RegisteredMS},
		Percent: r.Percent(), Salt: r.Salt, By: r.By, Shadow: r.Shadow}
}

// Rollout returns the last rollout of the alias that a pipeline follows, nil if there was
// none.
func Rollout(s *state.State, p *state.Pipeline) *apiv1.Rollout {
	r := s.Rollout(p)
	if r == nil {
		return nil
	}
	spec := p.Newest()
	v := &apiv1.Rollout{Model: string(spec.Model), Alias: spec.Alias, Champion: uint64(r.Champion), Candidate: uint64(r.Candidate),
		Strategy: pipeline.Canary, State: RolloutRunning, Why: r.Why, Steps: r.Steps, Percent: r.Percent(), By: r.By, Salt: r.Salt,
		BeganAtUnixMs: r.BeganMS, StepAtUnixMs: r.StepMS, EndedAtUnixMs: r.EndedMS, IntervalMs: r.IntervalMS, MinRows: r.MinRows,
		Failures: r.Failures, FailureLimit: r.FailureLimit, OnInconclusive: r.OnInconclusive}
	if r.Shadow {
		v.Strategy = pipeline.Shadow
	}
	switch {
	case !r.Going():
		v.State = r.Outcome
	case r.Held:
		v.State = RolloutHeld
	}
	for _, c := range r.Conditions {
		v.Conditions = append(v.Conditions, c.String())
	}
	for _, k := range r.Verdicts {
		of := &apiv1.RolloutVerdict{AtUnixMs: k.AtMS, Percent: k.Percent, Outcome: k.Outcome, Why: k.Why, ChampionRows: k.Rows[0], CandidateRows: k.Rows[1], Times: k.Times}
		for _, f := range k.Findings {
			of.Findings = append(of.Findings, &apiv1.RolloutFinding{Metric: f.Metric, Value: f.Value, Low: f.Low, High: f.High, Bound: f.Bound, Outcome: f.Outcome})
		}
		v.Verdicts = append(v.Verdicts, of)
	}
	return v
}

// rollout tells of a rollout that somebody has to look at: one that stays where it is, and one
// that was rolled back within a day.
func (a *attention) rollout(r *state.Rollout, p *state.Pipeline) {
	if r == nil {
		return
	}
	subject := "rollout of " + string(p.Name)
	var last rollout.Verdict
	if n := len(r.Verdicts); n > 0 {
		last = r.Verdicts[n-1]
	}
	switch {
	case r.Held:
		a.add(alert.RolloutWaits, string(p.Name), subject, "version %d is held at %d %%: `thalweg rollout resume %s`", r.Candidate, r.Percent(), p.Name)
	case r.Going() && last.Outcome == rollout.Inconclusive && r.OnInconclusive == state.InconclusiveHolds:
		a.add(alert.RolloutWaits, string(p.Name), subject, "version %d stays at %d %%: %s: `thalweg rollout status %s`", r.Candidate, r.Percent(), shorten(last.Why), p.Name)
	case r.Going() && last.Outcome == rollout.Bad:
		a.add(alert.RolloutBad, string(p.Name), subject, "version %d has %d of %d bad verdicts: %s", r.Candidate, r.Failures, r.FailureLimit, shorten(last.Why))
	case r.Outcome == state.RolloutRolledBack && a.now.Sub(time.UnixMilli(r.EndedMS)) < rolledBackShown:
		a.add(alert.RolledBack, string(p.Name), subject, "version %d was rolled back: %s: `thalweg rollout status %s`", r.Candidate, shorten(r.Why), p.Name)
	}
}

// rolledBackShown is how long status tells of a rollout that was rolled back.
const rolledBackShown = 24 * time.Hour
