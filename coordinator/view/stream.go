package view

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Partition merges the replicated state of a partition with the newest report of its
// holder. Its lag in seconds is that of the report while it is scored, and grows on
// where nothing is.
func Partition(s *state.State, p *state.Pipeline, part *state.Partition, l *liveness.Liveness, now time.Time) *apiv1.StreamPartition {
	t := part.Task
	v := &apiv1.StreamPartition{Committed: -1, Scored: -1, End: -1, OldestUnixMs: l.Oldest(t.ID)}
	reported, refusals := l.StreamOf(t.ID, t.Worker)
	if reported != nil {
		v = proto.CloneOf(reported)
	}
	v.Pipeline, v.Topic, v.Partition = string(p.Name), p.Newest().Topic, int32(t.Index)
	v.Worker, v.Partitions = string(t.Worker), int32(len(p.Partitions))
	leased := t.State == state.TaskLeased
	if !leased || v.State == "" {
		v.State = thalweg.StreamWaiting
	}
	switch {
	case part.Stopped != "":
		v.State, v.Message = thalweg.StreamStopped, part.Stopped
	case p.PauseReason != "":
		v.State, v.Message = thalweg.StreamPaused, p.PauseReason
	case leased && p.Paused:
		v.State = thalweg.StreamPaused
	case leased:
	case !s.Scores(p):
		v.Message = "no " + p.Newest().Alias + " of model " + string(p.Newest().Model) + " yet"
	case part.Failures > 0:
		v.Message = "it failed and is tried again: " + part.LastError
	default:
		v.Message = "no worker has taken it yet"
	}
	v.Message = cmp.Or(v.Message, refusals)
	if v.State != thalweg.StreamRunning {
		v.LagSeconds = liveness.LagSeconds(v.OldestUnixMs, now)
	}
	return v
}

// urgency orders the states of a partition by how much they need an operator.
var urgency = [...]string{thalweg.StreamRunning, thalweg.StreamWaiting, thalweg.StreamPaused, thalweg.StreamStopped}

// Stream sums up the partitions of a pipeline, nil where it scores nothing. Its state is
// the one that needs an operator most, and the message that of a partition in it.
func Stream(s *state.State, p *state.Pipeline, l *liveness.Liveness, now time.Time) *apiv1.StreamSummary {
	if len(p.Partitions) == 0 {
		return nil
	}
	parts := make([]*apiv1.StreamPartition, len(p.Partitions))
	for i, part := range p.Partitions {
		parts[i] = Partition(s, p, part, l, now)
	}
	v := sum(string(p.Name), parts)
	if k := p.Newest().Scale; k != nil {
		v.TargetLagSeconds, v.WantedWorkers = float64(k.TargetMS)/1000, p.Wanted
	}
	holders := make(map[thalweg.WorkerID]bool)
	for _, part := range p.Partitions {
		if part.Task.State == state.TaskLeased {
			holders[part.Task.Worker] = true
		}
	}
	v.Workers = uint32(len(holders))
	if p.Paused && v.State == thalweg.StreamRunning {
		v.State = thalweg.StreamPaused // it is about to
	}
	return v
}

// sum sums up the partitions of a pipeline.
func sum(pipeline string, parts []*apiv1.StreamPartition) *apiv1.StreamSummary {
	v := &apiv1.StreamSummary{Pipeline: pipeline, Partitions: uint32(len(parts)), LagSeconds: -1}
	worst := -1
	known, ends := true, true
	for _, p := range parts {
		if at := slices.Index(urgency[:], p.State); at > worst {
			worst, v.State, v.Message = at, p.State, p.Message
		} else if at == worst {
			v.Message = cmp.Or(v.Message, p.Message)
		}
		known, ends = known && p.Committed >= 0, ends && p.End >= 0 && p.Scored >= 0
		v.ScoredRows, v.DeadLetters, v.LagEvents = v.ScoredRows+p.ScoredRows, v.DeadLetters+p.DeadLetters, v.LagEvents+max(0, p.End-p.Scored)
		v.LagSeconds, v.RowsPerSecond = max(v.LagSeconds, p.LagSeconds), v.RowsPerSecond+p.RowsPerSecond
	}
	switch {
	case !known:
		v.ScoredRows, v.DeadLetters = -1, -1
	case v.ScoredRows == 0 && v.DeadLetters > 0:
		v.Message = cmp.Or(v.Message, "every event so far is a dead letter: `thalweg dlq list "+pipeline+"` says why")
	case v.ScoredRows == 0 && v.State == thalweg.StreamRunning:
		v.Message = cmp.Or(v.Message, "no event has been scored yet")
	}
	if !ends {
		v.LagEvents = -1
	}
	return v
}
