package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// stream is a pipeline's stream as a client sees it.
type stream struct {
	*cluster
	spec *pipeline.Spec
	cfg  scorer.Config // of partition 0
	live storage.Place // where the rows go; its bucket may not be open
}

func (s *stream) sink() *pipeline.Sink { return &s.spec.Spec.Scoring.Sink }

// fetchStream finds the stream of a pipeline's newest generation; nil if its spec
// scores nothing.
func (c *cluster) fetchStream(ctx context.Context, name string) (*stream, error) {
	spec, generation, err := fetchSpec(ctx, c, name)
	if err != nil || spec.Spec.Scoring == nil {
		return nil, err
	}
	cfg, bucket, err := scorer.ConfigOf(spec, generation, 0)
	return &stream{c, spec, cfg, storage.Place{Name: bucket, Prefix: cfg.Prefix}}, err
}

// openStream finds a pipeline's stream and opens the bucket of its rows.
func (c *cluster) openStream(ctx context.Context, name string) (*stream, error) {
	s, err := c.fetchStream(ctx, name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, &thalweg.Error{Op: "find stream", Kind: thalweg.NotFound, Subject: name, Hint: "its spec has no scoring section"}
	}
	s.live.Bucket, err = c.conns.Bucket(ctx, s.sink().Connection, s.live.Name)
	return s, err
}

// claims returns the places of all pipelines and of the cluster.
func (c *cluster) claims(ctx context.Context) ([]pipeline.Claim, error) {
	taken := []pipeline.Claim{{Use: pipeline.State, Kind: pipeline.StoreConnection, Bucket: c.stateBucket}}
	res, err := c.ListPipelines(ctx, &apiv1.ListPipelinesRequest{})
	if err != nil {
		return nil, err
	}
	for _, p := range res.Pipelines {
		spec, _, err := fetchSpec(ctx, c, p.Name)
		if err != nil {
			return nil, err
		}
		taken = append(taken, spec.Claims()...)
	}
	return taken, nil
}

// streams returns the streams of all pipelines. Their buckets are not open.
func (c *cluster) streams(ctx context.Context) (all []*stream, err error) {
	res, err := c.ListPipelines(ctx, &apiv1.ListPipelinesRequest{})
	if err != nil {
		return nil, err
	}
	for _, p := range res.Pipelines {
		s, err := c.fetchStream(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		if s != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// source opens the topic as the stream reads it, but for its consumer group.
func (s *stream) source() (connectors.Source, error) {
	events := s.spec.Spec.Sources.Events
	return s.conns.Source(events.Connection, events.Stream, connectors.Reading{Topic: s.cfg.Topic})
}

// place opens the bucket of an s3:// path that names a folder, over a connection
// or else that of the sink.
func (s *stream) place(ctx context.Context, connection, path string) (place storage.Place, err error) {
	if place.Name, place.Prefix, err = pipeline.SplitS3Path(path); err != nil {
		return place, err
	}
	if place.Prefix != "" && !strings.HasSuffix(place.Prefix, "/") {
		place.Prefix += "/"
	}
	place.Bucket, err = s.conns.Bucket(ctx, cmp.Or(connection, s.sink().Connection), place.Name)
	return place, err
}

// partitions returns how many partitions the stream is known to have.
func (s *stream) partitions(ctx context.Context) (n int, err error) {
	res, err := s.StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: s.spec.Metadata.Name})
	for _, p := range res.GetPartitions() {
		n = max(n, int(p.Partition)+1)
	}
	return n, err
}

// log is where the log of a partition is, or that of its replayed dead letters.
func (s *stream) log(partition int, replay bool) commitlog.Config {
	return commitlog.Config{Pipeline: s.cfg.Pipeline, Prefix: s.cfg.Prefix, Topic: s.cfg.Topic, Partition: partition, Replay: replay}
}

// pipelineOf returns the one pipeline that scores a topic.
func (c *cluster) pipelineOf(ctx context.Context, topic string) (string, error) {
	if topic == "" {
		return "", terminal.UsageError("PIPELINE", "", "a pipeline, or --topic")
	}
	all, err := c.streams(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, s := range all {
		if s.cfg.Topic == topic {
			found = append(found, s.spec.Metadata.Name)
		}
	}
	switch len(found) {
	case 0:
		return "", &thalweg.Error{Op: "find pipeline", Kind: thalweg.NotFound, Subject: "topic " + topic, Hint: "no pipeline scores it"}
	case 1:
		return found[0], nil
	}
	return "", terminal.UsageError("--topic", topic, "one of the pipelines that score it: "+strings.Join(found, ", "))
}

// fetchSpec returns the newest spec of a pipeline, and its generation.
func fetchSpec(ctx context.Context, c *cluster, name string) (*pipeline.Spec, thalweg.Generation, error) {
	res, err := c.GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: name})
	if err != nil {
		return nil, 0, err
	}
	spec, err := pipeline.Parse(catalog.All(), name, []byte(res.Pipeline.RenderedSpec))
	return spec, thalweg.Generation(res.Pipeline.Generation), err
}

// models returns what loads the versions that score.
func (c *cluster) models(ctx context.Context) (*engine.Registry, error) {
	state, err := c.conns.Bucket(ctx, "", c.stateBucket)
	if err != nil {
		return nil, err
	}
	models := engine.NewRegistry(state, catalog.All())
	models.Schemas, models.Keys = c.conns.EventSchemas, c.conns.Key
	return models, nil
}
