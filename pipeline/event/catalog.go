package event

import (
	"context"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The formats of events, as format.type spells them.
const (
	JSON = "json"
	CSV  = "csv"
	Avro = "avro"
)

// Catalog lists the formats. To add one is a file and a line here.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: JSON, Options: new(JSONFormat)},
		{Name: CSV, Options: new(CSVFormat)},
		{Name: Avro, Options: new(AvroFormat)},
	}
}

// Format is the options of a format in a spec.
type Format interface {
	pipeline.EventFormat
	// TimeFormats are the forms of timestamps in texts, those of the records around
	// events included.
	TimeFormats() []string
	// Open returns what reads events into the cells of one Decoder. The options are
	// valid and have their defaults.
	Open(c *Cells) (Reader, error)
}

// Reader reads events of one encoding. It embeds the Cells that Open was given, or
// a copy of them, which implement State, and Prepare for those that need nothing.
type Reader interface {
	// State returns the cells that Read fills.
	State() *Cells
	// Prepare gets what the events of a run need from elsewhere. Its error ends
	// the run before any event is read.
	Prepare(ctx context.Context, e *Events) error
	// Read reads one event into the cells. It returns false if the event is no
	// row whatever the columns want, by way of Refuse. Values that are not of their
	// column's type are held against the cell.
	Read(b []byte) bool
	// FieldNames returns the names of the fields of an event that Read read, if
	// events say them, up to maxNames.
	FieldNames(b []byte) []string
}

// defaultTimestamps are all forms that text in data can have.
func defaultTimestamps(at pipeline.Place, formats *[]string) {
	pipeline.DefaultList(at, "timestamp_formats", formats, table.TimeFormats()...)
}
