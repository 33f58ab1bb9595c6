package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/lineage"
)

// Lineage asks where a scored row came from. The answer is a lineage.Document.
type Lineage struct {
	Topic     string `json:"topic,omitempty"`    // default: the pipeline's
	TopicID   string `json:"topic_id,omitempty"` // default: the newest of that name
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	// Key has the offset be that of the newest row with a value, COLUMN=VALUE, as of a
	// time, in microseconds since 1970 UTC.
	Key       string `json:"key,omitempty"`
	AsOfUS    int64  `json:"as_of_us,omitempty"`
	At        string `json:"at,omitempty"`         // in the rows of a replay: s3://bucket/prefix/
	WithEvent bool   `json:"with_event,omitempty"` // the document has the event
	Verify    bool   `json:"verify,omitempty"`     // score the event again, and compare
	Event     []byte `json:"event,omitempty"`      // its bytes, where the topic does not have it any more
}

func runLineage(ctx context.Context, j *Job, p Lineage) error {
	s, err := j.OpenStream(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	events := s.Spec.Spec.Sources.Events
	options, err := json.Marshal(events.Stream.Options)
	if err != nil {
		return err
	}
	places := lineage.Places{Sink: s.Sink().Connection, Bucket: s.Live.Name, SinkPrefix: s.Live.Prefix, State: j.StateBucket,
		Events: events.Connection, Stream: events.Stream.Name, Options: options}
	if p.At != "" {
		at, err := s.Place(ctx, "", p.At)
		if err != nil {
			return err
		}
		places.Bucket, places.SinkPrefix = at.Name, at.Prefix
	}
	topic := cmp.Or(p.Topic, s.Config.Topic)
	from, err := OpenSources(ctx, j.Conns, places, topic)
	if from.Events != nil {
		defer from.Events.Close()
	}
	if err != nil {
		return err
	}
	q := lineage.Query{Pipeline: s.Config.Pipeline, Topic: topic, TopicID: p.TopicID, Partition: p.Partition, Offset: p.Offset}
	if p.Key != "" {
		if q, err = latest(ctx, j, s, from.Sink, q, p); err != nil {
			return err
		}
	}
	doc, err := lineage.Trace(ctx, from, registry{j.Client}, q, p.WithEvent)
	if err != nil {
		return err
	}
	doc.Places = places
	if p.Verify {
		if doc.Verification, err = lineage.Verify(ctx, from, doc, p.Event); err != nil {
			return err
		}
	}
	return j.Reply(doc)
}

// latest finds the event that a key means.
func latest(ctx context.Context, j *Job, s *cluster.Stream, sink storage.Place, q lineage.Query, p Lineage) (lineage.Query, error) {
	key, err := lineage.ParseKey(p.Key)
	if err != nil {
		return q, err
	}
	partitions, err := s.Partitions(ctx)
	if err != nil {
		return q, err
	}
	return lineage.Latest(ctx, sink, q, partitions, lineage.AsOf{Key: key, AtUS: p.AsOfUS}, func(done, total int64) { j.Progress(done, total, "objects") })
}

// OpenSources opens what a document's places name. The caller closes the events.
func OpenSources(ctx context.Context, conns cluster.Connections, p lineage.Places, topic string) (from lineage.Sources, err error) {
	from.Catalog, from.Schemas, from.Keys = catalog.All(), conns.EventSchemas, conns.Key
	from.Sink = storage.Place{Name: p.Bucket, Prefix: p.SinkPrefix}
	if from.Sink.Bucket, err = conns.Bucket(ctx, p.Sink, p.Bucket); err != nil {
		return from, err
	}
	if from.State, err = conns.Bucket(ctx, "", p.State); err != nil {
		return from, err
	}
	stream, err := from.Catalog.Choose(pipeline.Streams, p.Stream, p.Options)
	if err != nil {
		return from, err
	}
	source, err := conns.Source(p.Events, stream, connectors.Reading{Topic: topic})
	if err == nil { // else it may be a nil pointer
		from.Events = source
	}
	return from, err
}

// registry is the coordinators' as lineage asks it.
type registry struct{ *cluster.Client }

// Version implements lineage.Registry.
func (r registry) Version(ctx context.Context, m engine.Model) (lineage.Registered, error) {
	model, err := r.FindModel(ctx, string(m.Name))
	if err != nil {
		return lineage.Registered{}, err
	}
	for _, v := range model.Versions {
		if v.Version == uint64(m.Version) && v.Checkpoint == m.Checkpoint.String() {
			return lineage.Registered{RunID: v.RunId, RegisteredAt: time.UnixMilli(v.RegisteredAtUnixMs)}, nil
		}
	}
	return lineage.Registered{}, &thalweg.Error{Op: "find model version", Kind: thalweg.NotFound, Subject: m.String() + " with that checkpoint"}
}

// Spec implements lineage.Registry.
func (r registry) Spec(ctx context.Context, name thalweg.PipelineName, generation thalweg.Generation) ([]byte, error) {
	res, err := r.GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: string(name), Generation: uint64(generation)})
	if err != nil {
		return nil, err
	}
	return []byte(res.Pipeline.RenderedSpec), nil
}
