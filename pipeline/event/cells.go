package event

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Cells are the columns of the batch that is being built, and the row that is
// being read into them.
type Cells struct {
	cfg    Config
	schema table.Schema
	arrow  *arrow.Schema
	times  *timestampParser
	cols   []column
	// byName finds the columns that fields of events fill.
	byName map[string]int
	// around are the columns that the records around events fill.
	around []int
	// fields is how many columns an event can fill: all that are not skipped.
	fields int
	// comma: numbers in texts have a comma where others have a point.
	comma bool
	point []byte // such a number as others write it

	// The state of one Decode.
	rows    int // rows accepted so far; the position that cells are written to
	rowIDs  []int64
	rejects []Reject

	// The state of one event.
	stamp  uint64 // tells this event's cells from older ones
	filled int    // columns that have a value
	size   int    // bytes, of one that is a row of a record
	// lacks says of columns, by position, why their field cannot be there: the
	// event's schema has none. May be nil.
	lacks map[int]string
	// reason and cause say why the event is no row, if its format says so.
	reason, cause string
}

// State implements Reader.
func (d *Cells) State() *Cells { return d }

// Prepare implements Reader for those that need nothing from elsewhere.
func (*Cells) Prepare(context.Context, *Events) error { return nil }

// FieldNames implements Reader for events that name no fields.
func (*Cells) FieldNames([]byte) []string { return nil }

// Column returns the position of the column that a field of events fills.
func (d *Cells) Column(field string) (at int, ok bool) {
	at, ok = d.byName[field]
	return at, ok && !d.cols[at].skip
}

// Set reads a text into a column's cell, as a cast step would; the field is that
// of this position from 1.
func (d *Cells) Set(column int, text []byte, position int) {
	c := &d.cols[column]
	c.ordinal = true
	d.cell(c, text, position)
}

// SetNull notes that the field of a column is null.
func (d *Cells) SetNull(column, position int) {
	c := &d.cols[column]
	d.claim(c, null)
	c.at, c.ordinal = position, true
}

// Refuse keeps why the event is no row, and returns false.
func (d *Cells) Refuse(reason, cause string) bool {
	d.reason, d.cause = reason, cause
	return false
}

func newCells(schema table.Schema, cfg Config) (*Cells, error) {
	if len(schema.Columns) == 0 {
		return nil, invalid("schema", "it has no columns")
	}
	d := &Cells{cfg: cfg, schema: schema, times: newTimestampParser(cfg.Format.TimeFormats(), cfg.Zone), cols: make([]column, len(schema.Columns)), byName: make(map[string]int, len(schema.Columns))}
	seed := newHashSeed()
	seen := make(map[string]bool, len(schema.Columns))
	var err error
	for i, c := range schema.Columns {
		if c.Type.ArrowType() == nil {
			return nil, invalid(fmt.Sprintf("column %q", c.Name), fmt.Sprintf("%q is no column type", c.Type))
		}
		if seen[c.Name] || c.Name == table.RowColumn {
			return nil, invalid(fmt.Sprintf("column %q", c.Name), "the name is taken")
		}
		seen[c.Name] = true
		d.cfg.Private = d.cfg.Private || c.PII != ""
		d.cols[i] = newColumn(c, seed)
		d.cols[i].unread = c.Nullable && slices.Contains(cfg.Unread, c.Name)
		if c.From == "" {
			d.byName[c.Name] = i
		} else if d.cols[i].from, err = newOrigin(c.AtSource()); err != nil {
			return nil, err
		} else if !d.cols[i].skip {
			d.around = append(d.around, i)
		}
		if !d.cols[i].skip {
			d.fields++
		}
	}
	d.arrow = batchSchema(schema)
	return d, nil
}

// batchSchema is the schema's Arrow form without the columns that are dropped, but for
// TrainingOnly columns, which are nullable here: they hold nothing else.
func batchSchema(schema table.Schema) *arrow.Schema {
	columns := slices.DeleteFunc(slices.Clone(schema.Columns), func(c table.Column) bool { return c.PII == table.PIIDrop })
	for i := range columns {
		columns[i].Nullable = columns[i].Nullable || columns[i].TrainingOnly
	}
	return table.Schema{Columns: columns}.Arrow()
}

func (d *Cells) reject(row int64, index int, reason, cause string) {
	d.rejects = append(d.rejects, Reject{Row: row, Index: index, Reason: reason, Cause: cause, Shapes: d.shapes()})
}

// tooLarge rejects an event of more bytes than any may have.
func (d *Cells) tooLarge(row int64, index, bytes int) {
	d.reject(row, index, fmt.Sprintf("the event has %d bytes, the bound is %d", bytes, d.cfg.MaxEventBytes), "event too large")
}

// shapes returns the columns that have a value so far, masked, where nothing else of an
// event may be shown.
func (d *Cells) shapes() map[string]string {
	if !d.cfg.Private || d.filled == 0 {
		return nil
	}
	out := make(map[string]string)
	for i := range d.cols {
		c := &d.cols[i]
		if c.stamp != d.stamp || c.state != filled {
			continue
		}
		var text string
		switch c.typ {
		case table.String:
			text = string(c.words.word(c.index[d.rows]))
		case table.Int64:
			text = strconv.FormatInt(c.int64[d.rows], 10)
		case table.Float64:
			text = strconv.FormatFloat(c.float[d.rows], 'g', -1, 64)
		case table.Timestamp:
			text = time.RFC3339
		default:
			text = string(c.typ)
		}
		out[c.name] = table.Masked(text)
	}
	return out
}

// settle treats the columns that got no value: null where they may be, else it
// rejects the event and returns false.
func (d *Cells) settle(row int64, index int) bool {
	for i := range d.cols {
		c := &d.cols[i]
		state := absent
		if c.stamp == d.stamp {
			state = c.state
		}
		switch {
		case c.skip || state == filled, state.misfit() && c.unread:
			continue
		case state.misfit():
			d.reject(row, index,
				fmt.Sprintf("%s: want %s, found %s%s", c.title(), c.want(d.times), c.found, c.place()),
				fmt.Sprintf("%s: want %s, found %s", c.name, c.kind(), c.found))
			return false
		case c.nullable:
			continue
		case state == null:
			d.reject(row, index,
				fmt.Sprintf("%s: want %s, found null%s, and the column is not nullable", c.title(), c.typ, c.place()),
				fmt.Sprintf("%s: null in a column that is not nullable", c.name))
			return false
		default:
			d.reject(row, index,
				fmt.Sprintf("%s: missing, and the column is not nullable%s", c.title(), d.lacks[i]),
				fmt.Sprintf("%s: missing in a column that is not nullable", c.name))
			return false
		}
	}
	for i := range d.cols {
		c := &d.cols[i]
		here := c.stamp == d.stamp
		if c.skip || here && c.state == filled {
			continue
		}
		if here && c.state.misfit() {
			c.unfit++
		}
		c.setNull(d.rows)
	}
	return true
}

// TakeUnfit returns by column how many values of rows did not fit and are null,
// since it was last called; nil if none.
func (d *Cells) TakeUnfit() (counts map[string]int64) {
	for i := range d.cols {
		c := &d.cols[i]
		if c.unfit == 0 {
			continue
		}
		if counts == nil {
			counts = make(map[string]int64)
		}
		counts[c.name], c.unfit = c.unfit, 0
	}
	return counts
}

// foreign reports whether an event has none of the columns that its fields could
// fill, null or not.
func (d *Cells) foreign() bool {
	if d.filled > 0 {
		return false
	}
	could := false
	for _, i := range d.byName {
		c := &d.cols[i]
		if !c.skip && c.stamp == d.stamp {
			return false
		}
		could = could || !c.skip
	}
	return could
}
