package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline"
)

// Apply accepts a spec: a changed one becomes the next generation, and starts a
// run where it changes what versions are trained from.
func (s *service) Apply(ctx context.Context, req *apiv1.ApplyRequest) (*apiv1.ApplyResponse, error) {
	from := time.Now()
	cmd, spec, err := s.c.parseSpec(ctx, req.File, req.Spec)
	if err != nil {
		return nil, err
	}
	if err := s.c.permitSpec(ctx, spec); err != nil {
		return nil, err
	}
	if err := s.c.checkWebhooks(spec); err != nil {
		return nil, err
	}
	done, err := s.c.claims.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := s.c.checkPlaces(ctx, spec); err != nil {
		return nil, &thalweg.Error{Op: "apply spec", Kind: thalweg.KindOf(err), Err: err}
	}
	if req.DryRun {
		flaw := ""
		if err := s.c.read(func(st *state.State) { flaw = cmd.MissingParent(st) }); err != nil {
			return nil, err
		}
		if flaw != "" {
			return nil, &thalweg.Error{Op: "apply spec", Kind: thalweg.NotFound, Subject: req.File, Hint: flaw}
		}
		return &apiv1.ApplyResponse{Pipeline: string(cmd.Pipeline)}, nil
	}
	answer, err := s.c.mutate(ctx, cmd, req.RequestId)
	if err != nil {
		return nil, err
	}
	s.c.traceRequest("apply", from, answer.Run)
	if answer.Changed {
		s.c.log.Info("spec accepted", keyPipeline, answer.Pipeline, "generation", answer.Generation, keyRun, answer.Run)
	}
	return &apiv1.ApplyResponse{
		Pipeline: string(answer.Pipeline), Generation: uint64(answer.Generation), RunId: string(answer.Run), Changed: answer.Changed,
	}, nil
}

// parseSpec reads a user's spec and returns the command that accepts it: the
// spec rendered with every default, and what the state needs of it. Errors are
// Invalid and list everything that is wrong.
func (c *Coordinator) parseSpec(ctx context.Context, file, text string) (*state.ApplySpec, *pipeline.Spec, error) {
	refused := func(kind thalweg.Kind, err error) error {
		return &thalweg.Error{Op: "apply spec", Kind: kind, Err: err} // diagnostics name the file
	}
	if len(text) > state.MaxSpecBytes {
		return nil, nil, refused(thalweg.Exhausted, fmt.Errorf("%s: %d bytes, at most %d", file, len(text), state.MaxSpecBytes))
	}
	spec, err := c.readSpec(ctx, file, text)
	if err != nil {
		return nil, nil, refused(thalweg.KindOf(err), err)
	}
	rendered, err := pipeline.Render(spec)
	if err != nil {
		return nil, nil, refused(thalweg.KindOf(err), err)
	}
	cmd := &state.ApplySpec{
		Pipeline:  thalweg.PipelineName(spec.Metadata.Name),
		Text:      string(rendered),
		File:      file,
		Written:   text,
		Model:     thalweg.ModelName(spec.Spec.Registry.Model),
		Alias:     spec.Spec.Registry.Alias,
		Training:  pipeline.TrainingHash(spec),
		Keep:      uint32(spec.Spec.Trainer.KeepCheckpoints),
		WarmStart: int64(spec.Spec.Trainer.WarmStart),
		Timetable: timetableOf(spec, c.cfg.Now()),
	}
	if cmd.Stages, err = c.cfg.Stages(spec, "", nil); err != nil {
		return nil, nil, refused(thalweg.KindOf(err), err)
	}
	if events := spec.Spec.Sources.Events.Reading(); spec.Spec.Scoring != nil && events != nil {
		cmd.Topic = events.Topic
	}
	cmd.Sink = sinkOf(spec)
	if scoring := spec.Spec.Scoring; scoring != nil && scoring.Scale != nil {
		cmd.Scale = &state.Scale{Min: uint32(scoring.Scale.Min), Max: uint32(scoring.Scale.Max), TargetMS: int64(1000 * scoring.Scale.TargetLagSeconds)}
	}
	if k := spec.Spec.Serving; k != nil && k.Enabled {
		cmd.Serving = &state.Serving{Workers: uint32(k.Workers), RequestsPerSecond: k.RateLimit.RequestsPerSecond}
	}
	cmd.Rollout = rolloutOf(spec.Spec.Rollout)
	cmd.Alerts = alertsOf(spec)
	if r := spec.Spec.Resources; r != nil {
		cmd.WorkerBytes = int64(r.Worker.Memory)
	}
	return cmd, spec, nil
}

// rolloutOf returns what the state needs to know of the rollout of a spec; nil: versions take
// over at once.
func rolloutOf(r *pipeline.Rollout) *state.RolloutPolicy {
	if r == nil || r.Strategy == pipeline.Immediate {
		return nil
	}
	k := &state.RolloutPolicy{Shadow: r.Strategy == pipeline.Shadow, By: r.By, IntervalMS: time.Duration(r.Interval).Milliseconds(), MinRows: int64(r.MinRows),
		FailureLimit: uint32(r.FailureLimit), OnInconclusive: r.OnInconclusive, Conditions: r.Conditions()}
	for _, step := range r.Steps {
		k.Steps = append(k.Steps, uint32(step))
	}
	return k
}

// sinkOf returns where rows of a spec go, scored or cleaned; nil: nowhere.
func sinkOf(spec *pipeline.Spec) *state.Sink {
	switch scoring, output := spec.Spec.Scoring, spec.Spec.Output; {
	case scoring != nil && scoring.Sink.S3 != nil:
		return &state.Sink{Connection: scoring.Sink.Connection, Path: scoring.Sink.S3.Path}
	case output != nil && output.S3 != nil:
		return &state.Sink{Connection: output.Connection, Path: output.S3.Path}
	}
	return nil
}

// readSpec parses a spec. One is read at a time, so that callers take no more than
// one core from what a leader has to do; who leaves meanwhile is not served.
func (c *Coordinator) readSpec(ctx context.Context, file, text string) (*pipeline.Spec, error) {
	select {
	case c.reading <- struct{}{}:
		defer func() { <-c.reading }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, &thalweg.Error{Op: "read spec", Kind: thalweg.Canceled, Subject: file, Err: err}
	}
	return pipeline.Parse(c.cfg.SpecCatalog, file, []byte(text))
}
