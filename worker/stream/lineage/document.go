// Package lineage says where one scored row came from: its event, the slot of
// the log that pinned it, the model version byte for byte, what that was trained
// on, and the spec. A Document is enough, without a coordinator, to score the
// event again; Verify does, and compares every column bit for bit.
package lineage

import (
	"encoding/json"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

const format = "thalweg.lineage/v1"

// The fates of an event, as Document.Outcome names them.
const (
	Scored = "scored"
	Dead   = "dead"
)

// Document is the lineage of one event's row or dead letter.
type Document struct {
	Format   string               `json:"format"`
	Pipeline thalweg.PipelineName `json:"pipeline"`
	Outcome  string               `json:"outcome"`
	Event    Event                `json:"event"`
	Slot     Slot                 `json:"slot"`
	Object   Object               `json:"object"`
	ScoredAt string               `json:"scored_at"` // RFC 3339, of the slot
	Model    Model                `json:"model"`
	Training *Training            `json:"training"` // nil if it cannot be known; Notes say why
	Spec     Spec                 `json:"spec"`
	// Row is the scored row, column by column; absent of a dead letter.
	Row []Cell `json:"row,omitempty"`
	// DeadLetter is the dead letter: of an event that is dead, or of one that was and
	// has been scored since, by a replay of dead letters.
	DeadLetter *DeadLetter `json:"dead_letter,omitempty"`
	// Places says by which connections all this can be reached.
	Places Places `json:"places"`
	// Build is the version of the program that wrote this document; no record tells
	// which build scored the row.
	Build string `json:"build"`
	// Notes tell what could not be found out, and why.
	Notes []string `json:"notes,omitempty"`
	// Verification is what Verify found, if the caller wants it kept.
	Verification *Verification `json:"verification,omitempty"`
}

// Event is the record of the topic.
type Event struct {
	Topic       string `json:"topic"`
	TopicID     string `json:"topic_id,omitempty"` // which topic of that name, if the log knows
	Partition   int    `json:"partition"`
	Offset      int64  `json:"offset"`
	TimestampUS int64  `json:"timestamp_us,omitempty"` // microseconds since 1970 UTC; absent if the record could not be had
	// Held tells whether the broker has the record still.
	Held bool `json:"held"`
	// SHA256 and SizeBytes are of the value. They are empty if nobody has its bytes;
	// of a null value they are those of no bytes, and Null is set.
	SHA256    string `json:"sha256,omitempty"`
	SizeBytes int64  `json:"size"`
	Null      bool   `json:"null,omitempty"`
	// Key and Headers are the rest of the record, which columns may come from.
	Key     []byte          `json:"key,omitempty"`
	NoKey   bool            `json:"null_key,omitempty"`
	Headers []engine.Header `json:"headers,omitempty"`
	// Value is the event itself, if the caller wants it kept.
	Value []byte `json:"value,omitempty"`
}

// Slot is the slot of a commit log that pinned the event to a version.
type Slot struct {
	Log        string           `json:"log"`    // s3://bucket/prefix of its records
	Intent     commitlog.Intent `json:"intent"` // as it was claimed
	DoneSHA256 string           `json:"done_sha256"`
}

// Object holds the row, or the dead letter.
type Object struct {
	Path      string `json:"path"` // s3://bucket/key
	Key       string `json:"key"`
	SHA256    string `json:"sha256"`
	SizeBytes int64  `json:"size"`
	Rows      int64  `json:"rows"`
	Index     int64  `json:"row_index"` // of the row, or the line, from 0
	// Slot is the one that the object belongs to: another than the event's where a
	// compaction has moved the row.
	Slot uint64 `json:"slot"`
}

// Model is the version that scored.
type Model struct {
	Name       thalweg.ModelName     `json:"name"`
	Version    thalweg.ModelVersion  `json:"version"`
	Checkpoint thalweg.CheckpointRef `json:"checkpoint"`
	// Arm is, of a rollout, which of the two it was: champion or candidate.
	Arm string `json:"arm,omitempty"`
	// SHA256 is of the parameters, TransformHash of the fitted transform.
	SHA256        string `json:"model_sha256,omitempty"`
	TransformHash string `json:"transform_hash,omitempty"`
	// RunID and RegisteredAt are from the registry; empty if it does not know the
	// version.
	RunID        string `json:"run_id,omitempty"`
	RegisteredAt string `json:"registered_at,omitempty"` // RFC 3339
}

// Training is what the version was trained on, from its checkpoint.
type Training struct {
	Dataset    string            `json:"dataset_sha256"` // of the manifest
	Connection string            `json:"connection,omitempty"`
	Path       string            `json:"path"`
	Rows       int64             `json:"rows"`
	SizeBytes  int64             `json:"size"`
	Objects    []dataset.Object  `json:"objects"`
	Skipped    []dataset.Skipped `json:"skipped,omitempty"` // parts of the objects that were left out
	Lookups    []artifact.Lookup `json:"lookups,omitempty"`
	// LabelFile has the objects that rows got their labels from.
	LabelFile *table.LabelObjects `json:"label_file,omitempty"`
	Spec      string              `json:"spec_sha256"` // rendered, of the run
	Seed      uint64              `json:"seed"`
	Replicas  int                 `json:"replicas"`
	Epochs    int                 `json:"epochs"`
	Rounds    int64               `json:"rounds"`
	Used      map[string]int64    `json:"rows_used,omitempty"` // by split
	Metrics   map[string]float64  `json:"metrics,omitempty"`
}

// Spec is the spec in force when the row was scored.
type Spec struct {
	Generation thalweg.Generation `json:"generation"`
	SHA256     string             `json:"sha256,omitempty"` // of the rendered spec; empty if nobody has it
}

// DeadLetter is a dead letter and the slot that left it.
type DeadLetter struct {
	engine.DeadLetter
	Slot uint64 `json:"slot"` // of the main log
}

// Places names what has to be reached to score the event again. The names of
// connections are those of specs; credentials are in none of them.
type Places struct {
	Sink       string `json:"sink_connection"`
	Bucket     string `json:"sink_bucket"`
	State      string `json:"state_bucket"` // of checkpoints
	Events     string `json:"events_connection"`
	SinkPrefix string `json:"sink_prefix"`
	// Stream is the kind of stream that events come from, and Options are its fields
	// in the spec.
	Stream  string          `json:"events_stream"`
	Options json.RawMessage `json:"events_options"`
}

// Parse reads a document.
func Parse(data []byte) (*Document, error) {
	doc := new(Document)
	err := thalweg.DecodeStrict(data, doc)
	if err == nil && doc.Format != format {
		return nil, &thalweg.Error{Op: "read lineage", Kind: thalweg.Unsupported, Subject: doc.Format, Hint: "want " + format + ", as `thalweg lineage -o json` writes it"}
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "read lineage", Kind: thalweg.Invalid, Err: err, Hint: "want a document that `thalweg lineage -o json` wrote"}
	}
	if err := doc.Slot.Intent.Validate(); err != nil {
		return nil, err
	}
	return doc, nil
}
