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
		entry(JSON, new(JSONFormat), jsonSource),
		entry(CSV, new(CSVFormat), csvSource),
		entry(Avro, new(AvroFormat), avroSource),
	}
}

func entry(name string, options Format, source string) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: options, Source: source}
}

// Format is the options of a format in a spec.
type Format interface {
	pipeline.EventFormat
	// Configure sets in cfg what the options say.
	Configure(cfg *Config)
	// open makes what reads events into cells, whose cfg is what Configure left.
	open(*cells) (format, error)
}

// format reads events of one encoding into cells. It is made for one Decoder.
type format interface {
	// state returns the cells that read fills.
	state() *cells
	// prepare gets what the events of a run need from elsewhere. Its error ends
	// the run before any event is read.
	prepare(ctx context.Context, e *Events) error
	// read reads one event into the cells. It returns false if the event is no
	// row whatever the columns want, and the cells have the reason.
	// Values that are not of their column's type are held against the cell.
	read(b []byte) bool
}

// formatOf returns the format of a name.
func formatOf(name string) (Format, bool) {
	for _, e := range Catalog() {
		if e.Name == name {
			return e.Options.(Format), true
		}
	}
	return nil, false
}

// defaultTimestamps are all forms that text in data can have.
func defaultTimestamps(at pipeline.Place, formats *[]string) {
	pipeline.DefaultList(at, "timestamp_formats", formats, table.TimeFormats()...)
}
