// Package partition fills columns of rows from the folders of their object's key, as Hive
// partitions datasets: year of year=2001/part-0.parquet.
package partition

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

const opRead = "read dataset"

// Resolve adds the columns of m.Partitions to a schema, and takes those out of
// m.Partitions that an object has itself, whose values stand. Their type is that which
// the spec declares, else the first of int64, timestamp and string that all values have;
// times without a zone are in the given one. An object without the folder has nulls.
func Resolve(m *dataset.Manifest, schema *table.Schema, declared []pipeline.ColumnSpec, zone *time.Location) error {
	m.Partitions = slices.DeleteFunc(m.Partitions, func(name string) bool {
		_, _, known := schema.Lookup(name)
		return known || name == table.RowColumn || schema.Unsupports(name)
	})
	for _, d := range declared {
		if d.PII != "" && slices.Contains(m.Partitions, d.Name) {
			return &thalweg.Error{Op: opRead, Kind: thalweg.Invalid, Subject: "column " + d.Name, Err: errors.New("it has pii, and folders of keys fill it, which manifests and messages name"),
				Hint: "write the column into the files, and name the folders otherwise"}
		}
	}
	if len(m.Partitions) == 0 {
		return nil
	}
	folders := make([][]dataset.Partition, len(m.Objects)) // by object
	for i, o := range m.Objects {
		folders[i] = dataset.Partitions(o.Key)
	}
	for _, name := range m.Partitions {
		var as *pipeline.ColumnSpec
		if i := slices.IndexFunc(declared, func(c pipeline.ColumnSpec) bool { return c.Name == name }); i >= 0 {
			as = &declared[i]
		}
		t := typeOf(name, as, folders, zone)
		gap := dataset.Gap{Column: name}
		for i, o := range m.Objects {
			p, has := find(folders[i], name)
			if !has && o.Rows > 0 {
				gap.Add(o)
			}
			var problem error
			if !has || p.Null {
				if as != nil && o.Rows > 0 && !*as.Nullable {
					problem = fmt.Errorf("its folders do not say what %s is, which is declared to have no nulls", name)
				}
			} else if _, ok := parse(t, p.Value, zone); !ok {
				problem = fmt.Errorf("its folder says that %s is %q, which is no %s", name, p.Value, t)
			}
			if problem != nil {
				return &thalweg.Error{Op: opRead, Kind: thalweg.Invalid, Subject: "object " + o.Key, Err: problem,
					Hint: "declare the column otherwise in spec.schema.columns, or leave the object out"}
			}
		}
		if gap.Objects > 0 {
			m.Gaps = append(m.Gaps, gap)
		}
		schema.Columns = append(schema.Columns, table.Column{Name: name, Type: t, Nullable: true})
	}
	return nil
}

// typeOf returns the type of a column, which as declares if it is not nil.
func typeOf(name string, as *pipeline.ColumnSpec, folders [][]dataset.Partition, zone *time.Location) table.Type {
	if as != nil {
		return as.Type
	}
	for _, t := range []table.Type{table.Int64, table.Timestamp} {
		valued, fits := false, true
		for _, of := range folders {
			if p, has := find(of, name); has && !p.Null {
				_, ok := parse(t, p.Value, zone)
				valued, fits = true, fits && ok
			}
		}
		if valued && fits {
			return t
		}
	}
	return table.String
}

// find returns what folders say of a column.
func find(folders []dataset.Partition, name string) (p dataset.Partition, has bool) {
	i := slices.IndexFunc(folders, func(p dataset.Partition) bool { return p.Name == name })
	if i < 0 {
		return p, false
	}
	return folders[i], true
}

// parse returns what a text is as a value of a type: int64, also of timestamps, float64,
// bool or string. A list has no text.
func parse(t table.Type, text string, zone *time.Location) (value any, ok bool) {
	switch t {
	case table.String:
		return text, true
	case table.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && text[0] != '+'
	case table.Float64:
		value, ok = table.ParseFloat(text)
	case table.Timestamp:
		value, ok = table.ParseTime(text, zone)
	case table.Bool:
		yes := text == "1" || strings.EqualFold(text, "true")
		return yes, yes || text == "0" || strings.EqualFold(text, "false")
	}
	return value, ok
}

// Columns are the columns of an object's rows that are not read from it.
type Columns struct {
	want   table.Schema // with those that are
	schema *arrow.Schema
	values map[string]any // as parse returns them; nil is null
}

// placeholder is the name of a column that no object has.
const placeholder = "\x00"

// Split takes those of the wanted columns of an object's rows that are in partitions, and
// those of want.Unread whose type is unsupported, which are null. It returns the others,
// which are to be read; filled is nil if those are all.
func Split(object string, want table.Schema, partitions []string, zone *time.Location) (read table.Schema, filled *Columns, err error) {
	unread := func(c table.Column) bool { return c.Nullable && slices.Contains(want.Unread, c.Name) }
	unsupported := func(c table.Column) bool { return unread(c) && want.Unsupports(c.Name) }
	isFilled := func(c table.Column) bool { return slices.Contains(partitions, c.Name) || unsupported(c) }
	if !slices.ContainsFunc(want.Columns, isFilled) {
		return want, nil, nil
	}
	filled = &Columns{want: want, schema: want.Arrow(), values: make(map[string]any)}
	folders := dataset.Partitions(object)
	for _, c := range want.Columns {
		if !isFilled(c) {
			continue
		}
		filled.values[c.Name] = nil
		p, has := find(folders, c.Name)
		if !has || p.Null || unsupported(c) {
			continue
		}
		value, ok := parse(c.Type, p.Value, zone)
		if !ok && !unread(c) {
			return want, nil, &thalweg.Error{Op: opRead, Kind: thalweg.Invalid, Subject: "object " + object, Err: errors.New("its folders are of no value of column " + c.Name)}
		}
		if ok {
			filled.values[c.Name] = value
		}
	}
	read = want
	read.Columns = slices.DeleteFunc(slices.Clone(want.Columns), isFilled)
	if len(read.Columns) == 0 { // rows are counted by some column
		read.Columns = []table.Column{{Name: placeholder, Type: table.String, Nullable: true}}
	}
	return read, filled, nil
}

// Join returns the rows that were read with all wanted columns.
func (f *Columns) Join(mem memory.Allocator, rows arrow.Record) arrow.Record {
	n, read := int(rows.NumRows()), 0
	columns := make([]arrow.Array, 0, len(f.want.Columns)+1)
	for _, c := range f.want.Columns {
		value, filled := f.values[c.Name]
		if !filled {
			columns = append(columns, rows.Column(read))
			read++
			continue
		}
		column := repeated(mem, c.Type, value, n)
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
