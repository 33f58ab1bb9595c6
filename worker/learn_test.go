package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
	"github.com/thalweg/thalweg/storage/dataset"
	storagememory "github.com/thalweg/thalweg/storage/memory"
)

// medianStep fills the missing values of a column with the median of the training
// rows: an operator that this file adds.
type medianStep struct {
	// Column is a number.
	Column string `yaml:"column" json:"column"`
	// Offset is added to the median.
	Offset              float64 `yaml:"offset,omitempty" json:"offset,omitempty" jsonschema:"minimum=0"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

func (s *medianStep) Learns() bool               { return true }
func (s *medianStep) Defaults(at pipeline.Place) { pipeline.Default(at, "offset", &s.Offset, 0.25) }
func (s *medianStep) Check(at pipeline.Place)    { at.ColumnName("column", s.Column) }
func (s *medianStep) Bind(at *pipeline.Columns) pipeline.Op {
	column, ok := at.Lookup("column", s.Column)
	if !ok {
		return nil
	}
	if column.Type != table.Float64 {
		at.Problem("column", "", "column %s is %s, which has no median", s.Column, column.Type)
	}
	at.Fill(column)
	return &median{spec: s}
}

type median struct {
	spec  *medianStep
	value float64
	seen  []float64
}

func (m *median) column(batch arrow.Record) (int, *array.Float64) {
	i := batch.Schema().FieldIndices(m.spec.Column)[0]
	return i, batch.Column(i).(*array.Float64)
}

func (m *median) Observer() pipeline.Observer { return &median{spec: m.spec} }

func (m *median) Observe(batch arrow.Record) error {
	_, a := m.column(batch)
	for i, v := range a.Float64Values() {
		if a.IsValid(i) {
			m.seen = append(m.seen, v)
		}
	}
	return nil
}

func (m *median) Partial() ([]byte, error) { return json.Marshal(m.seen) }

func (m *median) Finish(partials [][]byte) (json.RawMessage, error) {
	var all []float64
	for _, p := range partials {
		var of []float64
		if err := json.Unmarshal(p, &of); err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	slices.Sort(all)
	return json.Marshal(all[len(all)/2] + m.spec.Offset)
}

func (m *median) With(learnt json.RawMessage) (pipeline.Op, error) {
	out := &filled{median{spec: m.spec}}
	return out, json.Unmarshal(learnt, &out.m.value)
}

func (m *median) Apply(context.Context, memory.Allocator, arrow.Record, *pipeline.Report) (arrow.Record, error) {
	panic("it has not learnt yet")
}

// filled is what a median has learnt; it is no Learner.
type filled struct{ m median }

func (f *filled) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	i, a := f.m.column(batch)
	b := array.NewFloat64Builder(mem)
	defer b.Release()
	for k, v := range a.Float64Values() {
		if a.IsNull(k) {
			v = f.m.value
			rep.Change("median "+f.m.spec.Column, 1)
		}
		b.Append(v)
	}
	out := b.NewArray()
	defer out.Release()
	columns := slices.Clone(batch.Columns())
	columns[i] = out
	fields := slices.Clone(batch.Schema().Fields())
	fields[i].Nullable = false
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, batch.NumRows()), nil
}

const learningSpec = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: medians}
spec:
  sources: {train: {s3: {path: "s3://thalweg/data/*.parquet"}, format: {type: parquet}}}
  preprocessing:
    clean:
      - {filter: {expression: "key >= 0"}}
      - {median: {column: x}}
      - {derive: {column: twice, expression: "x * 2.0"}}
  input_features: [{name: twice, type: number, normalization: none}]
  output_features: [{name: y, type: binary}]
`

// stageRunner carries the stages of a run out one after another, without a
// coordinator.
type stageRunner struct {
	t      *testing.T
	w      *Worker
	spec   string
	inputs map[string]string
	shards int
	filled []int64 // by stage, the values that a median filled
}

func (r *stageRunner) run(stage Stage) {
	r.t.Helper()
	lease := func(reduce bool) *apiv1.Lease {
		return &apiv1.Lease{RunId: "r", Kind: stage.Name, Pipeline: "medians", Spec: r.spec, Inputs: r.inputs, Reduce: reduce, Reducers: 1}
	}
	do := func(l *apiv1.Lease, f func(context.Context, *Task) error) *apiv1.TaskReport {
		task := &Task{Lease: l, worker: r.w, do: f, Report: &apiv1.TaskReport{Outputs: map[string]string{}, Metrics: map[string]float64{}, Counts: map[string]int64{}}}
		report := task.run(r.t.Context())
		if report.Error != "" {
			r.t.Fatalf("stage %s: %s", stage.Name, report.Error)
		}
		return report
	}
	reduce := lease(true)
	if stage.Over == stages.OverShards {
		for i := range r.shards {
			l := lease(false)
			l.Index, l.ShardFrom, l.ShardTo = uint32(i), uint32(i), uint32(i+1)
			reduce.Partials = append(reduce.Partials, do(l, stage.Map).Partials...)
		}
	}
	report := do(reduce, stage.Reduce)
	r.filled = append(r.filled, report.Counts["changed: median x"])
	if n := report.Counts["shards"]; n > 0 {
		r.shards = int(n)
	}
	for name, ref := range report.Outputs {
		r.inputs[name] = ref
	}
}

// lake is a store with a dataset of two files.
func lake(t *testing.T) stores {
	t.Helper()
	columns := table.Schema{Columns: []table.Column{{Name: "key", Type: table.Int64}, {Name: "x", Type: table.Float64, Nullable: true}, {Name: "y", Type: table.Bool}}}
	stores := stores{storagememory.NewOpener("thalweg")}
	bucket, err := stores.Opener.Bucket(t.Context(), "thalweg")
	if err != nil {
		t.Fatal(err)
	}
	for file := range 2 {
		var rows [][]any
		for i := range 100 {
			row := []any{int64(file*100 + i - 20), float64((file*100 + i) % 37), i%3 == 0}
			if i%10 == 3 {
				row[1] = nil
			}
			rows = append(rows, row)
		}
		rec := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
		plain := array.NewRecord(arrow.NewSchema(rec.Schema().Fields()[:3], nil), rec.Columns()[:3], rec.NumRows())
		var body bytes.Buffer
		out, err := dataset.NewWriter(&body, plain.Schema(), dataset.WriterConfig{})
		if err == nil {
			err = out.Write(plain)
		}
		if err == nil {
			err = out.Close()
		}
		if err == nil {
			_, err = bucket.Put(t.Context(), fmt.Sprintf("data/%d.parquet", file), body.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return stores
}

// prepare carries out the stages before training.
func prepare(t *testing.T, cfg Config, at Connections, spec string) (*stageRunner, *shardRows) {
	t.Helper()
	cfg.ID, cfg.Dir = "w", t.TempDir()
	w, err := New(t.Context(), &scripted{}, at, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := pipeline.Parse(cfg.SpecCatalog, "spec.yaml", []byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	r := &stageRunner{t: t, w: w, spec: spec, inputs: map[string]string{}}
	for _, stage := range Stages()[""] {
		if stage.Name == "train" {
			break
		}
		if stage.Needed == nil || stage.Needed(parsed) {
			r.run(stage)
		}
	}
	rows, err := w.openRows(t.Context(), &apiv1.Lease{Spec: spec, Inputs: r.inputs})
	if err != nil {
		t.Fatal(err)
	}
	return r, rows
}

// A step that has to learn sees the training rows of all shards before the
// transform is fitted, and does the same to shards and to events.
func TestALearningStepIsTheSameInBatchAndStream(t *testing.T) {
	all := catalog.All()
	all[pipeline.Steps] = append(all[pipeline.Steps], pipeline.Step("median", new(medianStep)))
	if _, err := pipeline.Parse(all, "bad.yaml", []byte(strings.ReplaceAll(learningSpec, "{column: x}", "{colum: x, offset: -1}"))); err == nil ||
		!strings.Contains(err.Error(), "median.colum: there is no such field (did you mean column?)") || !strings.Contains(err.Error(), "median.offset: -1 is out of range") {
		t.Errorf("diagnostics: %v", err)
	}
	if _, err := pipeline.Parse(all, "bad.yaml", []byte(strings.ReplaceAll(learningSpec, "{column: x}", "{column: x, apply_to: [scoring]}"))); err == nil ||
		!strings.Contains(err.Error(), "a step that learns from the training rows applies to them") {
		t.Errorf("scoring alone: %v", err)
	}
	if schema, err := pipeline.JSONSchema(all); err != nil || !bytes.Contains(schema, []byte(`"median"`)) {
		t.Errorf("the JSON schema does not know the step: %v", err)
	}

	stores := lake(t)
	r, rows := prepare(t, Config{SpecCatalog: all}, stores, learningSpec)
	if !slices.Equal(r.filled, []int64{0, 0, 0, 18}) {
		t.Errorf("values filled, by stage: %d", r.filled)
	}
	// The median of the training rows that the filter leaves, worked out apart.
	var want []float64
	for shard := range r.shards {
		for batch, err := range rows.Read(t.Context(), shard) {
			if err != nil {
				t.Fatal(err)
			}
			for i, row := range batch.Row {
				at := shard*100 + int(row)
				if batch.Split[i] == 0 && int(row)%10 != 3 {
					want = append(want, float64(at%37))
				}
			}
		}
	}
	slices.Sort(want)
	learnt := fmt.Sprintf(`{"2 median":%v}`, want[len(want)/2]+0.25)
	a, err := artifact.New(rows.plan, rows.transform)
	if err != nil {
		t.Fatal(err)
	}
	a.Params = slices.Repeat([]float32{0.5}, a.Model.Size())
	parts, err := a.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(parts[artifact.PartSteps]); got != learnt {
		t.Errorf("learnt %s, want %s of %d rows", got, learnt, len(want))
	}
	back, err := artifact.Decode(all, parts)
	if err != nil {
		t.Fatal(err)
	}
	var scored [2][]float32
	for i, phase := range []pipeline.Phase{pipeline.InTraining, pipeline.InScoring} {
		s, err := back.NewScorer(phase)
		if err != nil {
			t.Fatal(err)
		}
		batch := tabletest.Batch(memory.DefaultAllocator, s.Input(), 0, []any{int64(1), 3.5, true}, []any{int64(2), nil, false})
		_, predictions, err := s.Score(t.Context(), batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		scored[i] = slices.Clone(predictions)
	}
	if diff := cmp.Diff(scored[0], scored[1]); diff != "" || len(scored[0]) != 2 {
		t.Errorf("a shard and the stream score %v and %v", scored[0], scored[1])
	}
	parts[artifact.PartSteps] = []byte(`{"2 median":1}`)
	if _, err := artifact.Decode(all, parts); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("an artifact with what another run has learnt: %v", err)
	}
	delete(parts, artifact.PartSteps)
	if _, err := artifact.Decode(all, parts); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("an artifact without what it has learnt: %v", err)
	}
}
