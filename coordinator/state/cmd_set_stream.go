package state

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// SetStream pauses or resumes a pipeline's stream. A paused stream keeps its
// leases. Resuming also lets partitions go on that a permanent failure stopped.
type SetStream struct {
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Paused   bool                 `json:"paused"`
	// Skip authorizes giving up offsets that a partition has lost. It comes with a
	// resumption only, which concerns that partition alone unless the stream was
	// paused.
	Skip *SkipAuthorization `json:"skip,omitempty"`
}

// SkipAuthorization is an operator's permission to give up the offsets [From, To)
// of a partition. It names all that the scorer must find missing, so one that is
// late or mistaken has no effect. The state only passes it on.
type SkipAuthorization struct {
	Partition uint32 `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	TopicID   string `json:"topic_id,omitempty"` // which topic these are offsets of
	Accept    string `json:"accept,omitempty"`   // the topic to go on with, where another has the name now
}

// flaw says why the authorization is invalid, empty if it is not.
func (k *SkipAuthorization) flaw(partitions int) string {
	switch {
	case int(k.Partition) >= partitions:
		return fmt.Sprintf("the stream has %d partitions", partitions)
	case k.From < 0 || k.To < k.From || k.To == k.From && k.Accept == "":
		return fmt.Sprintf("%d-%d are no offsets", k.From, k.To)
	case k.Accept != "" && k.Accept == k.TopicID:
		return "the topic to accept is the one that was read"
	case len(k.TopicID) > MaxTopicIDBytes || len(k.Accept) > MaxTopicIDBytes:
		return "a topic's ID has 32 hex digits"
	}
	return ""
}

func (*SetStream) name() string { return "set stream" }

func (c *SetStream) concerns(Answer) (thalweg.PipelineName, string) {
	what := map[bool]string{true: "stream paused", false: "stream resumed"}[c.Paused]
	if k := c.Skip; k != nil {
		what += fmt.Sprintf(", offsets %d-%d of partition %d given up", k.From, k.To, k.Partition)
	}
	return c.Pipeline, what
}

func (c *SetStream) apply(s *State) Answer {
	p := s.pipelines[c.Pipeline]
	if p == nil {
		return failure(thalweg.NotFound, c.name(), "pipeline "+string(c.Pipeline), "")
	}
	if p.Deletion != nil {
		return beingDeleted(c, p)
	}
	if p.Newest().Topic == "" {
		return failure(thalweg.Invalid, c.name(), "pipeline "+string(c.Pipeline), "its spec has no scoring section")
	}
	if k := c.Skip; k != nil {
		flaw := k.flaw(len(p.Partitions))
		if c.Paused {
			flaw = "offsets are given up to go on, not to pause"
		}
		if flaw != "" {
			return failure(thalweg.Invalid, c.name(), fmt.Sprintf("pipeline %s, partition %d", c.Pipeline, k.Partition), flaw)
		}
	}
	answer := Answer{Pipeline: p.Name, Changed: p.Paused != c.Paused}
	wasPaused := p.Paused
	p.Paused = c.Paused
	if k := c.Skip; k != nil {
		part := p.Partitions[k.Partition]
		answer.Changed = answer.Changed || part.Skip == nil || *part.Skip != *k || part.Stopped != ""
		part.Skip = k
		part.forgive()
	}
	// An authorization for one partition leaves the others as they are.
	if !c.Paused && (c.Skip == nil || wasPaused) {
		p.PauseReason = ""
		p.Resumes++
		for _, part := range p.Partitions {
			answer.Changed = answer.Changed || part.Stopped != ""
			part.forgive()
		}
	}
	return answer
}

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
