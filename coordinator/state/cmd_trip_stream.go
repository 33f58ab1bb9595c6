package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// TripStream pauses a pipeline's whole stream because one of its partitions
// reported too many dead letters. Only an operator resumes it. The command has no
// effect once the stream was resumed, or got another generation, since the
// partition saw it.
type TripStream struct {
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Partition  uint32               `json:"partition"`
	Generation thalweg.Generation   `json:"generation"`
	Resumes    uint64               `json:"resumes"`
	Reason     string               `json:"reason"`
}

func (*TripStream) name() string { return "trip stream" }

// Due reports whether the command would change something.
func (c *TripStream) Due(s *State) bool {
	p := s.pipelines[c.Pipeline]
	return p != nil && !p.Paused && int(c.Partition) < len(p.Partitions) && p.Newest().Generation == c.Generation &&
		p.Resumes == c.Resumes && c.Reason != ""
}

func (c *TripStream) apply(s *State) Answer {
	if !c.Due(s) {
		return Answer{}
	}
	p := s.pipelines[c.Pipeline]
	p.Paused, p.PauseReason = true, clip(fmt.Sprintf("partition %d: %s", c.Partition, c.Reason))
	return Answer{Pipeline: p.Name, Changed: true}
}
