package event

import (
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/pipeline/table"
)

// The values of table.Column.From: what of the record around an event fills the
// column. FromHeader is followed by the header's name.
const (
	FromKey       = "key"
	FromTimestamp = "timestamp"
	FromOffset    = "offset"
	FromPartition = "partition"
	FromHeader    = "header:"
)

// origin is a parsed table.Column.From.
type origin struct {
	from   string // one of the constants
	header string
}

// String returns what From says.
func (o *origin) String() string { return o.from + o.header }

// newOrigin parses c.From and holds it against c's type.
func newOrigin(c table.Column) (*origin, error) {
	o := &origin{from: c.From}
	if name, ok := strings.CutPrefix(c.From, FromHeader); ok {
		o.from, o.header = FromHeader, name
	}
	want := c.Type
	switch o.from {
	case FromTimestamp:
		want = table.Timestamp
	case FromOffset, FromPartition:
		want = table.Int64
	case FromKey, FromHeader:
	default:
		return nil, invalid(fmt.Sprintf("column %q", c.Name), fmt.Sprintf("from %q is none of key, header:NAME, timestamp, offset, partition", c.From))
	}
	if c.Type != want {
		return nil, invalid(fmt.Sprintf("column %q", c.Name), fmt.Sprintf("from %s is %s, not %s", o, want, c.Type))
	}
	return o, nil
}

// NeedsKeys reports whether columns of events come from the keys of records.
func NeedsKeys(schema table.Schema) bool { return comesFrom(schema, FromKey) }

// NeedsHeaders reports whether columns of events come from headers of records.
func NeedsHeaders(schema table.Schema) bool { return comesFrom(schema, FromHeader) }

func comesFrom(schema table.Schema, from string) bool {
	return slices.ContainsFunc(schema.Columns, func(c table.Column) bool {
		return !c.TrainingOnly && c.PII != table.PIIDrop && (c.From == from || from == FromHeader && strings.HasPrefix(c.From, from))
	})
}

// surround fills the columns that come from the record around event i.
func (d *Cells) surround(e *Events, i int) {
	for _, at := range d.around {
		c := &d.cols[at]
		var text []byte
		ok := e.Around != nil
		switch c.from.from {
		case FromOffset:
			d.setInt(c, e.Offsets[i])
			continue
		case FromPartition:
			d.setInt(c, int64(e.Partition))
			continue
		case FromTimestamp:
			us := int64(-1)
			if ok {
				us = e.Around.Timestamp(i)
			}
			switch {
			case us < 0:
				d.claim(c, null) // how Kafka says that there is none
			case us > table.MaxMicros:
				d.blame(c, 0, foundFarTime)
			default:
				d.setInt(c, us)
			}
			continue
		case FromKey:
			if ok {
				text, ok = e.Around.Key(i)
			}
		case FromHeader:
			if ok {
				text, ok = e.Around.Header(i, c.from.header)
			}
		}
		if !ok {
			d.claim(c, null)
			continue
		}
		d.cell(c, text, 0)
	}
}
