package bench

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	arrowmemory "github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// numbers is a table of so many numbers of four decimals and a label, and the spec of a network
// of layers of 128 and 64 values that learns it.
func numbers(tb testing.TB, count, rows int) (file []byte, spec string) {
	tb.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var fields []arrow.Field
	var columns []arrow.Array
	var features strings.Builder
	sums := make([]float64, rows)
	for c := range count {
		b := array.NewFloat64Builder(arrowmemory.DefaultAllocator)
		weight := random.NormFloat64() / math.Sqrt(float64(count))
		for i := range rows {
			v := math.Round(1e4*random.NormFloat64()) / 1e4
			sums[i] += weight * v
			b.Append(v)
		}
		name := fmt.Sprintf("x%d", c)
		fmt.Fprintf(&features, "    - {name: %s, type: number}\n", name)
		fields, columns = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Float64}), append(columns, b.NewArray())
	}
	b := array.NewBooleanBuilder(arrowmemory.DefaultAllocator)
	for _, s := range sums {
		b.Append(s > 0)
	}
	fields, columns = append(fields, arrow.Field{Name: "label", Type: arrow.FixedWidthTypes.Boolean}), append(columns, b.NewArray())
	schema := arrow.NewSchema(fields, nil)
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out, nil, pqarrow.DefaultWriterProps())
	check(tb, err)
	check(tb, w.Write(array.NewRecord(schema, columns, int64(rows))))
	check(tb, w.Close())
	return out.Bytes(), fmt.Sprintf(`apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: numbers}
spec:
  sources:
    train:  {s3: {path: "s3://lake/numbers/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  input_features:
%s  output_features:
    - {name: label, type: binary}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/numbers/"}, format: {type: parquet}}
  model: {type: mlp, hidden: [128, 64]}
  trainer: {epochs: 2}
`, features.String())
}

// BenchmarkScoreNumbers scores events of 64 numbers by a network, in a stream from fetch to a
// committed object. Nearly all of it is reading the numbers, and writing them beside the score.
func BenchmarkScoreNumbers(b *testing.B) {
	file, spec := numbers(b, 64, 20_000)
	f := compiled(b, file, spec)
	f.fit(b)
	f.stream(b, 200_000, nil)
	size := 0
	for _, m := range f.events(b, 1000) {
		size += len(m.Value)
	}
	b.ReportMetric(float64(size)/1000, "JSON-B/event")
}
