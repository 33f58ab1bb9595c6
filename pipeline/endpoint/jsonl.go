package endpoint

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
)

// JSONL is files of JSON objects, one a line, in UTF-8, compressed with gzip or zstd if
// their names end in .gz or .zst.
type JSONL struct {
	// TimestampFormats of texts are tried in order: rfc3339, epoch_ms (of numbers too), or
	// a layout of Go's time package.
	TimestampFormats []string `yaml:"timestamp_formats,omitempty" json:"timestamp_formats,omitempty"`
}

// Rejects implements pipeline.RowFormat.
func (*JSONL) Rejects() {}

// Defaults implements pipeline.Defaulter.
func (f *JSONL) Defaults(at pipeline.Place) {
	pipeline.DefaultList(at, "timestamp_formats", &f.TimestampFormats, table.TimeFormats()...)
}

// Check implements pipeline.Checker.
func (f *JSONL) Check(at pipeline.Place) { f.Rows().Check(at) }

// Rows returns how lines are read.
func (f *JSONL) Rows() *event.JSONFormat {
	return &event.JSONFormat{TimestampFormats: f.TimestampFormats}
}
