package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// ReleaseLeases ends leases before their tasks are done. Leases granted after
// the plan stay.
type ReleaseLeases struct {
	Leases []Lease `json:"leases"`
	// Lost names the worker where its process is gone, which counts against the
	// tasks that it held. Empty: it is leaving, or a partition moves to another.
	Lost thalweg.WorkerID `json:"lost,omitempty"`
}

// Release returns the command that ends the leases of tasks.
func Release(lost thalweg.WorkerID, tasks ...*Task) *ReleaseLeases {
	c := &ReleaseLeases{Lost: lost}
	for _, t := range tasks {
		c.Leases = append(c.Leases, t.Lease())
	}
	return c
}

func (*ReleaseLeases) name() string { return "release leases" }

func (c *ReleaseLeases) apply(s *State) Answer {
	var answer Answer
	for _, l := range c.Leases {
		// The loss of one task may have ended the run of another.
		t := s.find(l, TaskLeased)
		if t == nil {
			continue
		}
		answer.Changed = true
		if t.Of != nil { // the other worker goes on
			s.dropBackup(t.Of)
			continue
		}
		s.endLease(t, TaskWaiting)
		if t.Partition != nil {
			s.advanceDeletion(t.Partition.Pipeline)
		}
		if c.Lost == "" {
			continue
		}
		if t.Losses++; t.Run != nil && t.Losses >= MaxLosses {
			s.endRun(t.Run, RunFailed, fmt.Sprintf("%s: %d workers were lost while they held it, %s the last", t.ID, t.Losses, c.Lost))
		}
	}
	return answer
}
