package state

import "github.com/thalweg/thalweg"

// GrantLeases leases waiting tasks to a worker. The token of each is the index
// of this entry.
type GrantLeases struct {
	Worker      thalweg.WorkerID `json:"worker"`
	Incarnation string           `json:"incarnation"`
	Address     string           `json:"address,omitempty"` // where the worker serves its peers
	Grants      []Grant          `json:"grants"`
}

// Grant names a task and the token of its lease before, against which the grant
// was planned: where another was granted since, this one has no effect.
type Grant struct {
	Task  thalweg.TaskID `json:"task"`
	After thalweg.Token  `json:"after,omitempty"`
}

func (*GrantLeases) name() string { return "grant leases" }

func (c *GrantLeases) apply(s *State, now at) Answer {
	var answer Answer
	for _, g := range c.Grants {
		t := s.tasks[g.Task]
		if c.Worker == "" || t == nil || t.State != TaskWaiting || t.Token != g.After || !s.grantable(t) {
			continue
		}
		s.grant(t, c, now)
		answer.Changed = true
	}
	return answer
}

// grantable reports whether a waiting task may be leased now.
func (s *State) grantable(t *Task) bool { return t.partition == nil || t.partition.Stopped == "" }
