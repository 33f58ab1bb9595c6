package state

import "github.com/thalweg/thalweg"

// SaveCheckpoint notes a checkpoint that a replica saved, so that a
// replica which changes hands can resume from it.
type SaveCheckpoint struct {
	Task       thalweg.TaskID `json:"task"`
	Token      thalweg.Token  `json:"token"`
	Checkpoint string         `json:"checkpoint"` // key#sha256
}

func (*SaveCheckpoint) name() string { return "save checkpoint" }

func (c *SaveCheckpoint) apply(s *State) Answer {
	t := s.find(Lease{c.Task, c.Token}, TaskLeased)
	if t == nil || !t.IsReplica() {
		return Answer{Fenced: true}
	}
	if t.Checkpoint == c.Checkpoint {
		return Answer{}
	}
	t.Checkpoint, t.Run.Checkpoint = c.Checkpoint, c.Checkpoint
	t.Losses = 0 // it gets on, so it is not what its workers died of
	return Answer{Changed: true}
}
