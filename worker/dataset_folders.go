package worker

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// partitions adds the columns that folders of keys fill, year of year=2001, and takes
// those of m.Partitions out that an object has itself, whose values stand. Their type is
// that which the spec declares, else the first of int64, timestamp and string that all
// values have; an object without the folder has nulls.
func (s DatasetSource) partitions(m *dataset.Manifest, schema *table.Schema) error {
	zone, err := zoneOf(s.Schema.Timezone)
	if err != nil {
		return err
	}
	m.Partitions = slices.DeleteFunc(m.Partitions, func(name string) bool {
		_, _, known := schema.Lookup(name)
		return known || name == table.RowColumn || slices.ContainsFunc(schema.Unsupported, func(u table.UnsupportedColumn) bool { return u.Name == name })
	})
	for _, d := range s.Schema.Columns {
		if d.PII != "" && slices.Contains(m.Partitions, d.Name) {
			return &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: "column " + d.Name, Err: errors.New("it has pii, and folders of keys fill it, which manifests and messages name"),
				Hint: "write the column into the files, and name the folders otherwise"}
		}
	}
	values := make([][]dataset.Partition, len(m.Objects)) // by object
	for i, o := range m.Objects {
		if len(m.Partitions) > 0 {
			values[i] = dataset.Partitions(o.Key)
		}
	}
	for _, name := range m.Partitions {
		types := []table.Type{table.Int64, table.Timestamp, table.String}
		declared := slices.IndexFunc(s.Schema.Columns, func(c pipeline.ColumnSpec) bool { return c.Name == name })
		if declared >= 0 {
			types = []table.Type{s.Schema.Columns[declared].Type}
		}
		gap, seen := dataset.Gap{Column: name}, false
		for i, o := range m.Objects {
			p, has := folderOf(values[i], name)
			if !has && o.Rows > 0 {
				gap.Add(o)
			}
			var problem error
			if !has || p.Null {
				if declared >= 0 && o.Rows > 0 && !*s.Schema.Columns[declared].Nullable {
					problem = fmt.Errorf("its folders do not say what %s is, which is declared to have no nulls", name)
				}
			} else {
				seen = true
				for len(types) > 0 && problem == nil {
					if _, ok := folderValue(types[0], p.Value, zone); ok {
						break
					}
					if types = types[1:]; len(types) == 0 {
						problem = fmt.Errorf("its folder says that %s is %q, which is no %s", name, p.Value, s.Schema.Columns[declared].Type)
					}
				}
			}
			if problem != nil {
				return &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: "object " + o.Key, Err: problem,
					Hint: "declare the column otherwise in spec.schema.columns, or leave the object out"}
			}
		}
		if !seen && declared < 0 {
			types = types[len(types)-1:]
		}
		if gap.Objects > 0 {
			m.Gaps = append(m.Gaps, gap)
		}
		schema.Columns = append(schema.Columns, table.Column{Name: name, Type: types[0], Nullable: true})
	}
	return nil
}

// folderOf returns what folders say of a column.
func folderOf(all []dataset.Partition, name string) (dataset.Partition, bool) {
	for _, p := range all {
		if p.Name == name {
			return p, true
		}
	}
	return dataset.Partition{}, false
}

// folderValue returns what a text is as a value of a type: int64, also of timestamps,
// float64, bool or string.
func folderValue(t table.Type, text string, zone *time.Location) (value any, ok bool) {
	switch t {
	case table.String:
		return text, true
	case table.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && text[0] != '+'
	case table.Float64:
		return second(table.ParseFloat(text))
	case table.Timestamp:
		return second(table.ParseTime(text, zone))
	case table.Bool:
		yes := text == "1" || strings.EqualFold(text, "true")
		return yes, yes || text == "0" || strings.EqualFold(text, "false")
	}
	return nil, false // a list
}

func second[T any](value T, ok bool) (any, bool) { return value, ok }

// folders are the columns of a shard's rows that the folders of its object's key fill.
type folders struct {
	want   table.Schema // all columns
	schema *arrow.Schema
	values map[string]any // nil is null
	mem    memory.Allocator
}

// noColumn is the name of a column that no object has.
const noColumn = "\x00"

// splitColumns leaves the columns to be read that are in the object, or noColumn.
func (r *RowReader) splitColumns(names []string, timezone string) error {
	filled := func(c table.Column) bool { return slices.Contains(names, c.Name) }
	if !slices.ContainsFunc(r.columns.Columns, filled) {
		return nil
	}
	zone, err := zoneOf(timezone)
	if err != nil {
		return err
	}
	r.folders = &folders{want: r.columns, schema: r.columns.Arrow(), values: make(map[string]any), mem: r.memory}
	if r.memory == nil {
		r.folders.mem = memory.DefaultAllocator
	}
	all := dataset.Partitions(r.object)
	for _, c := range r.columns.Columns {
		if p, has := folderOf(all, c.Name); filled(c) {
			value, ok := folderValue(c.Type, p.Value, zone)
			if has && !p.Null && !ok {
				return &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: "object " + r.object, Err: errors.New("its folders are of no value of column " + c.Name)}
			}
			if !has || p.Null {
				value = nil
			}
			r.folders.values[c.Name] = value
		}
	}
	r.columns.Columns = slices.DeleteFunc(slices.Clone(r.columns.Columns), filled)
	if len(r.columns.Columns) == 0 {
		r.columns.Columns = []table.Column{{Name: noColumn, Type: table.String, Nullable: true}}
	}
	return nil
}

// join returns rows with the columns of folders among those of the object.
func (f *folders) join(rows arrow.Record) arrow.Record {
	n, read := int(rows.NumRows()), 0
	columns := make([]arrow.Array, 0, len(f.want.Columns)+1)
	for _, c := range f.want.Columns {
		value, filled := f.values[c.Name]
		if !filled {
			columns = append(columns, rows.Column(read))
			read++
			continue
		}
		column := repeated(f.mem, c.Type, value, n)
		defer column.Release()
		columns = append(columns, column)
	}
	return array.NewRecord(f.schema, append(columns, rows.Column(int(rows.NumCols())-1)), int64(n))
}

// repeated returns a column of a type that has the same value in n rows; nil is null.
func repeated(mem memory.Allocator, t table.Type, value any, n int) arrow.Array {
	var valid table.Mask
	if value == nil {
		valid = table.NewMask(n)
	}
	switch t {
	case table.String:
		text, _ := value.(string)
		entries := array.NewStringBuilder(mem)
		defer entries.Release()
		entries.Append(text)
		words := entries.NewArray()
		defer words.Release()
		buf, index := table.Alloc(mem, n, arrow.Int32Traits)
		clear(index)
		return table.NewText(mem, n, buf, valid, words)
	case table.Bool:
		marked := table.NewMask(n)
		if value == true {
			marked = marked.Not()
		}
		return table.NewColumn(mem, t, n, marked.Buffer(mem), valid)
	case table.Float64:
		buf, out := table.Alloc(mem, n, arrow.Float64Traits)
		v, _ := value.(float64)
		for i := range out {
			out[i] = v
		}
		return table.NewColumn(mem, t, n, buf, valid)
	}
	buf, out := table.Alloc(mem, n, arrow.Int64Traits)
	v, _ := value.(int64)
	for i := range out {
		out[i] = v
	}
	return table.NewColumn(mem, t, n, buf, valid)
}
