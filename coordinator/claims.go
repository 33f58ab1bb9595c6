package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline"
)

// claims knows the places of all pipelines, and admits one change of them at a time.
type claims struct {
	turn chan struct{} // has an element while a spec is compared and accepted
	of   map[thalweg.PipelineName]claimed
}

// claimed are the places of a generation of a pipeline.
type claimed struct {
	generation thalweg.Generation
	places     []pipeline.Claim
}

// take waits for the turn to compare a spec with the others and to have it accepted.
func (c *claims) take(ctx context.Context) (done func(), err error) {
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, nil
	case <-ctx.Done():
		return nil, &thalweg.Error{Op: "apply spec", Kind: thalweg.Canceled, Err: ctx.Err()}
	}
}

// left returns the sink that a pipeline leaves, which a new one must not touch; none
// if it stays.
func left(have claimed, places []pipeline.Claim) (sinks []pipeline.Claim) {
	for _, c := range have.places {
		stays := slices.ContainsFunc(places, func(p pipeline.Claim) bool {
			return p.Use == pipeline.Rows && p.Bucket == c.Bucket && p.Key == c.Key
		})
		if c.Use == pipeline.Rows && !stays {
			c.Owner = fmt.Sprintf("%s until generation %d", c.Owner, have.generation)
			sinks = append(sinks, c)
		}
	}
	return sinks
}

// checkPlaces reports what of a spec's places and connections cannot be beside what
// the other pipelines have. The caller has the turn.
func (c *Coordinator) checkPlaces(ctx context.Context, spec *pipeline.Spec) error {
	lead, err := c.waitLeading(ctx)
	if err != nil {
		return err
	}
	var newest []*state.Spec
	var names []thalweg.PipelineName
	if err := c.read(func(st *state.State) {
		for p := range st.Pipelines() {
			names, newest = append(names, p.Name), append(newest, p.Newest())
		}
	}); err != nil {
		return err
	}
	var others []pipeline.Claim
	if c.cfg.StateBucket != "" {
		others = append(others, pipeline.Claim{Use: pipeline.State, Kind: pipeline.StoreConnection, Bucket: c.cfg.StateBucket})
	}
	known := make(map[thalweg.PipelineName]claimed, len(names))
	for i, name := range names {
		have, ok := c.claims.of[name]
		if !ok || have.generation != newest[i].Generation {
			other, err := pipeline.Parse(c.cfg.SpecCatalog, "", []byte(newest[i].Text))
			if err != nil {
				continue // of another build: what it means, this one does not know
			}
			other.Cite(newest[i].File, []byte(newest[i].Written))
			have = claimed{newest[i].Generation, other.Claims()}
		}
		known[name] = have
		if string(name) != spec.Metadata.Name {
			others = append(others, have.places...)
		} else {
			others = append(others, left(have, spec.Claims())...)
		}
	}
	c.claims.of = known
	return spec.CheckPlaces(others, lead.liveness.connections(time.Now()))
}
