package view

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Leases returns all leases of a worker with what it needs to carry them out, in
// order of their tasks' IDs, and a hash of them. Where that is known, no lease is
// returned. The hash is of what can change under one token: a lease may name
// megabytes of partials, and leases are looked at after every change of the state.
// Where a replica would resume matters to its next holder only. Replicas pause where fewer
// workers are alive than their stage asks for.
func Leases(s *state.State, alive int, id thalweg.WorkerID, known string) (leases []*apiv1.Lease, hash string, err error) {
	held := s.HeldBy(id)
	sum := sha256.New()
	for _, t := range held {
		l := changingPart(s, t)
		if t.IsReplica() {
			l.Paused = t.Stage.Waits(alive)
		}
		leases = append(leases, l)
		if _, err := (protodelim.MarshalOptions{MarshalOptions: proto.MarshalOptions{Deterministic: true}}).MarshalTo(sum, l); err != nil {
			return nil, "", &thalweg.Error{Op: "poll", Subject: "lease of " + l.TaskId, Err: err}
		}
	}
	if hash = hex.EncodeToString(sum.Sum(nil)[:16]); hash == known {
		return nil, hash, nil
	}
	for i, l := range leases {
		switch t := held[i]; {
		case t.Run != nil:
			completeRun(s, t, l)
		case t.Job != nil:
			l.JobId, l.Pipeline, l.Parameters = string(t.Job.ID), string(t.Job.Pipeline), t.Job.Parameters
		case t.Endpoint != nil:
			l.Spec = t.Endpoint.Pipeline.Newest().Text
		default:
			completeStream(s, t, l)
		}
	}
	return leases, hash, nil
}

// changingPart names a lease, with what may change of it while it is held.
func changingPart(s *state.State, t *state.Task) *apiv1.Lease {
	l := &apiv1.Lease{TaskId: string(t.ID), Token: uint64(t.Token), Kind: t.Kind(), Reduce: t.Reduce, Index: t.Index}
	if t.IsReplica() {
		for _, peer := range t.Stage.Tasks {
			l.Peers = append(l.Peers, &apiv1.Peer{Replica: peer.Index, Worker: string(peer.Worker), Address: peer.Address})
		}
	}
	if t.IsEndpoint() {
		completeEndpoint(s, t.Endpoint.Pipeline, l)
		return l
	}
	if !t.IsPartition() {
		return l
	}
	p := t.Partition.Pipeline
	l.Paused, l.Resumes, l.Drain = p.Paused, p.Resumes, p.Deletion != nil
	if k := p.Partitions[t.Index].Skip; k != nil {
		l.Skip = &apiv1.SkipAuthorization{Partition: k.Partition, From: k.From, To: k.To, TopicId: k.TopicID, AcceptTopic: k.Accept}
	}
	for _, v := range s.Champion(p) {
		l.Models = append(l.Models, Version(v))
	}
	completeRollout(s, p, l)
	return l
}

func completeRun(s *state.State, t *state.Task, l *apiv1.Lease) {
	r, stage := t.Run, t.Stage
	l.RunId, l.Pipeline, l.Generation = string(r.ID), string(r.Pipeline), uint64(r.Generation)
	l.RunStartedAtUnixMs = r.StartedMS
	spec := s.Pipeline(r.Pipeline).Spec(r.Generation)
	l.Spec, l.SpecFile, l.SpecWritten = spec.Text, spec.File, spec.Written
	l.Inputs, l.Verb, l.Arguments = maps.Clone(r.Outputs), r.Verb, maps.Clone(r.Arguments)
	if l.Inputs == nil {
		l.Inputs = make(map[string]string)
	}
	for name, v := range map[string]*state.VersionRef{stages.ParentInput: r.Parent, stages.ChampionInput: r.Champion} {
		if v != nil {
			l.Inputs[name] = fmt.Sprintf("%d %s", v.Version, v.Checkpoint)
		}
	}
	if r.Known != "" {
		l.Inputs[stages.KnownInput] = r.Known
	}
	l.Reducers, l.Partials = stage.Reducers, stage.Partials(t)
	l.ShardFrom, l.ShardTo = stage.Range(t)
	if t.IsReplica() {
		l.ResumeFrom = r.Checkpoint
	}
}

func completeStream(s *state.State, t *state.Task, l *apiv1.Lease) {
	p := t.Partition.Pipeline
	l.Pipeline, l.Generation, l.Spec = string(p.Name), uint64(p.Newest().Generation), p.Newest().Text
	l.Grown = p.Partitions[t.Index].Grown
}
