package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// Stream is a pipeline's stream as a client sees it.
type Stream struct {
	*Client
	Spec   *pipeline.Spec
	Config scorer.Config // of partition 0
	Live   storage.Place // where the rows go; its bucket may not be open
}

// Sink is where the spec has scored rows go.
func (s *Stream) Sink() *pipeline.Sink { return &s.Spec.Spec.Scoring.Sink }

// FetchStream finds the stream of a pipeline's newest generation; nil if its spec
// scores nothing.
func (c *Client) FetchStream(ctx context.Context, name string) (*Stream, error) {
	spec, generation, err := c.FetchSpec(ctx, name)
	if err != nil || spec.Spec.Scoring == nil {
		return nil, err
	}
	cfg, bucket, err := scorer.ConfigOf(spec, generation, 0)
	return &Stream{c, spec, cfg, storage.Place{Name: bucket, Prefix: cfg.Prefix}}, err
}

// OpenStream finds a pipeline's stream and opens the bucket of its rows.
func (c *Client) OpenStream(ctx context.Context, name string) (*Stream, error) {
	s, err := c.FetchStream(ctx, name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, &thalweg.Error{Op: "find stream", Kind: thalweg.NotFound, Subject: name, Hint: "its spec has no scoring section"}
	}
	s.Live.Bucket, err = c.Conns.Bucket(ctx, s.Sink().Connection, s.Live.Name)
	return s, err
}

// streams returns the streams of all pipelines. Their buckets are not open.
func (c *Client) streams(ctx context.Context) (all []*Stream, err error) {
	res, err := c.ListPipelines(ctx, &apiv1.ListPipelinesRequest{})
	if err != nil {
		return nil, err
	}
	for _, p := range res.Pipelines {
		s, err := c.FetchStream(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		if s != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// Source opens the topic as the stream reads it, but for its consumer group.
func (s *Stream) Source() (connectors.Source, error) {
	events := s.Spec.Spec.Sources.Events
	return s.Conns.Source(events.Connection, events.Stream, connectors.Reading{Topic: s.Config.Topic})
}

// Place opens the bucket of an s3:// path that names a folder, over a connection
// or else that of the sink.
func (s *Stream) Place(ctx context.Context, connection, path string) (place storage.Place, err error) {
	if place.Name, place.Prefix, err = pipeline.SplitS3Path(path); err != nil {
		return place, err
	}
	if place.Prefix != "" && !strings.HasSuffix(place.Prefix, "/") {
		place.Prefix += "/"
	}
	place.Bucket, err = s.Conns.Bucket(ctx, cmp.Or(connection, s.Sink().Connection), place.Name)
	return place, err
}

// Partitions returns how many partitions the stream is known to have.
func (s *Stream) Partitions(ctx context.Context) (n int, err error) {
	res, err := s.StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: s.Spec.Metadata.Name})
	for _, p := range res.GetPartitions() {
		n = max(n, int(p.Partition)+1)
	}
	return n, err
}

// Log is where the log of a partition is, or that of its replayed dead letters.
func (s *Stream) Log(partition int, replay bool) commitlog.Config {
	return commitlog.Config{Pipeline: s.Config.Pipeline, Prefix: s.Config.Prefix, Topic: s.Config.Topic, Partition: partition, Replay: replay}
}

// Logs are where the logs of all partitions are that the stream is known to have.
func (s *Stream) Logs(ctx context.Context) (logs []commitlog.Config, err error) {
	partitions, err := s.Partitions(ctx)
	for p := range partitions {
		logs = append(logs, s.Log(p, false))
	}
	return logs, err
}

// PipelineOf returns the one pipeline that scores a topic.
func (c *Client) PipelineOf(ctx context.Context, topic string) (string, error) {
	if topic == "" {
		return "", &thalweg.Error{Op: "PIPELINE", Kind: thalweg.Invalid, Err: errors.New("is missing"), Hint: "want a pipeline, or --topic"}
	}
	all, err := c.streams(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, s := range all {
		if s.Config.Topic == topic {
			found = append(found, s.Spec.Metadata.Name)
		}
	}
	switch len(found) {
	case 0:
		return "", &thalweg.Error{Op: "find pipeline", Kind: thalweg.NotFound, Subject: "topic " + topic, Hint: "no pipeline scores it"}
	case 1:
		return found[0], nil
	}
	return "", &thalweg.Error{Op: "--topic", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%q", topic), Hint: "want one of the pipelines that score it: " + strings.Join(found, ", ")}
}
