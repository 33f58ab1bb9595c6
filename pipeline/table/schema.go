// Package table is the form of rows in flight: the canonical column types, schemas
// of them, and the binding of whatever a file holds to them.
package table

import (
	"iter"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
)

// Type is one of the canonical column types: five of values, and lists of numbers
// or bools. Whatever a file or an event holds is converted to one of them at the
// door, so that a column has one meaning in batch and stream.
type Type string

// The canonical types and the Arrow type that carries each.
const (
	String    Type = "string"    // dictionary<int32, utf8>
	Int64     Type = "int64"     // int64
	Float64   Type = "float64"   // float64
	Bool      Type = "bool"      // bool
	Timestamp Type = "timestamp" // timestamp[us, tz=UTC]

	// Of lists, a null one, an empty one and one with a null are three things.
	Int64List   Type = "list<int64>"
	Float64List Type = "list<float64>"
	BoolList    Type = "list<bool>"
)

// Types lists the canonical types.
func Types() []Type {
	return []Type{String, Int64, Float64, Bool, Timestamp, Int64List, Float64List, BoolList}
}

// ArrowType returns the Arrow type that carries t in every batch.
func (t Type) ArrowType() arrow.DataType {
	switch t {
	case String:
		return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	case Int64:
		return arrow.PrimitiveTypes.Int64
	case Float64:
		return arrow.PrimitiveTypes.Float64
	case Bool:
		return arrow.FixedWidthTypes.Boolean
	case Timestamp:
		return arrow.FixedWidthTypes.Timestamp_us
	case Int64List, Float64List, BoolList:
		return arrow.ListOf(t.Element().ArrowType())
	}
	return nil
}

// TypeOf returns the type that a canonical column of Arrow type t has, or "".
func TypeOf(t arrow.DataType) Type {
	for _, typ := range Types() {
		if arrow.TypeEqual(typ.ArrowType(), t) {
			return typ
		}
	}
	return ""
}

// RowColumn is the name of the last column of every batch: an int64 that is
// the row's position in its source, its ordinal in the shard or its offset in
// the topic partition. Operators carry it along, so that a row can be named
// wherever it ends.
const RowColumn = "_row"

// Column is one column of a dataset or of a stream's events.
type Column struct {
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Nullable bool   `json:"nullable"`
	// TrainingOnly: the column is not there when events are scored
	// (available_in: [training]).
	TrainingOnly bool `json:"training_only,omitempty"`
	// From says what of the record around an event fills the column when events
	// are scored: key, header:NAME, timestamp, offset or partition. Empty: a field
	// of the event.
	From string `json:"from,omitempty"`
	// PII says how values are kept from leaving the reader, PIIHash or PIIMask; PIIDrop
	// where the column is only known so that it is passed over.
	PII string `json:"pii,omitempty"`
	// Raw is the type that the values have at their source, where a hash makes texts of
	// others.
	Raw Type `json:"raw,omitempty"`
}

// Schema is the columns of a source in order, without RowColumn.
type Schema struct {
	Columns []Column `json:"columns"`
	// Unsupported are the columns of the source that no canonical type can
	// carry. They are left out of every batch; a spec that reads one is refused.
	Unsupported []UnsupportedColumn `json:"unsupported,omitempty"`
	// Timezone names the zone in which timestamps without one were written
	// down; "" is UTC. A Binder turns them to UTC.
	Timezone string `json:"timezone,omitempty"`
	// Key hashes the columns of PIIHash. Whoever reads them sets it; it is in no document.
	Key Key `json:"-"`
	// Unread names columns in which what does not fit is null, if they may be null. Whoever
	// reads them sets it; it is in no document.
	Unread []string `json:"-"`
	// Lookups are the tables that rows of the source are joined to, as they were when the
	// columns were found.
	Lookups []*Lookup `json:"lookups,omitempty"`
	// Labels is the file that rows of the source get their labels from, likewise.
	Labels *Labels `json:"labels,omitempty"`
}

// AllNull is the type of an UnsupportedColumn without a value: a Binder takes it
// for any.
const AllNull = "null"

// UnsupportedColumn is a column that no canonical type can carry, and the type
// it has at its source.
type UnsupportedColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Unsupports reports whether a column of the name is one of Unsupported.
func (s Schema) Unsupports(name string) bool {
	return slices.ContainsFunc(s.Unsupported, func(u UnsupportedColumn) bool { return u.Name == name })
}

// Names returns the columns' names in order.
func (s Schema) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, c := range s.Columns {
			if !yield(c.Name) {
				return
			}
		}
	}
}

// Lookup returns the position and description of a column.
func (s Schema) Lookup(name string) (int, Column, bool) {
	for i, c := range s.Columns {
		if c.Name == name {
			return i, c, true
		}
	}
	return -1, Column{}, false
}

// Arrow returns the Arrow schema of batches: the columns, then RowColumn.
func (s Schema) Arrow() *arrow.Schema {
	fields := make([]arrow.Field, 0, len(s.Columns)+1)
	for _, c := range s.Columns {
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type.ArrowType(), Nullable: c.Nullable})
	}
	fields = append(fields, arrow.Field{Name: RowColumn, Type: arrow.PrimitiveTypes.Int64})
	return arrow.NewSchema(fields, nil)
}
