package state

import "github.com/thalweg/thalweg"

// ReleaseLeases takes leases back without blame: their worker is leaving or has
// restarted, or a partition moves to another worker.
type ReleaseLeases struct {
	Leases []Release `json:"leases"`
	// Lost tells that the worker's process was gone, which counts against the
	// tasks that it held.
	Lost bool `json:"lost,omitempty"`
}

// Release names one lease by its task and token.
type Release struct {
	Task  thalweg.TaskID `json:"task"`
	Token thalweg.Token  `json:"token"`
}

func (*ReleaseLeases) name() string { return "release leases" }

func (c *ReleaseLeases) apply(s *State, now at) Answer {
	var answer Answer
	for _, l := range c.Leases {
		t := s.tasks[l.Task]
		if t == nil || !t.heldWith(l.Token) {
			continue
		}
		if c.Lost {
			s.loseLease(t, now)
		} else {
			s.endLease(t, TaskWaiting)
		}
		answer.Changed = true
	}
	return answer
}
