package state

import "github.com/thalweg/thalweg"

// DropRuns takes runs that ended out of the state. Their records are in the
// bucket, and have been read back.
type DropRuns struct {
	Runs []thalweg.RunID `json:"runs"`
}

func (*DropRuns) name() string { return "drop runs" }

func (c *DropRuns) apply(s *State, _ at) Answer {
	var answer Answer
	for _, id := range c.Runs {
		if r := s.runs[id]; r != nil && r.State != RunRunning {
			delete(s.runs, id)
			answer.Changed = true
		}
	}
	return answer
}
