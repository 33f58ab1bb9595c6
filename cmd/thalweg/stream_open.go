package main

import (
	"context"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// stream is a pipeline's stream as a client sees it.
type stream struct {
	spec *pipeline.Spec
	// cfg is what its scorers of partition 0 are configured to.
	cfg            scorer.Config
	live           storage.Place // of the sink
	sinkConnection string
}

// openStream finds the stream of a pipeline's newest generation.
func (c *cluster) openStream(ctx context.Context, name string) (*stream, error) {
	spec, generation, err := fetchSpec(ctx, c.Client, name)
	if err != nil {
		return nil, err
	}
	if spec.Spec.Scoring == nil {
		return nil, &thalweg.Error{Op: "find stream", Kind: thalweg.NotFound, Subject: name, Hint: "its spec has no scoring section"}
	}
	cfg, _, err := scorer.ConfigOf(spec, generation, 0)
	if err != nil {
		return nil, err
	}
	s := &stream{spec: spec, cfg: cfg, sinkConnection: spec.Spec.Scoring.Sink.Connection}
	s.live, err = openPlace(ctx, c.conns, s.sinkConnection, spec.Spec.Scoring.Sink.S3.Path)
	return s, err
}

// source opens the topic as the stream reads it, but for its consumer group.
func (s *stream) source(conns *connections) (connectors.Source, error) {
	events := s.spec.Spec.Sources.Events
	return conns.Source(events.Connection, events.Stream, connectors.Reading{Topic: s.cfg.Topic})
}

// openPlace opens the bucket of an s3:// path that names a folder.
func openPlace(ctx context.Context, conns *connections, connection, path string) (storage.Place, error) {
	place, err := placeOf(path)
	if err == nil {
		place.Bucket, _, err = conns.bucketOf(ctx, connection, path)
	}
	return place, err
}

// placeOf returns what an s3:// path names, without opening it.
func placeOf(path string) (storage.Place, error) {
	name, prefix, err := pipeline.SplitS3Path(path)
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return storage.Place{Name: name, Prefix: prefix}, err
}

// pipelineOf returns the one pipeline that scores a topic.
func pipelineOf(ctx context.Context, c *api.Client, topic string) (string, error) {
	if topic == "" {
		return "", usageError("PIPELINE", "", "a pipeline, or --topic")
	}
	var found []string
	err := eachSpec(ctx, c, func(name string, spec *pipeline.Spec) {
		if e := spec.Spec.Sources.Events.Reading(); spec.Spec.Scoring != nil && e != nil && e.Topic == topic {
			found = append(found, name)
		}
	})
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", &thalweg.Error{Op: "find pipeline", Kind: thalweg.NotFound, Subject: "topic " + topic, Hint: "no pipeline scores it"}
	case len(found) > 1:
		return "", usageError("--topic", topic, "one of the pipelines that score it: "+strings.Join(found, ", "))
	}
	return found[0], nil
}

// sinksOf returns where the streams of all pipelines put their rows.
func sinksOf(ctx context.Context, c *api.Client) ([]storage.Place, error) {
	var places []storage.Place
	err := eachSpec(ctx, c, func(_ string, spec *pipeline.Spec) {
		if spec.Spec.Scoring == nil || spec.Spec.Scoring.Sink.S3 == nil {
			return
		}
		if place, err := placeOf(spec.Spec.Scoring.Sink.S3.Path); err == nil {
			places = append(places, place)
		}
	})
	return places, err
}

func eachSpec(ctx context.Context, c *api.Client, fn func(name string, spec *pipeline.Spec)) error {
	all, err := c.ListPipelines(ctx, &apiv1.ListPipelinesRequest{})
	if err != nil {
		return err
	}
	for _, p := range all.Pipelines {
		spec, _, err := fetchSpec(ctx, c, p.Name)
		if err != nil {
			return err
		}
		fn(p.Name, spec)
	}
	return nil
}

// fetchSpec returns the newest spec of a pipeline, and its generation.
func fetchSpec(ctx context.Context, c *api.Client, name string) (*pipeline.Spec, thalweg.Generation, error) {
	res, err := c.GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: name})
	if err != nil {
		return nil, 0, err
	}
	spec, err := pipeline.Parse(catalog.All(), name, []byte(res.Pipeline.RenderedSpec))
	return spec, thalweg.Generation(res.Pipeline.Generation), err
}

// models returns what loads the versions that score.
func (c *cluster) models(ctx context.Context) (*engine.Registry, error) {
	state, err := c.state(ctx)
	if err != nil {
		return nil, err
	}
	models := engine.NewRegistry(state, catalog.All())
	models.Schemas = c.conns.eventSchemas
	return models, nil
}
