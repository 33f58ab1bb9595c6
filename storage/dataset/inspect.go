package dataset

import (
	"context"
	"encoding/binary"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// Summary is what the footer of a Parquet object says of it.
type Summary struct {
	Rows    int64
	Schema  *arrow.Schema
	Columns []ColumnSummary // as in Schema
}

// ColumnSummary is what statistics say of a column. Min and Max are an int64
// (integers of any width, and timestamps in the column's unit) or a string, and
// nil where the file does not tell, or nobody could rely on it: floats have none,
// since NaNs are left out of their statistics.
type ColumnSummary struct {
	Nulls    int64 // -1: not known
	Min, Max any
}

// Inspect reads the footer of an object of the given size, mostly by one
// request. Errors: NotFound, Corrupt naming the object.
func Inspect(ctx context.Context, b storage.Bucket, key string, sizeBytes int64) (*Summary, error) {
	file, err := readFooter(ctx, b, key, sizeBytes)
	if err != nil {
		return nil, err
	}
	fields, err := fieldsOf("inspect", key, file)
	if err != nil {
		return nil, err
	}
	s := &Summary{Rows: file.Rows, Schema: arrow.NewSchema(fields, nil)}
	for i, n := range file.Schema.Children {
		c := ColumnSummary{Nulls: -1}
		if n.Flat() {
			c = summarize(fields[i].Type, file.RowGroups, n.Leaf)
		}
		s.Columns = append(s.Columns, c)
	}
	return s, nil
}

// summarize merges the statistics of a column's chunks.
func summarize(t arrow.DataType, groups []metadata.RowGroup, leaf int) ColumnSummary {
	var c ColumnSummary
	bounded := true
	for _, g := range groups {
		s := g.Chunks[leaf].Stats
		if s.Nulls < 0 || c.Nulls < 0 {
			c.Nulls = -1
		} else {
			c.Nulls += s.Nulls
		}
		if s.Nulls == g.Rows {
			continue // no value to bound
		}
		low, high := plain(t, s.Min), plain(t, s.Max)
		if low == nil || high == nil {
			bounded = false
			continue
		}
		if c.Min == nil || less(low, c.Min) {
			c.Min = low
		}
		if c.Max == nil || less(c.Max, high) {
			c.Max = high
		}
	}
	if !bounded {
		c.Min, c.Max = nil, nil
	}
	return c
}

// plain decodes a bound; nil if it is none that can be relied on.
func plain(t arrow.DataType, v []byte) any {
	if v == nil {
		return nil
	}
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return plain(t.ValueType, v)
	case *arrow.StringType:
		return string(v)
	case *arrow.Int32Type:
		if len(v) == 4 {
			return int64(int32(binary.LittleEndian.Uint32(v)))
		}
	case *arrow.Int64Type, *arrow.TimestampType:
		if len(v) == 8 {
			return int64(binary.LittleEndian.Uint64(v))
		}
	}
	return nil
}

// less compares two bounds of one type.
func less(a, b any) bool {
	switch a := a.(type) {
	case int64:
		b, ok := b.(int64)
		return ok && a < b
	case string:
		b, ok := b.(string)
		return ok && a < b
	}
	return false
}
