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
	p.Counted, p.Wanted = true, p.Within(p.Wanted)
	return Answer{Pipeline: p.Name, Changed: true}
}

// SetWanted notes how many workers a stream wants, so that the next leader goes on from
// there.
type SetWanted struct {
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Generation thalweg.Generation   `json:"generation"` // void for another
	Workers    uint32               `json:"workers"`    // within what its scale allows
}

func (*SetWanted) name() string { return "set wanted workers" }

func (c *SetWanted) apply(s *State) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil || p.Newest().Generation != c.Generation || p.Newest().Scale == nil || p.Within(c.Workers) == p.Wanted {
		return Answer{}
	}
	p.Wanted, p.WantedMS = p.Within(c.Workers), s.timeMS
	return Answer{Pipeline: p.Name, Changed: true}
}
