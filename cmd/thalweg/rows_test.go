package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/storage/dataset"
)

// rowsOf returns rows as a Parquet file. The columns have the types of the first row's
// values.
func rowsOf(t *testing.T, rows int, columns string, row func(i int) []any) []byte {
	t.Helper()
	var b *array.RecordBuilder
	for i := range rows {
		values := row(i)
		if i == 0 {
			fields := make([]arrow.Field, len(values))
			for k, name := range strings.Fields(columns) {
				fields[k] = arrow.Field{Name: name, Type: arrowTypeOf(values[k])}
			}
			b = array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
		}
		for k, v := range values {
			switch b := b.Field(k).(type) {
			case *array.Int64Builder:
				b.Append(v.(int64))
			case *array.Float64Builder:
				b.Append(v.(float64))
			case *array.StringBuilder:
				b.Append(v.(string))
			case *array.BooleanBuilder:
				b.Append(v.(bool))
			case *array.ListBuilder:
				b.Append(true)
				b.ValueBuilder().(*array.Float32Builder).AppendValues(v.([]float32), nil)
			}
		}
	}
	return parquetOf(t, b)
}

// arrowTypeOf returns the type of a column of such values.
func arrowTypeOf(value any) arrow.DataType {
	switch value.(type) {
	case int64:
		return arrow.PrimitiveTypes.Int64
	case float64:
		return arrow.PrimitiveTypes.Float64
	case bool:
		return arrow.FixedWidthTypes.Boolean
	case []float32:
		return arrow.ListOf(arrow.PrimitiveTypes.Float32)
	}
	return arrow.BinaryTypes.String
}

// parquetOf returns the rows of a builder as a Parquet file.
func parquetOf(t *testing.T, b *array.RecordBuilder) []byte {
	t.Helper()
	rows := b.NewRecord()
	defer rows.Release()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, rows.Schema(), dataset.WriterConfig{})
	if err == nil {
		err = w.Write(rows)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// specOf returns a spec that trains on what upload has written.
func specOf(name, sections string) string {
	return "apiVersion: thalweg/v1\nkind: Pipeline\nmetadata: {name: " + name + "}\nspec:\n" +
		"  sources: {train: {s3: {path: \"s3://lake/flights/*.parquet\"}, format: {type: parquet}}}\n" + strings.TrimPrefix(sections, "\n")
}

// delayedByDistance are sections that learn from one column of the flights.
const delayedByDistance = `
  input_features: [{name: distance, type: number}]
  output_features: [{name: delayed, type: binary, expression: "delay > 15"}]
`

// applied applies a spec and waits for its run.
func applied(t *testing.T, c *embedded.Cluster, spec string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "spec.yaml")
	put(t, file, spec)
	return command(t, c, "apply", "-f", file, "--wait")
}

// said runs a command that must succeed and returns what it prints.
func said(t *testing.T, c *embedded.Cluster, args ...string) string {
	t.Helper()
	text, err := command(t, c, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", args, err, text)
	}
	return text
}
