package lineage

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Registered is what the registry knows of a version.
type Registered struct {
	RunID        string
	RegisteredAt time.Time
}

// Registry is what the coordinators know. Errors become notes of the document.
type Registry interface {
	// Version returns how a version came to be; NotFound if it is not registered
	// with that checkpoint.
	Version(ctx context.Context, m engine.Model) (Registered, error)
	// Spec returns the rendered spec of a generation.
	Spec(ctx context.Context, name thalweg.PipelineName, generation thalweg.Generation) ([]byte, error)
}

// Sources is where lineage is read from.
type Sources struct {
	Sink   storage.Place
	State  storage.Bucket    // of checkpoints
	Events connectors.Source // the topic
	// Schemas returns the registry of the schemas of events that a connection is
	// of; nil: there is none.
	Schemas func(connection string) (event.Schemas, error)
	// Keys returns the key of a name that columns of events are hashed with.
	Keys func(name string) (table.Key, error)
	// Catalog is what the specs of checkpoints choose from.
	Catalog pipeline.Catalog
}

// Trace returns the lineage of an event. Places, Build and the like are the
// caller's to fill. NotFound says why there is neither a row nor a dead letter
// of it. keep tells to put the event itself in the document.
func Trace(ctx context.Context, from Sources, registry Registry, q Query, keep bool) (*Document, error) {
	f := &finder{from.Sink, q}
	hit, err := f.main(ctx)
	if err != nil {
		return nil, err
	}
	doc := &Document{Format: format, Pipeline: q.Pipeline}
	if hit.letter != nil {
		doc.DeadLetter = &DeadLetter{DeadLetter: *hit.letter, Slot: hit.entry.Intent.Seq}
		again, err := f.replayed(ctx, hit.entry.Intent)
		if err != nil {
			return nil, err
		}
		if again != nil {
			hit = again
		}
	}
	doc.slot(from.Sink, hit)
	in := hit.entry.Intent
	doc.Event = Event{Topic: q.Topic, TopicID: in.TopicID, Partition: q.Partition, Offset: q.Offset}
	doc.Model = scoredBy(in, hit)
	private := doc.model(ctx, from, registry)
	doc.event(ctx, from.Events, q, keep && !private)
	if private {
		doc.Event.withhold()
	}
	doc.Spec.Generation = in.SpecGeneration
	if rendered, err := registry.Spec(ctx, q.Pipeline, in.SpecGeneration); err != nil {
		doc.note("the spec of generation %d cannot be had: %v", in.SpecGeneration, err)
	} else {
		doc.Spec.SHA256 = storage.SHA256(rendered)
	}
	return doc, nil
}

// scoredBy returns the version that scored an event. Of a rollout the row or the dead letter
// says which of the two that is.
func scoredBy(in commitlog.Intent, hit *found) Model {
	of := Model{Name: in.Model, Version: in.ModelVersion, Checkpoint: in.Checkpoint}
	if in.Rollout.Candidate == 0 {
		return of
	}
	version := uint64(0)
	if hit.letter != nil {
		version = uint64(hit.letter.ModelVersion)
	}
	for _, c := range hit.row {
		if c.Name == "_model_version" {
			version, _ = strconv.ParseUint(c.String(), 10, 64)
		}
	}
	of.Arm = rollout.ArmName(rollout.Champion)
	if candidate := engine.ModelOf(&in).Arms()[rollout.Candidate]; version == uint64(candidate.Version) {
		of.Version, of.Checkpoint, of.Arm = candidate.Version, candidate.Checkpoint, rollout.ArmName(rollout.Candidate)
	}
	return of
}

func (d *Document) note(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

// slot notes where the row or the dead letter lies and what pinned it.
func (d *Document) slot(sink storage.Place, hit *found) {
	in := hit.entry.Intent
	layout := commitlog.Layout{Prefix: sink.Prefix, Topic: in.Topic, Partition: in.Partition, Replay: in.Action == commitlog.Replay}
	root := "s3://" + sink.Name + "/"
	d.Slot = Slot{Log: root + layout.LogDir(), Intent: in, DoneSHA256: hit.entry.SHA256}
	o := hit.object
	d.Object = Object{Path: root + o.Key, Key: o.Key, SHA256: o.SHA256, SizeBytes: o.SizeBytes, Rows: o.Rows, Index: hit.index, Slot: hit.holder}
	d.ScoredAt = time.UnixMicro(in.ScoredAtUS).UTC().Format(time.RFC3339Nano)
	d.Outcome, d.Row = Dead, hit.row
	if hit.row != nil {
		d.Outcome = Scored
	}
}

// event notes what the record is, from the broker or else from the dead
// letter.
func (d *Document) event(ctx context.Context, source connectors.Source, q Query, keep bool) {
	q.TopicID = d.Event.TopicID
	r, err := fetch(ctx, source, q)
	if err == nil {
		d.Event.Held = true
		d.Event.describe(r)
		if keep {
			d.Event.Value = append([]byte{}, r.Value(0)...)
		}
		return
	}
	if thalweg.Is(err, thalweg.Lost) {
		d.note("the broker does not have the event any more: %v", err)
	} else {
		d.note("whether the broker has the event is not known: %v", err)
	}
	if l := d.DeadLetter; l != nil {
		d.Event.TimestampUS, d.Event.SizeBytes = l.TimestampUS, int64(l.SizeBytes)
		d.Event.Null = l.Raw == nil && !l.Withheld
		if l.Whole(0) {
			d.Event.SHA256 = storage.SHA256(l.Raw)
		}
	}
}

// model notes what scored and what that was trained on, and reports whether nothing
// may be told of the event but its row.
func (d *Document) model(ctx context.Context, from Sources, registry Registry) (private bool) {
	m := engine.Model{Name: d.Model.Name, Version: d.Model.Version, Checkpoint: d.Model.Checkpoint}
	known, err := registry.Version(ctx, m)
	if err != nil {
		d.note("%s is not in the registry: %v", m, err)
	} else {
		d.Model.RunID, d.Model.RegisteredAt = known.RunID, known.RegisteredAt.UTC().Format(time.RFC3339Nano)
	}
	a, err := engine.NewRegistry(from.State, from.Catalog).Load(ctx, m)
	if err != nil {
		d.note("the checkpoint cannot be read, so nothing is known of its training: %v", err)
		rendered, err := registry.Spec(ctx, d.Pipeline, d.Slot.Intent.SpecGeneration)
		if err != nil {
			return d.DeadLetter != nil && d.DeadLetter.Withheld
		}
		spec, err := pipeline.Parse(from.Catalog, string(d.Pipeline), rendered)
		return err != nil || spec.Spec.Schema.Private()
	}
	private = a.Spec.Spec.Schema.Private()
	d.Model.SHA256, d.Model.TransformHash = a.ModelSHA256(), a.Transform.Hash()
	p, source := a.Provenance, a.Spec.Spec.Sources.Train
	t := &Training{Dataset: p.Dataset, Connection: source.Connection, Spec: p.Spec, Seed: p.Seed, Replicas: p.Replicas, Epochs: p.Epochs, Rounds: p.Rounds,
		Lookups: p.Lookups, LabelFile: p.Labels, Used: p.Rows, Metrics: p.Metrics}
	if source.S3 != nil {
		t.Path = source.S3.Path
	}
	d.Training = t
	manifest, err := manifestOf(a)
	if err != nil {
		d.note("the training objects cannot be named: %v", err)
		return private
	}
	t.Rows, t.SizeBytes, t.Objects, t.Skipped = manifest.Rows-manifest.SkippedRows(), manifest.SizeBytes, manifest.Objects, manifest.Skipped()
	return private
}

func manifestOf(a *artifact.Artifact) (*dataset.Manifest, error) {
	m := new(dataset.Manifest)
	if a.Dataset == nil {
		return nil, &thalweg.Error{Op: "read manifest", Kind: thalweg.NotFound, Subject: artifact.PartDataset, Hint: "the checkpoint does not hold it"}
	}
	if err := json.Unmarshal(a.Dataset, m); err != nil {
		return nil, &thalweg.Error{Op: "read manifest", Kind: thalweg.Corrupt, Subject: artifact.PartDataset, Err: err}
	}
	return m, m.Validate()
}
