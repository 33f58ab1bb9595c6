package serve

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Host is what a worker gives to the leases of endpoints.
type Host struct {
	Server  *Server
	Metrics *Metrics
	// Spec reads the spec of a lease.
	Spec func(lease *apiv1.Lease) (*pipeline.Spec, error)
	// Registry returns what loads versions of a model, which streams share.
	Registry func(model string) *engine.Registry
	// Tallies count the arms of rollouts.
	Tallies *engine.Tallies
	// Failed is told of rows that failed a data test.
	Failed func(pipeline, test, severity string, rows int64)
}

// Lease answers for a pipeline while a worker holds the lease of its endpoint. A new spec
// makes another endpoint, which takes over what the one before answers with until it has a
// version of its own.
type Lease struct {
	host  Host
	log   *slog.Logger
	model thalweg.ModelName
	of    *engine.Registry
	mu    struct {
		sync.Mutex
		lease    *apiv1.Lease
		endpoint *Endpoint
		stop     context.CancelFunc // ends what follows the alias for an earlier spec; nil before Run
	}
}

// NewLease makes the endpoint of a lease; Run has it answer.
func NewLease(host Host, lease *apiv1.Lease, log *slog.Logger) (*Lease, error) {
	spec, err := host.Spec(lease)
	if err != nil {
		return nil, err
	}
	t := &Lease{host: host, log: log, model: thalweg.ModelName(spec.Spec.Registry.Model), of: host.Registry(spec.Spec.Registry.Model)}
	t.mu.lease = lease
	if t.mu.endpoint, err = t.endpoint(lease, spec); err != nil {
		return nil, err
	}
	t.offer(lease)
	return t, nil
}

// endpoint makes what answers as a lease says.
func (t *Lease) endpoint(lease *apiv1.Lease, spec *pipeline.Spec) (*Endpoint, error) {
	service := spec.Spec.Serving
	if service == nil {
		return nil, &thalweg.Error{Op: "serve", Kind: thalweg.Invalid, Subject: "pipeline " + lease.Pipeline, Hint: "its spec has no serving"}
	}
	cfg := EndpointConfig{Pipeline: lease.Pipeline, Generation: thalweg.Generation(lease.Generation), Alias: spec.Spec.Registry.Alias, Schema: spec.Spec.Schema,
		Limits: Limits{MaxBatch: service.MaxBatch, MaxDelay: time.Duration(service.MaxDelay)}, Engine: engine.Config{MaxEventBytes: engine.DefaultMaxEventBytes}}
	if t.host.Tallies != nil {
		cfg.Engine.Tally = t.host.Tallies.Of
	}
	if t.host.Failed != nil {
		cfg.Engine.Failed = func(test, severity string, rows int64) { t.host.Failed(lease.Pipeline, test, severity, rows) }
	}
	e := NewEndpoint(cfg, t.of, t.host.Metrics, t.log)
	e.Offer(t.versions(lease))
	return e, nil
}

// Run answers until ctx ends.
func (t *Lease) Run(ctx context.Context) {
	for ctx.Err() == nil {
		following, stop := context.WithCancel(ctx)
		t.mu.Lock()
		e := t.mu.endpoint
		t.mu.stop = stop
		t.mu.Unlock()
		t.host.Server.Add(e)
		e.Run(following)
		stop()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.host.Server.Remove(t.mu.endpoint)
}

// Update takes over a newer form of the lease.
func (t *Lease) Update(lease *apiv1.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := lease.Generation != t.mu.lease.Generation
	t.mu.lease = lease
	if !changed {
		t.offer(lease)
		t.mu.endpoint.Offer(t.versions(lease))
		return
	}
	spec, err := t.host.Spec(lease)
	var e *Endpoint
	if err == nil { // the lease's versions may be of another model now
		t.model, t.of = thalweg.ModelName(spec.Spec.Registry.Model), t.host.Registry(spec.Spec.Registry.Model)
		t.offer(lease)
		e, err = t.endpoint(lease, spec)
	}
	if err != nil {
		t.log.Error("a new spec cannot be served: the one before is", "error", err)
		return
	}
	e.takeOver(t.mu.endpoint)
	t.mu.endpoint = e
	if t.mu.stop != nil {
		t.mu.stop()
	}
}

// offer hands the champion and what it replaced on.
func (t *Lease) offer(lease *apiv1.Lease) {
	t.of.Offer(Candidates(t.model, lease, t.log))
}

// Candidates are the versions that a lease names, in the order in which they are wanted: the
// champion with the candidate of a rollout, the champion, and what it replaced.
func Candidates(model thalweg.ModelName, lease *apiv1.Lease, log *slog.Logger) (all []engine.Candidate) {
	of := func(v *apiv1.ModelVersion) (c engine.Candidate, ok bool) {
		ref, err := thalweg.ParseObjectRef(v.Checkpoint)
		if err != nil {
			log.Error("model version without a checkpoint", "version", v.Version, "error", err)
		}
		return engine.Candidate{Model: engine.Model{Name: model, Version: thalweg.ModelVersion(v.Version), Checkpoint: ref}, RegisteredAtUS: v.RegisteredAtUnixMs * 1000}, err == nil
	}
	for i, v := range lease.Models {
		c, ok := of(v)
		if !ok {
			continue
		}
		if r := lease.Rollout; r != nil && i == 0 {
			if to, ok := of(r.Candidate); ok {
				both := c
				both.Rollout = commitlog.Rollout{Candidate: to.Version, Checkpoint: to.Checkpoint, Percent: r.Percent, Salt: r.Salt, By: r.By, Shadow: r.Shadow}
				both.RegisteredAtUS = max(c.RegisteredAtUS, to.RegisteredAtUS)
				all = append(all, both)
			}
		}
		all = append(all, c)
	}
	return all
}

// versions are those that requests can name.
func (t *Lease) versions(lease *apiv1.Lease) (all []Offered) {
	for _, v := range lease.Versions {
		if m, ok := t.modelOf(v.Version, v.Checkpoint); ok {
			all = append(all, Offered{Model: m, Aliases: v.Aliases})
		}
	}
	return all
}

func (t *Lease) modelOf(version uint64, checkpoint string) (engine.Model, bool) {
	ref, err := thalweg.ParseObjectRef(checkpoint)
	if err != nil {
		t.log.Error("model version without a checkpoint", "version", version, "error", err)
	}
	return engine.Model{Name: t.model, Version: thalweg.ModelVersion(version), Checkpoint: ref}, err == nil
}

// maxMessageBytes bounds what a poll tells of an endpoint.
const maxMessageBytes = 1 << 10

// Fill tells which version answers, and which were refused.
func (t *Lease) Fill(req *apiv1.PollRequest) {
	t.mu.Lock()
	lease, e := t.mu.lease, t.mu.endpoint
	t.mu.Unlock()
	version, why := e.Status()
	req.Progress = append(req.Progress, &apiv1.Progress{TaskId: lease.TaskId, Token: lease.Token, ModelVersion: uint64(version), Message: strings.ToValidUTF8(why[:min(len(why), maxMessageBytes)], "")})
	for m, reason := range e.Refused() {
		if m.InRollout() && !engine.IsOf(reason, rollout.Champion) {
			if t.host.Tallies != nil {
				t.host.Tallies.Of(m).Fail(reason.Error())
			}
			continue
		}
		req.Refusals = append(req.Refusals, &apiv1.ModelRefusal{Model: string(m.Name), Version: uint64(m.Version), Reason: reason.Error()})
	}
}
