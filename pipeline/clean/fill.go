package clean

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Fill treats missing values of columns.
type Fill struct {
	// Columns are those whose missing values are treated.
	Columns []string `yaml:"columns" json:"columns" jsonschema:"minItems=1"`
	// Strategy is what becomes of a missing value: it becomes value, what the training
	// rows say of its column (the mean or median of numbers, a whole number if the
	// column has those; the most frequent value, the least of several), or its row is
	// removed. Training rows are seen as the steps before that need not learn leave them.
	// The median is exact of up to 32,768 different values, and of more to about a
	// thousandth of itself. last_in_key, in training only, takes the last value before the row
	// among the rows of its key, wherever in the dataset these are; where there is none, the
	// value stays missing. It fills one column, and is a pass over the rows.
	Strategy string `yaml:"strategy" json:"strategy" jsonschema:"enum=fill_with_const,enum=fill_with_mean,enum=fill_with_median,enum=fill_with_mode,enum=drop_row,enum=last_in_key"`
	// Value is what fill_with_const puts in.
	Value any `yaml:"value,omitempty" json:"value,omitempty"`
	// Key is the column that last_in_key goes by: nulls are one key.
	Key string `yaml:"key,omitempty" json:"key,omitempty"`
	// By is the column that orders the rows of a key for last_in_key; those without a value
	// come last. Default: the order of the dataset.
	By                  string `yaml:"by,omitempty" json:"by,omitempty"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

const (
	dropRow        = "drop_row"
	lastInKey      = "last_in_key"
	fillWithConst  = "fill_with_const"
	fillWithMean   = "fill_with_mean"
	fillWithMedian = "fill_with_median"
)

// Learns implements pipeline.LearningSpec.
func (s *Fill) Learns() bool {
	return s.Strategy != dropRow && s.Strategy != fillWithConst && s.Strategy != lastInKey
}

// Shuffles implements pipeline.ShufflingSpec.
func (s *Fill) Shuffles() bool { return s.Strategy == lastInKey }

// Defaults implements pipeline.Defaulter: an event shall not vanish unless the
// spec says so.
func (s *Fill) Defaults(at pipeline.Place) {
	if s.Strategy == dropRow || s.Strategy == lastInKey {
		pipeline.DefaultList(at, "apply_to", &s.ApplyTo, pipeline.InTraining)
	}
}

// Check implements pipeline.Checker.
func (s *Fill) Check(at pipeline.Place) {
	switch {
	case s.Strategy == fillWithConst && s.Value == nil:
		at.Problem("", "", "fill_with_const needs a value")
	case s.Strategy != fillWithConst && s.Strategy != "" && s.Value != nil:
		at.Problem("value", "", "%s takes no value", s.Strategy)
	}
	switch {
	case s.Strategy != lastInKey && s.Key+s.By != "":
		at.Problem("", "", "key and by are of last_in_key")
	case s.Strategy == lastInKey && s.Key == "":
		at.Problem("key", "", "the field is missing")
	case s.Strategy == lastInKey && len(s.Columns) > 1:
		at.Problem("columns", "write a step for each", "last_in_key fills one column")
	}
	if s.Strategy == lastInKey {
		s.TrainingOnly(at, lastInKey)
	}
	names := make(map[string]bool)
	for i, name := range s.Columns {
		if names[name] {
			at.Problem(fmt.Sprintf("columns[%d]", i), "", "column %s appears twice", name)
		}
		names[name] = true
	}
}

// Bind implements pipeline.StepSpec: the columns are no longer nullable.
func (s *Fill) Bind(at *pipeline.Columns) pipeline.Op {
	if s.Strategy == lastInKey {
		return s.bindLast(at)
	}
	op, learner := &fill{name: at.Step(), columns: s.Columns}, &fillLearner{step: at.Step(), strategy: s.Strategy}
	if s.Strategy != dropRow {
		op.values = make(map[string]any)
	}
	for i, name := range s.Columns {
		field := fmt.Sprintf("columns[%d]", i)
		column, ok := at.Lookup(field, name)
		if !ok {
			continue
		}
		switch s.Strategy {
		case dropRow:
			column.Nullable = false
			at.Set(column)
			continue
		case fillWithConst:
			if op.values[name], ok = constant(at, "value", column, s.Value); !ok {
				return nil
			}
		case fillWithMean, fillWithMedian:
			if column.Type != table.Int64 && column.Type != table.Float64 {
				at.Problem(field, "", "column %s is %s: only numbers have a mean and a median", name, column.Type)
			}
		default:
			if column.Type.Element() != "" {
				at.Problem(field, "", "column %s is %s: of lists nothing is most frequent", name, column.Type)
			}
		}
		if s.Learns() {
			at.Learns(name)
		}
		learner.columns = append(learner.columns, column)
		at.Fill(column)
	}
	switch {
	case s.Strategy == dropRow:
		at.Remove("strategy", s.Columns)
	case s.Learns():
		return learner
	}
	return op
}

// fill puts a value in the place of missing ones, or removes their rows.
type fill struct {
	name    string
	columns []string
	// values are those put in, by column; nil where rows are removed.
	values map[string]any
}

// constant returns a YAML scalar in the form of a column, or notes at a field that it has
// none.
func constant(at *pipeline.Columns, field string, column table.Column, v any) (value any, ok bool) {
	if value, ok = constants(v, at.Zone())[column.Type]; !ok {
		hint := ""
		if column.Type == table.String {
			hint = "put it in quotes"
		}
		at.Problem(field, hint, "column %s is %s, which cannot hold %v", column.Name, column.Type, v)
	}
	return value, ok
}

// constants returns a YAML scalar in the form of each type that can hold it
// exactly; a bool may stand for the string that it is written as.
func constants(v any, zone *time.Location) map[table.Type]any {
	out := make(map[table.Type]any)
	switch v := v.(type) {
	case string:
		out[table.String] = v
		if t, ok := table.ParseTime(v, zone); ok {
			out[table.Timestamp] = t
		}
	case bool:
		out[table.Bool] = v
		out[table.String] = strconv.FormatBool(v)
	case int:
		return constants(int64(v), zone)
	case uint64:
		if v <= 1<<63-1 {
			return constants(int64(v), zone)
		}
		return constants(float64(v), zone)
	case int64:
		out[table.Int64], out[table.Float64] = v, float64(v)
	case float64:
		out[table.Float64] = v
		if i, ok := floatToInt(v); ok {
			out[table.Int64] = i
		}
	}
	return out
}

// Apply implements pipeline.Op. It counts the values filled by column, or the
// rows removed by the first of its columns that misses a value.
func (o *fill) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	return eachColumn(batch, o.columns, func(batch arrow.Record, i int) (arrow.Record, error) {
		if o.values == nil {
			return o.dropMissing(mem, batch, i, rep)
		}
		return o.fillColumn(mem, batch, i, rep), nil
	})
}

func (o *fill) dropMissing(mem memory.Allocator, batch arrow.Record, i int, rep *pipeline.Report) (arrow.Record, error) {
	name := batch.ColumnName(i)
	rows, err := drop(mem, batch, table.Present(batch.Column(i)), rep, o.name, name+" is missing")
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	a := rows.Column(i)
	a.Retain()
	return setColumn(rows, arrow.Field{Name: name, Type: a.DataType()}, a), nil
}

func (o *fill) fillColumn(mem memory.Allocator, batch arrow.Record, i int, rep *pipeline.Report) arrow.Record {
	name, a := batch.ColumnName(i), batch.Column(i)
	present := table.Present(a)
	absent := int64(present.Rows - present.Count())
	if absent == 0 {
		a.Retain()
	} else {
		a = filled(mem, a, present, o.values[name])
		rep.Change(o.name+" "+name, absent)
	}
	return setColumn(batch, arrow.Field{Name: name, Type: a.DataType()}, a)
}

// filled returns a with a value, which is of the column's type, in the rows that
// present does not mark.
func filled(mem memory.Allocator, a arrow.Array, present table.Mask, value any) arrow.Array {
	var buf *memory.Buffer
	n := a.Len()
	switch a := a.(type) {
	case *array.Int64:
		var out []int64
		buf, out = table.Alloc(mem, n, arrow.Int64Traits)
		put(out, a.Int64Values(), present, value.(int64))
	case *array.Timestamp:
		var out []arrow.Timestamp
		buf, out = table.Alloc(mem, n, arrow.TimestampTraits)
		put(out, a.TimestampValues(), present, arrow.Timestamp(value.(int64)))
	case *array.Float64:
		var out []float64
		buf, out = table.Alloc(mem, n, arrow.Float64Traits)
		put(out, a.Float64Values(), present, value.(float64))
	case *array.Boolean:
		values := table.True(a)
		if value.(bool) {
			values.Or(present.Not())
		}
		buf = values.Buffer(mem)
	case *array.Dictionary:
		return fillText(mem, a, present, value.(string))
	}
	return table.NewColumn(mem, table.TypeOf(a.DataType()), n, buf, table.Mask{})
}

// put copies src to dst with v in the rows that present does not mark.
func put[T any](dst, src []T, present table.Mask, v T) {
	copy(dst, src)
	for i := range dst {
		if !present.Has(i) {
			dst[i] = v
		}
	}
}

// fillText gives missing rows the entry that is v, which is appended to the
// dictionary where it has none.
func fillText(mem memory.Allocator, a *array.Dictionary, present table.Mask, v string) arrow.Array {
	dict := a.Dictionary().(*array.String)
	entry := 0
	for entry < dict.Len() && dict.Value(entry) != v {
		entry++
	}
	var entries arrow.Array = dict
	entries.Retain()
	if entry == dict.Len() {
		entries.Release()
		b := array.NewStringBuilder(mem)
		defer b.Release()
		b.Reserve(dict.Len() + 1)
		for i := range dict.Len() {
			b.Append(dict.Value(i))
		}
		b.Append(v)
		entries = b.NewArray()
	}
	defer entries.Release()
	buf, out := table.Alloc(mem, a.Len(), arrow.Int32Traits)
	put(out, a.Indices().(*array.Int32).Int32Values(), present, int32(entry))
	return table.NewText(mem, a.Len(), buf, table.Mask{}, entries)
}
