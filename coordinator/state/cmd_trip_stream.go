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

func (c *TripStream) apply(s *State, _ at) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil || p.Paused || int(c.Partition) >= len(p.Partitions) || p.Newest().Generation != c.Generation || p.Resumes != c.Resumes || c.Reason == "" {
		return Answer{}
	}
	p.Paused = true
	p.PauseReason = fmt.Sprintf("partition %d: %s", c.Partition, c.Reason)
	if len(p.PauseReason) > MaxTextBytes {
		p.PauseReason = p.PauseReason[:MaxTextBytes]
	}
	return Answer{Pipeline: p.Name, Changed: true}
}
