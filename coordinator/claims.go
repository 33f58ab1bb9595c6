package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
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

// writer is a pipeline whose rows lie in a store: what is known of it, and where.
type writer struct {
	name    thalweg.PipelineName
	newest  *state.Spec // nil: it was deleted
	sinks   []state.Sink
	current []pipeline.Claim
	unknown bool // its spec cannot be read
}

// former returns the sinks that a pipeline left, and that hold its rows still.
func (w *writer) former() (sinks []pipeline.Claim) {
	for _, sink := range w.sinks {
		bucket, key, err := pipeline.SplitS3Path(sink.Path)
		c := pipeline.Claim{Use: pipeline.Rows, Field: "spec.scoring.sink.s3.path", Connection: sink.Connection, Kind: pipeline.StoreConnection, Bucket: bucket, Key: key}
		if err != nil || isSink(c, w.current) {
			continue
		}
		if c.Owner = fmt.Sprintf("%s until generation %d", w.name, sink.Last); w.newest == nil {
			c.Owner = fmt.Sprintf("%s, which was deleted,", w.name)
		}
		sinks = append(sinks, c)
	}
	return sinks
}

// isSink reports whether a claim is the sink among the claims of a spec.
func isSink(c pipeline.Claim, of []pipeline.Claim) bool {
	return slices.ContainsFunc(of, func(o pipeline.Claim) bool {
		return c.Use == pipeline.Rows && o.Use == c.Use && o.Bucket == c.Bucket && o.Key == c.Key &&
			cmp.Or(o.Connection, pipeline.DefaultConnection) == cmp.Or(c.Connection, pipeline.DefaultConnection)
	})
}

// writers returns all pipelines whose rows lie somewhere, with the places of those that
// are not deleted. The caller has the turn.
func (c *Coordinator) writers() ([]*writer, error) {
	var writers []*writer
	if err := c.read(func(st *state.State) {
		for p := range st.Pipelines() {
			writers = append(writers, &writer{name: p.Name, newest: p.Newest(), sinks: p.Sinks})
		}
		for t := range st.Deleted() {
			writers = append(writers, &writer{name: t.Pipeline, sinks: t.Sinks})
		}
	}); err != nil {
		return nil, err
	}
	known := make(map[thalweg.PipelineName]claimed, len(writers))
	for _, w := range writers {
		if w.newest == nil {
			continue
		}
		have, ok := c.claims.of[w.name]
		if !ok || have.generation != w.newest.Generation {
			other, err := pipeline.ParseAccepted(c.cfg.SpecCatalog, "", []byte(w.newest.Text))
			if err != nil {
				w.unknown = true // of another build: what it means, this one does not know
				continue
			}
			other.Cite(w.newest.File, []byte(w.newest.Written))
			have = claimed{w.newest.Generation, other.Claims()}
		}
		known[w.name], w.current = have, have.places
	}
	c.claims.of = known
	return slices.DeleteFunc(writers, func(w *writer) bool { return w.unknown }), nil
}

// stateBucket returns the place of the cluster's own objects.
func (c *Coordinator) stateBucket() []pipeline.Claim {
	if c.cfg.StateBucket == "" {
		return nil
	}
	return []pipeline.Claim{{Use: pipeline.State, Kind: pipeline.StoreConnection, Bucket: c.cfg.StateBucket}}
}

// checkPlaces reports what of a spec's places and connections cannot be beside what
// the other pipelines have. The caller has the turn.
func (c *Coordinator) checkPlaces(ctx context.Context, spec *pipeline.Spec) error {
	lead, err := c.waitLeading(ctx)
	if err != nil {
		return err
	}
	writers, err := c.writers()
	if err != nil {
		return err
	}
	others := c.stateBucket()
	var former []pipeline.Claim
	stays := false // the sink is that of the newest generation
	for _, w := range writers {
		if string(w.name) != spec.Metadata.Name {
			others = append(others, told(ctx, w, w.current)...)
			former = append(former, told(ctx, w, w.former())...)
			continue
		}
		is := spec.Claims()
		stays = slices.ContainsFunc(w.current, func(c pipeline.Claim) bool { return isSink(c, is) })
		w.current = is
		others = append(others, w.former()...)
	}
	if !stays { // else what was accepted once goes on
		others = append(others, former...)
	}
	return spec.CheckPlaces(others, lead.liveness.Connections(time.Now()))
}

// told returns places of a pipeline as whoever calls may know of them.
func told(ctx context.Context, w *writer, places []pipeline.Claim) []pipeline.Claim {
	if sees(ctx, w.name) {
		return places
	}
	hidden := slices.Clone(places)
	for i := range hidden {
		hidden[i].Hidden = true
	}
	return hidden
}

// checkInto reports why the table of a job cannot be where its arguments say: another
// pipeline, the same one, or the job itself has that place for something else.
func (c *Coordinator) checkInto(ctx context.Context, of string, arguments map[string]string) error {
	place := func(use pipeline.Use, field, connection string) (claim pipeline.Claim, err error) {
		claim = pipeline.Claim{Use: use, Owner: of, Field: field, Connection: arguments[connection], Kind: pipeline.StoreConnection}
		claim.Bucket, claim.Key, err = pipeline.SplitS3Path(arguments[field])
		return claim, err
	}
	into, err := place(pipeline.Rows, stages.IntoArgument, stages.IntoConnection)
	if err != nil {
		return err
	}
	from, err := place(pipeline.Dataset, stages.FromArgument, stages.FromConnection)
	if err != nil {
		return err
	}
	lead, err := c.waitLeading(ctx)
	if err != nil {
		return err
	}
	done, err := c.claims.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	writers, err := c.writers()
	if err != nil {
		return err
	}
	others := append(c.stateBucket(), from)
	for _, w := range writers {
		others = slices.Concat(others, told(ctx, w, w.current), told(ctx, w, w.former()))
	}
	known := lead.liveness.Connections(time.Now())
	for _, o := range others {
		if why, hint := into.Conflict(o, known); why != "" {
			return &thalweg.Error{Op: "start run", Kind: thalweg.Conflict, Subject: stages.IntoArgument, Err: errors.New(why), Hint: hint}
		}
	}
	return nil
}
