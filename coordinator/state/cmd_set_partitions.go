package state

import "github.com/thalweg/thalweg"

// SetPartitions notes that a pipeline's topic has (at least) so many partitions,
// as the holder of one of them found. Topics only grow; the partitions that one
// has when it is counted first are those that the stream began with.
type SetPartitions struct {
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Topic      string               `json:"topic"` // void for another topic
	Partitions uint32               `json:"partitions"`
}

func (*SetPartitions) name() string { return "set partitions" }

// Due reports whether the command would change something.
func (c *SetPartitions) Due(s *State) bool {
	p := s.pipelines[c.Pipeline]
	return p != nil && c.Topic != "" && p.Newest().Topic == c.Topic && c.Partitions > 0 &&
		(!p.Counted || min(c.Partitions, MaxPartitions) > uint32(len(p.Partitions)))
}

func (c *SetPartitions) apply(s *State) Answer {
	if !c.Due(s) {
		return Answer{}
	}
	p := s.pipelines[c.Pipeline]
	s.setPartitions(p, min(c.Partitions, MaxPartitions))
	p.Counted = true
	return Answer{Pipeline: p.Name, Changed: true}
}
