package event

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Decoder decodes events against one schema. It is for one goroutine; make
// one each. Decode is a pure function of its arguments: the same events give
// the same arrays, dictionaries included, whatever was decoded before.
type Decoder struct {
	*Cells
	format Reader
}

// NewDecoder returns a decoder of events whose fields are the columns of
// schema, but for columns with a From, which are filled from the record around
// the event. A field missing or null is null, or rejects the event where the
// column is not nullable. A column that is TrainingOnly is all null, whatever an
// event says: it is not there when events are scored.
func NewDecoder(schema table.Schema, cfg Config) (*Decoder, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c, err := newCells(schema, cfg)
	if err != nil {
		return nil, err
	}
	f, err := cfg.Format.Open(c)
	if err != nil {
		return nil, err
	}
	return &Decoder{Cells: f.State(), format: f}, nil
}

// Schema returns the Arrow schema of the batches: the columns, then
// table.RowColumn.
func (d *Decoder) Schema() *arrow.Schema { return d.arrow }

// Prepare gets what decoding a run of events takes from elsewhere: schemas that
// a registry has. Decode does so too; after Prepare it need not wait for them. Its
// errors are those of Decode.
func (d *Decoder) Prepare(ctx context.Context, e Events) error {
	if err := e.check(); err != nil {
		return err
	}
	return d.format.Prepare(ctx, &e)
}

// Decode decodes a run of events. The batch holds the accepted events in order
// with their offsets in table.RowColumn; the caller releases it. It shares no
// memory with e. Every event is either a row or a Reject. The error is non-nil
// only for arguments that do not fit together (Invalid), that are too large
// (Exhausted), or where the schema registry cannot say what events mean
// (Unavailable, Canceled): then nothing is decoded, and the same call may be
// made again.
//
// Whatever the format: an int64 column takes numbers that are whole and in range,
// never rounded; a float64 column finite ones, rounded to nearest; a string
// column valid UTF-8; a timestamp column what timestamp_formats say,
// digits below a microsecond cut off. The files of the formats say the rest.
func (d *Decoder) Decode(ctx context.Context, e Events) (arrow.Record, []Reject, error) {
	if err := d.Prepare(ctx, e); err != nil {
		return nil, nil, err
	}
	d.begin(e.Len())
	start := 0
	for i, end := range e.Ends {
		d.filled = 0
		why, unreadable := "", false
		if e.Unreadable != nil {
			why, unreadable = e.Unreadable[i]
		}
		switch {
		case unreadable:
			d.reject(e.Offsets[i], i, why, "unreadable")
		case e.Nulls != nil && e.Nulls[i]:
			d.reject(e.Offsets[i], i, "the event is null (a tombstone)", "null event")
		case end-start > d.cfg.MaxEventBytes:
			d.tooLarge(e.Offsets[i], i, end-start)
		default:
			d.event(e.Values[start:end], &e, i)
		}
		start = end
	}
	rejects := d.rejects
	d.rejects = nil
	rows, err := d.finish()
	return rows, rejects, err
}

// event reads one event and either accepts it as row d.rows or rejects it.
func (d *Decoder) event(b []byte, e *Events, i int) {
	d.stamp++
	if !d.format.Read(b) {
		d.reject(e.Offsets[i], i, d.reason, d.cause)
		return
	}
	if !d.cfg.Sparse && d.foreign() && d.refuseForeign(e.Offsets[i], i, d.format.FieldNames(b)) {
		return
	}
	if len(d.around) > 0 {
		d.surround(e, i)
	}
	d.accept(e.Offsets[i], i)
}

// refuseForeign rejects an event with fields of these names, of which none is a column's; false
// where settle says more.
func (d *Decoder) refuseForeign(row int64, index int, names []string) bool {
	reason, cause := d.none(names)
	if reason != "" {
		d.reject(row, index, reason, cause)
	}
	return reason != ""
}

// accept makes what was read row d.rows, or rejects it.
func (d *Decoder) accept(row int64, index int) {
	if d.filled < d.fields && !d.settle(row, index) {
		return
	}
	d.rowIDs[d.rows] = row
	d.rows++
}
