package coordinator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// leasesOf returns all leases of a worker with what it needs to carry them out,
// in order of their tasks' IDs.
func (c *Coordinator) leasesOf(id thalweg.WorkerID) []*apiv1.Lease {
	var leases []*apiv1.Lease
	c.replica.view(func(s *state.State) {
		for _, t := range s.HeldBy(id) {
			l := &apiv1.Lease{TaskId: string(t.ID), Token: uint64(t.Token), Kind: t.Kind(), Reduce: t.Reduce, Index: t.Index}
			if r := t.Run(); r != nil {
				runLease(s, r, t, l)
			} else {
				scoreLease(s, t, l)
			}
			leases = append(leases, l)
		}
	})
	return leases
}

func runLease(s *state.State, r *state.Run, t *state.Task, l *apiv1.Lease) {
	l.RunId, l.Pipeline, l.Generation = string(r.ID), string(r.Pipeline), uint64(r.Generation)
	l.Spec = s.Pipeline(r.Pipeline).Spec(r.Generation).Text
	l.Inputs = maps.Clone(r.Outputs)
	stage := t.Stage()
	l.Verb, l.Arguments, l.Reducers, l.Partials = r.Verb, maps.Clone(r.Arguments), stage.Reducers, stage.Partials(t)
	l.ShardFrom, l.ShardTo = stage.Range(t)
	if !t.IsReplica() {
		return
	}
	l.ResumeFrom = r.Checkpoint
	for _, peer := range stage.Tasks {
		l.Peers = append(l.Peers, &apiv1.Peer{Replica: peer.Index, Worker: string(peer.Worker), Address: peer.Address})
	}
}

func scoreLease(s *state.State, t *state.Task, l *apiv1.Lease) {
	p := s.PipelineOf(t)
	spec := p.Newest()
	l.Pipeline, l.Generation, l.Spec, l.Paused, l.Resumes = string(p.Name), uint64(spec.Generation), spec.Text, p.Paused, p.Resumes
	part := p.Partitions[t.Index]
	l.Grown = part.Grown
	if k := part.Skip; k != nil {
		l.Skip = &apiv1.SkipAuthorization{Partition: k.Partition, From: k.From, To: k.To, TopicId: k.TopicID, AcceptTopic: k.Accept}
	}
	for _, v := range s.Champion(p) {
		l.Models = append(l.Models, versionView(v))
	}
}

// hashLeases returns what tells two sets of leases apart. Where a replica would
// resume is left out: it matters to the next holder only, and changes with every
// checkpoint.
func hashLeases(leases []*apiv1.Lease) (string, error) {
	sum := sha256.New()
	var buf []byte
	for _, l := range leases {
		if l.ResumeFrom != "" {
			l = proto.CloneOf(l)
			l.ResumeFrom = ""
		}
		var err error
		if buf, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend(buf[:0], l); err != nil {
			return "", &thalweg.Error{Op: "poll", Subject: "lease of " + l.TaskId, Err: err}
		}
		size := proto.Size(l)
		sum.Write([]byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)})
		sum.Write(buf)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

func versionView(v *state.ModelVersion) *apiv1.ModelVersion {
	return &apiv1.ModelVersion{
		Version: uint64(v.Version), Checkpoint: v.Checkpoint, RunId: string(v.Run), Pipeline: string(v.Pipeline),
		Generation: uint64(v.Generation), RegisteredAtUnixMs: v.RegisteredMS, RegisteredIndex: v.Index,
		Metrics: maps.Clone(v.Metrics), ModelSha256: v.ModelSHA256, TransformHash: v.TransformHash,
	}
}

// sortedKeys returns a map's keys in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
