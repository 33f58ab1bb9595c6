package state

import "github.com/thalweg/thalweg"

// CancelRun ends a run. Cancelling a canceled run again changes nothing.
type CancelRun struct {
	Run thalweg.RunID `json:"run"`
}

func (*CancelRun) name() string { return "cancel run" }

func (c *CancelRun) concerns(Answer) (thalweg.PipelineName, string) {
	return c.Run.Pipeline(), "run " + string(c.Run)
}

func (c *CancelRun) apply(s *State) Answer {
	r := s.runs[c.Run]
	switch {
	case r == nil:
		return failure(thalweg.NotFound, c.name(), "run "+string(c.Run), "")
	case r.State != RunRunning:
		return c.Ended(r)
	}
	s.endRun(r, RunCanceled, "canceled")
	return Answer{Run: r.ID, Changed: true}
}

// Ended is the answer for a run that has ended, in the state or as a record.
func (c *CancelRun) Ended(r *Run) Answer {
	if r.State == RunCanceled {
		return Answer{Run: r.ID}
	}
	return failure(thalweg.Conflict, c.name(), "run "+string(r.ID), "it has ended: "+string(r.State))
}
