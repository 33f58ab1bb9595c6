package state

import "github.com/thalweg/thalweg"

// GrantLeases leases waiting tasks to a worker. The token of each is the index
// of this entry.
type GrantLeases struct {
	Worker      thalweg.WorkerID `json:"worker"`
	Incarnation string           `json:"incarnation"`
	Address     string           `json:"address,omitempty"` // where the worker serves its peers
	// Grants name the tasks with the lease before, against which each grant was
	// planned: where another was granted since, it has no effect.
	Grants []Lease `json:"grants"`
}

func (*GrantLeases) name() string { return "grant leases" }

func (c *GrantLeases) apply(s *State) Answer {
	var answer Answer
	for _, l := range c.Grants {
		t := s.find(l, TaskWaiting)
		if c.Worker == "" || t == nil || t.Backup != nil || t.Partition != nil && t.Partition.Stopped != "" {
			continue // a task whose worker is gone is left to its backup
		}
		t.State, t.Worker, t.Incarnation, t.Address, t.Token = TaskLeased, c.Worker, c.Incarnation, c.Address, thalweg.Token(s.index)
		t.Attempts++
		if t.Partition != nil {
			t.Partition.LeasedMS = s.timeMS
		} else {
			t.LeasedMS = s.timeMS
		}
		s.hold(t)
		answer.Changed = true
	}
	return answer
}
