package clean

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Cast changes a column's type.
type Cast struct {
	// Column is the one to change.
	Column string `yaml:"column" json:"column" jsonschema:"minLength=1"`
	// Type is what its values become.
	Type table.Type `yaml:"type" json:"type"`
	// TimestampFormats of text that becomes a timestamp are tried in order: rfc3339, or
	// layouts of Go's time package. Default: the forms that text in data has anyway.
	TimestampFormats []string `yaml:"timestamp_formats,omitempty" json:"timestamp_formats,omitempty" example:"02.01.2006 15:04"`
	// Thousands is the character between groups of three digits in text that becomes a
	// number; text may be without it.
	Thousands string `yaml:"thousands,omitempty" json:"thousands,omitempty" example:","`
	// DecimalComma says that text which becomes a float64 has a comma before its
	// fraction, not a point.
	DecimalComma bool `yaml:"decimal_comma,omitempty" json:"decimal_comma,omitempty"`
	// TrueWords are the texts that become true, in any case. Default: true and 1.
	TrueWords []string `yaml:"true_words,omitempty" json:"true_words,omitempty" example:"yes"`
	// FalseWords are the texts that become false, in any case. Default: false and 0.
	FalseWords []string `yaml:"false_words,omitempty" json:"false_words,omitempty" example:"no"`
	// OnError is what becomes of a value that has no form in the new type: it
	// becomes null, the default, or its row is removed.
	OnError             string `yaml:"on_error,omitempty" json:"on_error,omitempty" jsonschema:"enum=null,enum=drop" default:"'null'"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// Check implements pipeline.Checker: the type that the step yields is needed in
// both phases, so that there is no default for one that removes rows.
func (s *Cast) Check(at pipeline.Place) {
	if s.OnError == "drop" && at.Omits("apply_to") {
		at.Problem("on_error", "write apply_to: [training, scoring], or [training]", "a step that removes rows must say where it applies")
	}
	s.checkFormats(at)
}

// Bind implements pipeline.StepSpec: the column has the new type and, where
// values may become null, is nullable.
func (s *Cast) Bind(at *pipeline.Columns) pipeline.Op {
	column, ok := at.Lookup("column", s.Column)
	if !ok {
		return nil
	}
	op := &cast{name: at.Step(), column: s.Column, to: s.Type, drop: s.OnError == "drop", zone: at.Zone()}
	if formats := s.formats(at.Zone()); formats != nil && column.Type != table.String {
		at.Problem("column", "", "column %s is %s: formats are those of strings", s.Column, column.Type)
		return nil
	} else if formats != nil {
		op.formats = formats
	}
	if column.Type == s.Type {
		return op
	}
	if _, ok := casts[conversion{column.Type, s.Type}]; !ok {
		at.Problem("type", "", "column %s is %s, which has no form as %s", s.Column, column.Type, s.Type)
		return nil
	}
	if op.drop {
		at.Remove("on_error", []string{s.Column})
	} else {
		column.Nullable = true
	}
	column.Type = s.Type
	at.Set(column)
	return op
}

// cast converts a column. A null stays null. A value that has no form in the new
// type becomes null and is counted, or removes its row:
//
//	from \ to   string         int64           float64        bool       timestamp
//	string      –              decimal text    decimal text   1          2
//	int64       decimal text   –               nearest        0 or 1     microseconds
//	float64     shortest text  whole, in range –              0 or 1     whole, in range
//	bool        true, false    0, 1            0, 1           –          refused
//	timestamp   RFC 3339, UTC  microseconds    nearest        refused    –
//
//	1: true, false in any case, 1, 0, or the words of the spec
//	2: the forms of table.ParseTime, or those of the spec
//
// Text is taken as it stands: white space around a number has no form (trim
// first), nor have NaN, infinities, hexadecimal and underscores. NaN and
// infinities of a float64 column have a form in no other type. Microseconds
// count from 1970 UTC.
type cast struct {
	name   string
	column string
	to     table.Type
	drop   bool
	zone   *time.Location
	// formats converts text where the spec declares how; else it is nil.
	formats converter
}

// Apply implements pipeline.Op. It counts the values converted, those that
// became null, or the rows removed.
func (o *cast) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	i, err := column(batch, o.column)
	if err != nil {
		return nil, err
	}
	field, a := batch.Schema().Field(i), batch.Column(i)
	from := table.TypeOf(a.DataType())
	if from == o.to {
		batch.Retain()
		return batch, nil
	}
	convert, ok := casts[conversion{from, o.to}]
	if !ok {
		return nil, invalid(o.column, fmt.Sprintf("is of type %s, which has no form as %s", arrowtype.Name(a.DataType()), o.to))
	}
	if o.formats != nil {
		convert = o.formats
	}
	converted := convert(a, mem, o.zone)
	failed := int64(converted.NullN() - a.NullN())
	rep.Change(o.name+" "+o.column, int64(a.Len()-converted.NullN()))
	field.Type = o.to.ArrowType()
	if !o.drop {
		rep.Change(o.name+" "+o.column+" to null", failed)
		field.Nullable = true
		return setColumn(batch, field, converted), nil
	}
	keep := table.Valid(converted)
	keep.Or(table.Valid(a).Not())
	whole := setColumn(batch, field, converted)
	defer whole.Release()
	return drop(mem, whole, keep, rep, o.name, fmt.Sprintf("%s is not %s", o.column, o.to))
}

// conversion is a pair of types.
type conversion struct{ from, to table.Type }

// converter returns a column of another type; values without a form in it are
// null.
type converter func(a arrow.Array, mem memory.Allocator, zone *time.Location) arrow.Array

// The sinks of the types of fixed width.
var (
	int64Column     = fixed(table.Int64, arrow.Int64Traits)
	float64Column   = fixed(table.Float64, arrow.Float64Traits)
	timestampColumn = fixed(table.Timestamp, arrow.Int64Traits)
)

// casts lists the conversions that exist.
var casts = map[conversion]converter{
	{table.String, table.Int64}:     fromText(textToInt, int64Column),
	{table.String, table.Float64}:   fromText(textToFloat, float64Column),
	{table.String, table.Bool}:      fromText(textToBool, boolColumn),
	{table.String, table.Timestamp}: fromText(table.ParseTime, timestampColumn),

	{table.Int64, table.String}:    toText(int64Values, intToText),
	{table.Int64, table.Float64}:   values(int64Values, intToFloat, float64Column),
	{table.Int64, table.Bool}:      values(int64Values, intToBool, boolColumn),
	{table.Int64, table.Timestamp}: values(int64Values, same, timestampColumn),

	{table.Float64, table.String}:    toText(int64Values, bitsToText),
	{table.Float64, table.Int64}:     values(float64Values, floatToInt, int64Column),
	{table.Float64, table.Bool}:      values(float64Values, floatToBool, boolColumn),
	{table.Float64, table.Timestamp}: values(float64Values, floatToInt, timestampColumn),

	{table.Bool, table.String}:  toText(boolsAsInts, intToBoolText),
	{table.Bool, table.Int64}:   values(boolsAsInts, same, int64Column),
	{table.Bool, table.Float64}: values(boolsAsInts, intToFloat, float64Column),

	{table.Timestamp, table.String}:  toText(int64Values, timestampToText),
	{table.Timestamp, table.Int64}:   values(int64Values, same, int64Column),
	{table.Timestamp, table.Float64}: values(int64Values, intToFloat, float64Column),
}
