package state

import "github.com/thalweg/thalweg"

// NoteRemoval notes in the audit log that a coordinator is to leave the cluster. Who the
// members are is raft's.
type NoteRemoval struct {
	Member string `json:"member"`
}

func (*NoteRemoval) name() string { return "remove member" }

func (c *NoteRemoval) concerns(Answer) (thalweg.PipelineName, string) {
	return "", "coordinator " + c.Member
}

func (*NoteRemoval) apply(*State) Answer { return Answer{Changed: true} }
