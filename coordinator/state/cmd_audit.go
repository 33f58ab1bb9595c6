package state

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
)

// DropAudit takes audit records out of the state: they are in the bucket, under the
// cluster's ID, and have been read back.
type DropAudit struct {
	// Cluster is as in DropRuns.
	Cluster string `json:"cluster"`
	// Upto is the newest of them. Where the state has another record of that number, or
	// none, the command has no effect.
	Upto audit.Head `json:"upto"`
}

func (*DropAudit) name() string { return "drop audit records" }

func (c *DropAudit) apply(s *State) Answer {
	i := slices.IndexFunc(s.audit.Records, func(r audit.Record) bool { return r.Seq == c.Upto.Seq && r.Hash == c.Upto.Hash })
	if i < 0 || !s.takeCluster(c.Cluster) {
		return Answer{}
	}
	s.audit.Records = slices.Clone(s.audit.Records[i+1:])
	return Answer{Changed: true}
}

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

// NoteRestore notes in the audit log that the state before it came of a backup.
type NoteRestore struct {
	SHA256 string `json:"sha256"` // of the backup
}

func (*NoteRestore) name() string { return "restore" }

func (c *NoteRestore) concerns(Answer) (thalweg.PipelineName, string) {
	return "", fmt.Sprintf("backup with sha256 %.64s", c.SHA256)
}

func (*NoteRestore) apply(*State) Answer { return Answer{Changed: true} }

// RestoredBy reports whether the state came of a backup by a request that is remembered,
// and by no other since.
func (s *State) RestoredBy(request string) bool {
	for _, r := range slices.Backward(s.requests) {
		if r.Command == (*NoteRestore)(nil).name() {
			return r.ID == request
		}
	}
	return false
}
