package state

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/rollout"
)

// RolloutPolicy is what the state needs to know of the rollout of a spec.
type RolloutPolicy struct {
	Shadow     bool     `json:"shadow,omitempty"` // else a canary
	Steps      []uint32 `json:"steps"`            // shares in percent, which rise
	By         string   `json:"by,omitempty"`     // column of events; empty: the record's key
	IntervalMS int64    `json:"interval_ms"`
	MinRows    int64    `json:"min_rows"`
	// FailureLimit is the bad verdict that ends the rollout.
	FailureLimit   uint32              `json:"failure_limit"`
	OnInconclusive string              `json:"on_inconclusive"` // hold, promote or abort
	Conditions     []rollout.Condition `json:"conditions,omitempty"`
}

// What becomes of a rollout whose verdict is inconclusive.
const (
	InconclusiveHolds    = "hold"
	InconclusivePromotes = "promote"
	InconclusiveAborts   = "abort"
)

// flaw says what is wrong with a policy, "" if nothing is.
func (k *RolloutPolicy) flaw() string {
	if k == nil {
		return ""
	}
	rises := slices.IsSortedFunc(k.Steps, func(a, b uint32) int { return int(a) - int(b) })
	switch {
	case len(k.Steps) < 1 || len(k.Steps) > MaxRolloutSteps || !rises || k.Steps[0] < 1 || k.Steps[len(k.Steps)-1] > 100:
		return fmt.Sprintf("rollout: steps %v", k.Steps)
	case k.IntervalMS < 1 || k.MinRows < 1 || k.FailureLimit < 1:
		return fmt.Sprintf("rollout: %d ms, %d rows, %d failures", k.IntervalMS, k.MinRows, k.FailureLimit)
	case !slices.Contains([]string{InconclusiveHolds, InconclusivePromotes, InconclusiveAborts}, k.OnInconclusive):
		return fmt.Sprintf("rollout: on_inconclusive is %.40q", k.OnInconclusive)
	case len(k.Conditions) > rollout.MaxConditions || len(k.By) > MaxTextBytes:
		return fmt.Sprintf("rollout: %d conditions, at most %d", len(k.Conditions), rollout.MaxConditions)
	}
	return ""
}

// Rollout is how a version takes over an alias step by step, or how it did not: an alias
// remembers the last one.
type Rollout struct {
	RolloutPolicy
	// Salt names it, and decides which rows are of the candidate.
	Salt      string               `json:"salt"`
	Pipeline  thalweg.PipelineName `json:"pipeline"` // whose run registered the candidate
	Champion  thalweg.ModelVersion `json:"champion"`
	Candidate thalweg.ModelVersion `json:"candidate"`
	At        uint32               `json:"at"` // the step that it is in, from 0
	BeganMS   int64                `json:"began_ms"`
	StepMS    int64                `json:"step_ms"` // when it came to its step
	// Held is set while somebody has it stay at its step, whatever is found.
	Held     bool   `json:"held,omitempty"`
	Failures uint32 `json:"failures,omitempty"` // bad verdicts
	Judged   uint64 `json:"judged,omitempty"`   // verdicts
	// Verdicts are the newest MaxVerdicts, oldest first.
	Verdicts []rollout.Verdict `json:"verdicts,omitempty"`
	// Outcome is empty while it goes on; Why says how it came to it.
	Outcome string `json:"outcome,omitempty"`
	Why     string `json:"why,omitempty"`
	EndedMS int64  `json:"ended_ms,omitempty"`
}

// The outcomes of a rollout.
const (
	RolloutPromoted   = "promoted"
	RolloutRolledBack = "rolled back"
	RolloutAborted    = "aborted"
	RolloutSuperseded = "superseded"
)

// Going reports whether the rollout has not ended; there may be none.
func (r *Rollout) Going() bool { return r != nil && r.Outcome == "" }

// Percent is the candidate's share.
func (r *Rollout) Percent() uint32 { return r.Steps[min(int(r.At), len(r.Steps)-1)] }

// arrived reports whether there is no step left to be judged: a canary that scores all is the
// champion.
func (r *Rollout) arrived() bool {
	return int(r.At) >= len(r.Steps) || !r.Shadow && r.Steps[r.At] == 100
}

// Rollout returns the last rollout of the alias that a pipeline follows, nil if there was
// none.
func (s *State) Rollout(p *Pipeline) *Rollout {
	_, a := s.followed(p)
	if a == nil {
		return nil
	}
	return a.Rollout
}

// followed returns the model and the alias that a pipeline's newest generation names.
func (s *State) followed(p *Pipeline) (*Model, *Alias) {
	spec := p.Newest()
	m := s.models[spec.Model]
	if m == nil {
		return nil, nil
	}
	return m, m.Aliases[spec.Alias]
}

// beginRollout has a new version take over an alias as its spec says, in place of one that is
// under way.
func (s *State) beginRollout(m *Model, spec *Spec, v *ModelVersion) {
	a := m.Aliases[spec.Alias]
	if old := a.Rollout; old != nil {
		if old.Going() {
			s.endRollout(old, RolloutSuperseded, fmt.Sprintf("version %d was registered", v.Version))
		}
		a.Tried = slices.Insert(a.Tried, 0, old.Candidate)
		a.Tried = a.Tried[:min(len(a.Tried), keptReplaced)]
	}
	a.Rollout = &Rollout{RolloutPolicy: *spec.Rollout, Salt: string(v.Run) + "." + strconv.FormatUint(s.index, 36), Pipeline: v.Pipeline,
		Champion: a.Version, Candidate: v.Version, BeganMS: s.timeMS, StepMS: s.timeMS}
	if a.Rollout.arrived() {
		s.promoteCandidate(m, spec.Alias, "its first step is all of the rows")
	}
}

// promoteCandidate ends the rollout of an alias with its candidate as the champion.
func (s *State) promoteCandidate(m *Model, alias, why string) {
	r := m.Aliases[alias].Rollout
	s.endRollout(r, RolloutPromoted, why)
	m.point(alias, r.Candidate)
	s.championMoved(m.Name, alias)
}

// rollBack ends a rollout with the champion that it has.
func (s *State) rollBack(m *Model, r *Rollout, outcome, why string) {
	s.endRollout(r, outcome, why)
	if v := m.Version(r.Candidate); v.Rejected == "" {
		v.Rejected = clip(outcome + ": " + why)
	}
}

func (s *State) endRollout(r *Rollout, outcome, why string) {
	r.Outcome, r.Why, r.EndedMS, r.Held = outcome, clip(why), s.timeMS, false
}

// aliasMoved ends the rollout of an alias that somebody has moved.
func (s *State) aliasMoved(a *Alias) {
	switch r := a.Rollout; {
	case !r.Going():
	case a.Version == r.Candidate:
		s.endRollout(r, RolloutPromoted, "it was promoted by hand")
	default:
		s.endRollout(r, RolloutAborted, fmt.Sprintf("version %d was promoted", a.Version))
	}
}

// endUnfollowed ends the rollouts of aliases that no pipeline follows any more: nothing is
// counted of them, and nobody could end them.
func (s *State) endUnfollowed() {
	type followed struct {
		model thalweg.ModelName
		alias string
	}
	all := make(map[followed]bool)
	for _, p := range s.pipelines {
		all[followed{p.Newest().Model, p.Newest().Alias}] = true
	}
	for _, m := range s.models {
		for name, a := range m.Aliases {
			if a.Rollout.Going() && !all[followed{m.Name, name}] {
				s.endRollout(a.Rollout, RolloutAborted, "no pipeline follows "+name+" any more")
			}
		}
	}
}

// JudgeRollout notes what was found of a candidate, and does what follows from it. It is void
// where the rollout has gone on since.
type JudgeRollout struct {
	Model   thalweg.ModelName `json:"model"`
	Alias   string            `json:"alias"`
	Salt    string            `json:"salt"`
	Judged  uint64            `json:"judged"` // verdicts before this one
	Verdict rollout.Verdict   `json:"verdict"`
}

func (*JudgeRollout) name() string { return "judge rollout" }

func (c *JudgeRollout) apply(s *State) Answer {
	m := s.models[c.Model]
	if m == nil || m.Aliases[c.Alias] == nil {
		return Answer{}
	}
	r := m.Aliases[c.Alias].Rollout
	if !r.Going() || r.Salt != c.Salt || r.Judged != c.Judged || r.Held || r.Percent() != c.Verdict.Percent || len(c.Verdict.Findings) > rollout.MaxConditions {
		return Answer{}
	}
	v := c.Verdict
	v.AtMS, v.Why = s.timeMS, clip(v.Why)
	r.note(v)
	switch v.Outcome {
	case rollout.Good:
		s.nextStep(m, c.Alias, "all verdicts were good: "+v.Why)
	case rollout.Bad:
		if r.Failures++; r.Failures >= r.FailureLimit {
			s.rollBack(m, r, RolloutRolledBack, v.Why)
		}
	default:
		switch r.OnInconclusive {
		case InconclusivePromotes:
			s.nextStep(m, c.Alias, "inconclusive, as on_inconclusive says: "+v.Why)
		case InconclusiveAborts:
			s.rollBack(m, r, RolloutRolledBack, "inconclusive: "+v.Why)
		}
	}
	return Answer{Pipeline: r.Pipeline, Version: r.Candidate, Changed: true}
}

// note adds a verdict. One that says only once more that there are too few rows takes the
// place of the one before.
func (r *Rollout) note(v rollout.Verdict) {
	r.Judged++
	v.Times = 1
	if n := len(r.Verdicts); n > 0 {
		if last := r.Verdicts[n-1]; v.Outcome == rollout.Inconclusive && len(v.Findings) == 0 && last.Outcome == v.Outcome && len(last.Findings) == 0 && last.Percent == v.Percent {
			v.Times = last.Times + 1
			r.Verdicts = r.Verdicts[:n-1]
		}
	}
	kept := r.Verdicts[max(0, len(r.Verdicts)-MaxVerdicts+1):]
	r.Verdicts = append(slices.Clone(kept), v)
}

// nextStep gives the candidate of an alias its next share.
func (s *State) nextStep(m *Model, alias, why string) {
	r := m.Aliases[alias].Rollout
	r.At, r.StepMS = r.At+1, s.timeMS
	if r.arrived() {
		s.promoteCandidate(m, alias, why)
	}
}

// What SetRollout does.
const (
	PromoteCandidate = "promote" // now, whatever is known
	HoldRollout      = "hold"    // at its step
	ResumeRollout    = "resume"
	AbortRollout     = "abort"
)

// SetRollout has the rollout of the alias that a pipeline follows end, stay or go on.
type SetRollout struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Action   string               `json:"action"`
}

func (*SetRollout) name() string { return "set rollout" }

func (c *SetRollout) concerns(a Answer) (thalweg.PipelineName, string) {
	return c.Pipeline, fmt.Sprintf("rollout of version %d: %s", a.Version, c.Action)
}

func (c *SetRollout) apply(s *State) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil {
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), "")
	}
	m, a := s.followed(p)
	if a == nil || !a.Rollout.Going() {
		return failure(thalweg.Conflict, c.name(), "pipeline "+string(c.Pipeline), "no rollout is going on; one begins when a version is registered whose spec has rollout")
	}
	r := a.Rollout
	answer := Answer{Pipeline: p.Name, Version: r.Candidate, Previous: r.Champion, Changed: true}
	switch c.Action {
	case PromoteCandidate:
		s.promoteCandidate(m, p.Newest().Alias, "it was promoted by hand")
	case AbortRollout:
		s.rollBack(m, r, RolloutAborted, "by hand")
	case HoldRollout, ResumeRollout:
		hold := c.Action == HoldRollout
		answer.Changed = r.Held != hold
		r.Held = hold
	default:
		return failure(thalweg.Invalid, c.name(), fmt.Sprintf("action %.40q", c.Action), "promote, hold, resume or abort")
	}
	return answer
}

// flaw says what is wrong with a rollout of a model, "" if nothing is.
func (r *Rollout) flaw(m *Model) string {
	if r == nil {
		return ""
	}
	flaw := r.RolloutPolicy.flaw()
	switch {
	case flaw != "":
		return flaw
	case r.Salt == "" || m.Version(r.Champion) == nil || m.Version(r.Candidate) == nil:
		return fmt.Sprintf("rollout %.40q of version %d to %d, of which one is missing", r.Salt, r.Champion, r.Candidate)
	case r.Going() && r.arrived() || int(r.At) > len(r.Steps):
		return fmt.Sprintf("rollout %.40q is at step %d of %v", r.Salt, r.At, r.Steps)
	case len(r.Verdicts) > MaxVerdicts || uint64(len(r.Verdicts)) > r.Judged || len(r.Why) > MaxTextBytes:
		return fmt.Sprintf("rollout %.40q has %d verdicts of %d", r.Salt, len(r.Verdicts), r.Judged)
	}
	for _, v := range r.Verdicts {
		if len(v.Why) > MaxTextBytes || len(v.Findings) > rollout.MaxConditions {
			return fmt.Sprintf("rollout %.40q has a verdict of %d findings", r.Salt, len(v.Findings))
		}
	}
	return ""
}
