package state

import (
	"slices"

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
