package state

import "github.com/thalweg/thalweg"

// DropRuns takes runs that ended out of the state. Their records are in the
// bucket, under the cluster's ID, and have been read back.
type DropRuns struct {
	// Cluster is the cluster's ID, or what is to be it if it has none: then the
	// leader has made one up. Under another ID the command has no effect.
	Cluster string          `json:"cluster"`
	Runs    []thalweg.RunID `json:"runs"`
}

// takeCluster reports whether an ID is the cluster's; where it has none, it is from now.
func (s *State) takeCluster(id string) bool {
	if id == "" || len(id) > MaxClusterIDBytes || s.cluster != "" && s.cluster != id {
		return false
	}
	s.cluster = id
	return true
}

func (*DropRuns) name() string { return "drop runs" }

func (c *DropRuns) apply(s *State) Answer {
	var answer Answer
	if !s.takeCluster(c.Cluster) {
		return answer
	}
	for _, id := range c.Runs {
		if r := s.runs[id]; r != nil && r.State != RunRunning {
			delete(s.runs, id)
			answer.Changed = true
		}
	}
	return answer
}
