package worker

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/storage/dataset"
)

// oddSpec is a pipeline of the files of oddFile.
const oddSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: odd}
spec:
  sources:
    train: {s3: {path: "s3://lake/odd/*.parquet"}, format: {type: parquet}}
  schema:
    columns:
      - {name: v, type: int64, nullable: %s}
      - {name: name, type: string, nullable: true}
      - {name: late, type: int64, nullable: false}
  preprocessing: {clean: [%s], split: {type: random, probabilities: [1, 0, 0]}}
  input_features: [{name: v, type: number}]
  output_features: [{name: late, type: binary}]
`

// oddFile is 200 rows in two row groups; in row 150 is v null and late 2, and the
// filter of the tests removes the first row of each group.
func oddFile(t *testing.T, rows int) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "late", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range rows {
		late := int64(i % 2)
		if i == 150 {
			b.Field(0).AppendNull()
			late = 2
		} else {
			b.Field(0).(*array.Int64Builder).Append(int64(i % 100))
		}
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("name", i))
		b.Field(2).(*array.Int64Builder).Append(late)
	}
	batch := b.NewRecord()
	defer batch.Release()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{RowGroupRows: 100})
	if err == nil {
		err = w.Write(batch)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// reduce ends a stage with what its map tasks found, and keeps what it leaves.
func (b *batchHalf) reduce(spec, kind string, of *apiv1.TaskReport) {
	b.t.Helper()
	report := b.task(&apiv1.Lease{Kind: kind, Reduce: true, Reducers: 1, Partials: of.GetPartials(), Spec: spec})
	if report.Error != "" {
		b.t.Fatalf("%s: %s", kind, report.Error)
	}
	maps.Copy(b.inputs, report.Outputs)
}

// rowsOf returns what ends the reading of a shard for training.
func (b *batchHalf) rowsOf(spec string, shard int) error {
	b.t.Helper()
	rows, err := b.worker.openRows(b.t.Context(), &apiv1.Lease{Pipeline: "odd", Spec: spec, Inputs: b.inputs})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, err = range rows.Read(b.t.Context(), shard) {
	}
	return err
}

// TestErrorsOfRowsNameObjectRowGroupColumnAndRow, as the object counts them, and
// fail the run at once.
func TestErrorsOfRowsNameObjectRowGroupColumnAndRow(t *testing.T) {
	double := `{derive: {column: c0, expression: "name + name"}}`
	for i := range 21 {
		double += fmt.Sprintf(`, {derive: {column: c%d, expression: "c%d + c%d"}}`, i+1, i, i)
	}
	private := strings.Replace(fmt.Sprintf(oddSpec, "true", `{filter: {expression: "v == null || v > 0"}}`), "name: name, type: string", "name: name, type: string, pii: mask", 1)
	for _, c := range []struct{ what, spec, stage, says string }{
		{"a null where there must be none", fmt.Sprintf(oddSpec, "false", `{filter: {expression: "true"}}`), "clean",
			"object odd/b.parquet, row group 1: bind columns: column v, row 150: is null"},
		{"a null where there must be none, and nothing to clean", fmt.Sprintf(oddSpec, "false", ""), "fit",
			"object odd/b.parquet, row group 1: bind columns: column v, row 150: is null"},
		{"a label that is none", fmt.Sprintf(oddSpec, "true", `{filter: {expression: "v == null || v > 0"}}`), "train",
			"object odd/b.parquet, row group 1: read: label late, row 150: 2 is neither 0 nor 1"},
		{"a label that is none, in a pipeline that hides its rows", private, "train",
			"object odd/b.parquet, row group 1: read: label late, row 150: its value does not fit, and is not shown"},
		{"a null where there must be none, in such a one", strings.Replace(private, "name: v, type: int64, nullable: true", "name: v, type: int64, nullable: false", 1), "clean",
			"object odd/b.parquet, row group 1: bind columns: column v, row 150: its value does not fit"},
		{"strings that double", fmt.Sprintf(oddSpec, "true", double), "clean",
			"object odd/a.parquet, row group 0: clean: step 18 derive: "},
	} {
		b := newBatchHalf(t)
		lake, _, err := b.worker.location(t.Context(), "", "s3://lake/odd/x")
		if err != nil {
			t.Fatal(err)
		}
		for name, rows := range map[string]int{"odd/a.parquet": 100, "odd/b.parquet": 200} {
			if _, err := lake.Put(t.Context(), name, oddFile(t, rows)); err != nil {
				t.Fatal(err)
			}
		}
		b.reduce(c.spec, "profile", nil)
		var report *apiv1.TaskReport
		for _, kind := range []string{"clean", "fit"} {
			if report = b.task(&apiv1.Lease{Kind: kind, Reducers: 1, ShardTo: 2, Spec: c.spec}); kind == c.stage {
				break
			}
			b.reduce(c.spec, kind, report)
		}
		if c.stage == "train" {
			report = failure(b.rowsOf(c.spec, 1))
		}
		if !strings.Contains(report.Error, c.says) || !report.Permanent {
			t.Errorf("%s: %v", c.what, report)
		}
	}
}
