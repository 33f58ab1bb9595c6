package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// deleteWait is how long a request waits for the end of a deletion; a client gives
// a node 10 s.
const deleteWait = 4 * time.Second

// DeletePipeline deletes a pipeline, and waits a little for the end of that.
func (s *service) DeletePipeline(ctx context.Context, req *apiv1.DeletePipelineRequest) (*apiv1.DeletePipelineResponse, error) {
	cmd := &state.DeletePipeline{Pipeline: thalweg.PipelineName(req.Pipeline), Purge: req.Purge}
	if req.Purge {
		if err := s.c.planPurge(ctx, cmd); err != nil {
			return nil, err
		}
	}
	answer, err := s.c.mutate(ctx, cmd, req.RequestId)
	if err != nil {
		return nil, s.c.withNearest(ctx, err, req.Pipeline)
	}
	if answer.Changed {
		s.c.log.Info("pipeline is being deleted", keyPipeline, req.Pipeline, "purge", req.Purge)
	}
	ctx, cancel := context.WithTimeout(ctx, deleteWait)
	defer cancel()
	resp := &apiv1.DeletePipelineResponse{Pipeline: req.Pipeline, Generation: uint64(answer.Generation)}
	for {
		changed := s.c.changes.Changed()
		if s.c.leading() == nil {
			return nil, notLeader(s.c.node.Leader())
		}
		s.c.replica.view(func(st *state.State) { err = describeDeletion(st, answer.Generation, resp) })
		if err != nil || resp.Done {
			return resp, err
		}
		select {
		case <-changed:
		case <-s.c.stopping:
			return nil, notLeader("")
		case <-ctx.Done():
			return resp, nil
		}
	}
}

// describeDeletion tells how far the deletion of a pipeline is whose last
// generation is given.
func describeDeletion(st *state.State, last thalweg.Generation, resp *apiv1.DeletePipelineResponse) error {
	name := thalweg.PipelineName(resp.Pipeline)
	if p := st.Pipeline(name); p != nil && p.Deletion != nil && p.Newest().Generation == last {
		resp.Deletion = deletionOf(p)
		if why := p.Deletion.Failed; why != "" {
			return &thalweg.Error{Op: "purge pipeline", Subject: resp.Pipeline, Err: fmt.Errorf("%s", why),
				Hint: "delete it with purge again to go on with what is left, or without to keep that"}
		}
		return nil
	}
	resp.Done, resp.Deletion = true, ""
	if t := st.Tombstone(name); t != nil && t.Generation == last {
		resp.Purged, resp.Objects, resp.Bytes, resp.Note = t.Purged, t.Objects, t.Bytes, t.Note
	}
	return nil
}

// deletionOf says how far the deletion of a pipeline is, "" if there is none.
func deletionOf(p *state.Pipeline) string {
	switch {
	case p.Deletion == nil:
		return ""
	case p.Deletion.Failed != "":
		return "purge failed: " + p.Deletion.Failed
	case p.ActiveRun != "":
		return "run " + string(p.ActiveRun) + " removes what it wrote"
	}
	return "its stream commits what is scored"
}

// planPurge plans the run that removes what a pipeline wrote, wherever one of its
// generations that are kept had its rows.
func (c *Coordinator) planPurge(ctx context.Context, cmd *state.DeletePipeline) error {
	var texts []string
	cmd.Arguments = make(map[string]string)
	err := c.read(func(st *state.State) {
		p := st.Pipeline(cmd.Pipeline)
		if p == nil {
			return // it is refused below
		}
		for _, spec := range p.Specs {
			texts = append(texts, spec.Text)
			for other := range st.Pipelines() {
				if m := spec.Model; m != "" && other.Name != p.Name && other.Uses(m) {
					cmd.Arguments["shared"] = fmt.Sprintf("model %s with pipeline %s", m, other.Name)
				}
			}
		}
		cmd.Arguments["cluster"] = st.Cluster()
	})
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	for i, text := range texts {
		spec, err := c.readSpec(ctx, string(cmd.Pipeline)+".yaml", text)
		if err != nil {
			return err
		}
		if i == len(texts)-1 {
			if cmd.Stages, err = c.cfg.Stages(spec, stages.PurgeVerb, cmd.Arguments); err != nil {
				return err
			}
		}
		sink := sinkOf(spec)
		if sink == nil {
			continue
		}
		if at := sink.Connection + "\n" + sink.Path; !known[at] {
			known[at] = true
			cmd.Arguments[fmt.Sprintf("sink.%d", len(known))] = at
		}
	}
	return nil
}
