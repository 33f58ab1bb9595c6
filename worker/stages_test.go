package worker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
)

const (
	flightShards = 4
	flightRows   = 500 // of a shard
)

const flightSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights}
spec:
  sources:
    train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
  preprocessing:
    clean:
      - {filter: {expression: "distance > 0"}}
  input_features:
    - {name: distance, type: number}
    - {name: origin, type: category}
    - {name: gates, type: list}
    - {name: first, type: number, expression: "gates[0]"}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15", threshold: {optimize: f1}}
  trainer: {epochs: 2, batch_size: 64, distributed: {replicas: 2, sync_every: 4}}
  evaluation: {slices: [{columns: [origin], min_rows: 20}, {columns: [distance], min_rows: 1}]}
`

// flightFile is one shard of flights, some of which the filter drops.
func flightFile(t *testing.T, shard int) []byte {
	t.Helper()
	return delayedFile(t, shard, func(_ int, delay int64) int64 { return delay })
}

// delayedFile is flightFile with other delays, by row.
func delayedFile(t *testing.T, shard int, delayed func(row int, delay int64) int64) []byte {
	t.Helper()
	random := rand.New(rand.NewPCG(7, uint64(shard)))
	schema := arrow.NewSchema([]arrow.Field{{Name: "distance", Type: arrow.PrimitiveTypes.Int64}, {Name: "delay", Type: arrow.PrimitiveTypes.Int64},
		{Name: "origin", Type: arrow.BinaryTypes.String}, {Name: "gates", Type: arrow.ListOf(arrow.PrimitiveTypes.Float32), Nullable: true}}, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	for row := range flightRows {
		distance := random.Int64N(3000) - 100
		rows.Field(0).(*array.Int64Builder).Append(distance)
		rows.Field(1).(*array.Int64Builder).Append(delayed(row, random.Int64N(60)-distance/200))
		rows.Field(2).(*array.StringBuilder).Append(fmt.Sprint("airport ", random.IntN(9)))
		gates := rows.Field(3).(*array.ListBuilder)
		if random.IntN(9) == 0 {
			gates.AppendNull()
			continue
		}
		gates.Append(true)
		if random.IntN(9) > 0 {
			gates.ValueBuilder().(*array.Float32Builder).AppendValues([]float32{random.Float32(), 0, float32(distance)}, []bool{true, random.IntN(9) > 0, true})
		}
	}
	batch := rows.NewRecord()
	defer batch.Release()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// batchHalf carries out the batch half of a spec as coordinators would have it
// done.
type batchHalf struct {
	t      *testing.T
	worker *Worker
	lake   storage.Bucket
	spec   string             // default flightSpec
	after  func(stage string) // called after each stage, if not nil
	shards uint32             // default flightShards
	inputs map[string]string
	counts map[string]int64
	began  time.Time // of the run
}

// lease is one that reads what the stages so far have left.
func (b *batchHalf) lease() *apiv1.Lease {
	return &apiv1.Lease{RunId: "flights-1-1", Pipeline: "flights", Spec: cmp.Or(b.spec, flightSpec), Inputs: maps.Clone(b.inputs)}
}

func newBatchHalf(t *testing.T) *batchHalf {
	t.Helper()
	opener := storememory.NewOpener("thalweg", "lake")
	lake, err := opener.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	for i := range flightShards {
		if _, err := lake.Put(t.Context(), fmt.Sprintf("flights/%d.parquet", i), flightFile(t, i)); err != nil {
			t.Fatal(err)
		}
	}
	w, err := New(t.Context(), nil, stores{opener}, slog.New(slog.DiscardHandler), Config{SpecCatalog: catalog.All(), ID: "w", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.listener.Close() })
	return &batchHalf{t: t, worker: w, lake: lake, inputs: map[string]string{}, counts: map[string]int64{}}
}

// task carries one lease out.
func (b *batchHalf) task(lease *apiv1.Lease) *apiv1.TaskReport {
	b.t.Helper()
	lease.RunId, lease.Pipeline, lease.Spec, lease.Inputs = "flights-1-1", "flights", cmp.Or(lease.Spec, b.spec, flightSpec), maps.Clone(b.inputs)
	lease.RunStartedAtUnixMs = b.began.UnixMilli()
	lease.TaskId = fmt.Sprintf("%s/%s@%d", lease.RunId, lease.Kind, lease.Index)
	r, err := b.worker.cfg.Stages.begin(b.worker, lease)
	if err != nil {
		return failure(err)
	}
	return r.run(b.t.Context())
}

// reported carries out a stage, one over shards by so many tasks, and returns
// the reducer's report, or that of a task that fails.
func (b *batchHalf) reported(stage stages.Plan, tasks uint32) *apiv1.TaskReport {
	b.t.Helper()
	shards := cmp.Or(b.shards, flightShards)
	partials, counts := make([][]string, max(1, stage.Reducers)), make(map[string]int64) // by reducer
	over := tasks
	if stage.Over != stages.OverShards {
		over = stage.Number
	}
	for i := range over {
		lease := &apiv1.Lease{Kind: stage.Name, Index: i, Reducers: uint32(len(partials))}
		if stage.Over == stages.OverShards {
			lease.ShardFrom, lease.ShardTo = i*shards/tasks, (i+1)*shards/tasks
		}
		before := uint32(0)
		for _, n := range stage.Waves {
			if i < before+n {
				lease.Partials = partials[0][:before]
				break
			}
			before += n
		}
		report := b.task(lease)
		if report.Error != "" {
			return report
		}
		if len(report.Partials) != len(partials) {
			b.t.Fatalf("%s@%d: %v", stage.Name, i, report)
		}
		for to, partial := range report.Partials {
			partials[to] = append(partials[to], partial)
		}
		b.counts[stage.Name] += report.Counts["rows"]
		for name, n := range report.Counts {
			counts[name] += n
		}
		delete(counts, "rows")
		b.counts[stage.Name+" kept"] += report.Counts["shards.kept"]
	}
	if len(partials) == 1 {
		return b.task(&apiv1.Lease{Kind: stage.Name, Reduce: true, Reducers: 1, Partials: partials[0]})
	}
	all := &apiv1.TaskReport{Outputs: map[string]string{}, Counts: maps.Clone(counts)}
	for i := range stage.Reducers {
		report := b.task(&apiv1.Lease{Kind: stage.Name, Reduce: true, Index: i, Reducers: stage.Reducers, Partials: partials[i]})
		if report.Error != "" {
			return report
		}
		for name, n := range report.Counts {
			all.Counts[name] += n
		}
		for name, ref := range report.Outputs { // as coordinators call them
			all.Outputs[fmt.Sprintf("%s@%d", name, i)] = ref
		}
	}
	return all
}

// stage is reported of a stage that must not fail.
func (b *batchHalf) stage(stage stages.Plan, tasks uint32) *apiv1.TaskReport {
	b.t.Helper()
	report := b.reported(stage, tasks)
	if report.Error != "" {
		b.t.Fatalf("%s: %v", stage.Name, report)
	}
	return report
}

// plan returns the stages of the spec's run.
func (b *batchHalf) plan() []stages.Plan {
	b.t.Helper()
	spec, err := pipeline.Parse(catalog.All(), "flights.yaml", []byte(cmp.Or(b.spec, flightSpec)))
	if err != nil {
		b.t.Fatal(err)
	}
	plan, err := Stages().Plan(spec, "", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return plan
}

// upTo carries out stages until one fails, or up to the last, and returns its report.
func (b *batchHalf) upTo(last string, tasks uint32) (report *apiv1.TaskReport) {
	b.t.Helper()
	for _, stage := range b.plan() {
		report = b.reported(stage, tasks)
		maps.Copy(b.inputs, report.Outputs)
		maps.Copy(b.counts, report.Counts)
		if report.Error != "" || stage.Name == last {
			break
		}
	}
	return report
}

// all goes through every stage and returns the sha256 of each output, the
// metrics and the counts.
func (b *batchHalf) all(tasks uint32) (map[string]string, map[string]float64, map[string]int64) {
	b.t.Helper()
	metrics := make(map[string]float64)
	for _, stage := range b.plan() {
		var report *apiv1.TaskReport
		switch stage.Over {
		case stages.OverNothing:
			continue
		case stages.OverReplicas:
			if n := b.counts["replicas"]; n != 2 || stage.Number != 0 {
				b.t.Fatalf("%d replicas, %d planned", n, stage.Number)
			}
			report = b.replicas(stage, 2)
		default:
			report = b.stage(stage, tasks)
		}
		for _, name := range stage.Outputs {
			if stage.Reducers > 1 {
				name += "@0"
			}
			if report.Outputs[name] == "" {
				b.t.Errorf("%s left no %s", stage.Name, name)
			}
		}
		maps.Copy(b.inputs, report.Outputs)
		maps.Copy(metrics, report.Metrics)
		maps.Copy(b.counts, report.Counts)
		delete(b.counts, "rows") // progress, for show: that of a replica depends on when it is asked
		if b.after != nil {
			b.after(stage.Name)
		}
	}
	hashes := make(map[string]string)
	for name, ref := range b.inputs {
		hashes[name] = ref[strings.IndexByte(ref, '#')+1:]
	}
	return hashes, metrics, b.counts
}

// replicas trains on one worker, which holds both.
func (b *batchHalf) replicas(stage stages.Plan, n uint32) *apiv1.TaskReport {
	b.t.Helper()
	reports := make([]*apiv1.TaskReport, n)
	var group sync.WaitGroup
	var peers []*apiv1.Peer
	for i := range n {
		peers = append(peers, &apiv1.Peer{Replica: i, Worker: "w", Address: b.worker.ExchangeAddress()})
	}
	for i := range n {
		group.Go(func() { reports[i] = b.task(&apiv1.Lease{Kind: stage.Name, Index: i, Peers: peers}) })
	}
	group.Wait()
	if reports[0].Error != "" || !maps.Equal(reports[0].Outputs, reports[1].Outputs) {
		b.t.Fatalf("replicas report %v", reports)
	}
	return reports[0]
}

// The stages leave the same bytes however the shards are shared out among tasks.
func TestTheBatchHalfLeavesTheSameHoweverShardsAreSharedOut(t *testing.T) {
	want, metrics, counts := newBatchHalf(t).all(flightShards)
	if counts["shards"] != flightShards || counts["clean"] != flightShards*flightRows || counts["rows_in"] != flightShards*flightRows ||
		counts["rows_clean"] >= counts["rows_in"] || counts["rows.training"]+counts["rows.train"] == 0 {
		t.Errorf("counts %v", counts)
	}
	if metrics["test.roc_auc"] <= 0.5 || metrics["train.epochs"] == 0 {
		t.Errorf("metrics %v", metrics)
	}
	if want["evaluation"] == "" || metrics["test.roc_auc.low"] >= metrics["test.roc_auc"] || metrics["test.roc_auc.high"] <= metrics["test.roc_auc"] {
		t.Errorf("evaluation %s, metrics %v", want["evaluation"], metrics)
	}
	// What is best on the validation rows need not be 0.5, and is measured on both splits.
	if at := metrics["threshold"]; at <= 0 || at >= 1 || at == 0.5 || metrics["validation.f1"] <= 0 || metrics["test.f1"] <= 0 {
		t.Errorf("threshold %v, metrics %v", at, metrics)
	}
	for _, tasks := range []uint32{1, 3} {
		got, gotMetrics, gotCounts := newBatchHalf(t).all(tasks)
		if !maps.Equal(got, want) || !maps.Equal(gotMetrics, metrics) || !maps.Equal(gotCounts, counts) {
			t.Errorf("by %d tasks: %v %v %v, by one a shard: %v %v %v", tasks, got, gotMetrics, gotCounts, want, metrics, counts)
		}
	}
}

// Rows that are not measured need not be scored, nor shards read that have none that
// are: the sums are those of scoring all rows.
func TestEvaluationScoresTheRowsThatItMeasures(t *testing.T) {
	b := newBatchHalf(t)
	b.all(1)
	lease := &apiv1.Lease{Pipeline: "flights", Spec: flightSpec, Inputs: b.inputs}
	trained, err := b.worker.artifact(t.Context(), b.inputs["checkpoint"])
	if err != nil {
		t.Fatal(err)
	}
	const shard = flightShards - 1
	d, err := b.worker.openData(t.Context(), lease)
	if err != nil {
		t.Fatal(err)
	}
	fit := fitted{Rows: [][split.Count]int64{shard: {1, 1, 1}}}
	got, err := d.evaluate(t.Context(), trained, nil, &fit, shard)
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := trained.NewScorer(pipeline.InTraining)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0.0
	for i, s := range evaluatedSplits {
		sums, err := d.sample(trained, false)
		if err != nil {
			t.Fatal(err)
		}
		for batch, err := range d.batches(t.Context(), shard, new(pipeline.Report)) {
			if err != nil {
				t.Fatal(err)
			}
			cleaned, predictions, err := scorer.Score(t.Context(), batch, nil)
			if err != nil {
				t.Fatal(err)
			}
			parts, err := d.cuts.Assign(d.plan, cleaned, d.origin(shard), nil)
			if err != nil {
				t.Fatal(err)
			}
			labels, _, err := trained.Transform.Labels(cleaned, nil)
			if err != nil {
				t.Fatal(err)
			}
			var p, y []float32
			var fold []uint8
			for row, of := range parts {
				if of == s {
					p, y = append(p, predictions[row]), append(y, labels[row])
					fold = append(fold, metric.Part(d.plan.Spec.Spec.Trainer.Seed, shard, table.Rows(cleaned)[row]))
				}
			}
			sums.Observe(p, y, fold)
			cleaned.Release()
		}
		want, err := json.Marshal(sums)
		if err != nil || !bytes.Equal(got.Sums[i], want) {
			t.Errorf("%s: %s, want %s, %v", split.Names[s], got.Sums[i], want, err)
		}
		rows += sums.Whole().Values()[metric.Rows]
	}
	fit.Rows[shard] = [split.Count]int64{1, 0, 0}
	none, err := d.evaluate(t.Context(), trained, nil, &fit, shard)
	if err != nil || rows == 0 || bytes.Equal(none.Sums[0], got.Sums[0]) {
		t.Errorf("%v rows are measured, and of a shard without any %s, %v", rows, none.Sums[0], err)
	}
	if read := d.progress.Load(); read != 4*flightRows {
		t.Errorf("progress is %d rows", read)
	}
}

// Objects of other widths, with more columns and fewer, beside files that are no
// data: the model is of the same rows.
func TestObjectsThatDifferTrainTheModelTogether(t *testing.T) {
	b := newBatchHalf(t)
	lake, _, err := b.worker.location(t.Context(), "", "s3://lake/flights/")
	if err != nil {
		t.Fatal(err)
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "unused", Type: arrow.FixedWidthTypes.Boolean}, {Name: "delay", Type: arrow.PrimitiveTypes.Int32},
		{Name: "distance", Type: arrow.PrimitiveTypes.Int32}}, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	for i := range flightRows {
		rows.Field(0).(*array.BooleanBuilder).Append(i%2 == 0)
		rows.Field(1).(*array.Int32Builder).Append(int32(i % 40))
		rows.Field(2).(*array.Int32Builder).Append(int32(i + 1))
	}
	batch := rows.NewRecord()
	defer batch.Release()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{})
	if err == nil {
		err = errors.Join(w.Write(batch), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for key, body := range map[string][]byte{"flights/2.parquet": out.Bytes(), "flights/_tmp.parquet": []byte("half")} {
		if _, err := lake.Put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, counts := b.all(flightShards); counts["rows_in"] != flightShards*flightRows || counts["objects.passed_over"] != 1 {
		t.Errorf("counts %v", counts)
	}
}

func TestProgressIsOfTheTasksShards(t *testing.T) {
	b := newBatchHalf(t)
	maps.Copy(b.inputs, b.stage(stages.Plan{Name: "profile"}, 0).Outputs)
	lease := &apiv1.Lease{RunId: "r", Kind: "clean", Spec: flightSpec, Inputs: b.inputs, Reducers: 1, ShardFrom: 1, ShardTo: 3}
	r, err := b.worker.cfg.Stages.begin(b.worker, lease)
	if err != nil {
		t.Fatal(err)
	}
	r.run(t.Context())
	req := &apiv1.PollRequest{}
	r.fill(req)
	if p := req.Progress[0]; p.RowsDone != 2*flightRows || p.RowsTotal != 2*flightRows {
		t.Errorf("progress %v", p)
	}
}

// TestWhatARunFindsWrongWithASpecCitesTheUsersText: file, line and column are those
// that the user wrote, and not those of the rendered spec that the run goes by.
func TestWhatARunFindsWrongWithASpecCitesTheUsersText(t *testing.T) {
	b := newBatchHalf(t)
	written := "# A comment\n# or two\n\n" + strings.Replace(flightSpec, "{name: distance,", "{name: distnce,", 1)
	spec, err := pipeline.Parse(catalog.All(), "", []byte(written))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := pipeline.Render(spec)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(written, "{name: distnce,")
	if !found {
		t.Fatal("the spec has another form by now")
	}
	lease := &apiv1.Lease{RunId: "r", TaskId: "r/profile.reduce", Kind: "profile", Reduce: true, Reducers: 1,
		Spec: string(rendered), SpecFile: "mine.yaml", SpecWritten: written}
	r, err := b.worker.cfg.Stages.begin(b.worker, lease)
	if err != nil {
		t.Fatal(err)
	}
	report := r.run(t.Context())
	if want := fmt.Sprintf("mine.yaml:%d:", 1+strings.Count(before, "\n")); !strings.Contains(report.Error, want) || !strings.Contains(report.Error, "distnce") {
		t.Errorf("%s\nwant %s", report.Error, want)
	}
}

// What no worker can mend fails the run at once, and the rest is tried again.
func TestFailuresSayWhetherAnotherWorkerMayDoBetter(t *testing.T) {
	b := newBatchHalf(t)
	maps.Copy(b.inputs, b.stage(stages.Plan{Name: "profile"}, 0).Outputs)
	clean := func() *apiv1.TaskReport {
		b.worker.datasets = recent[*data]{} // what it has read before needs no store
		return b.task(&apiv1.Lease{Kind: "clean", Reducers: 1, ShardTo: 1})
	}
	for _, test := range []struct {
		name      string
		spoil     func() *apiv1.TaskReport
		permanent bool
		says      string
	}{
		{"unknown stage", func() *apiv1.TaskReport { return b.task(&apiv1.Lease{Kind: "polish"}) }, false, "newer than this worker"},
		{"unknown verb", func() *apiv1.TaskReport { return b.task(&apiv1.Lease{Kind: "clean", Verb: "polish"}) }, false, "newer than this worker"},
		{"no reducer", func() *apiv1.TaskReport { return b.task(&apiv1.Lease{Kind: "profile"}) }, false, "newer than this worker"},
		{"unknown operator", func() *apiv1.TaskReport {
			newer := b.worker.cfg.SpecCatalog
			defer func() { b.worker.cfg.SpecCatalog = newer }()
			b.worker.cfg.SpecCatalog = pipeline.Catalog{}
			return clean()
		}, false, "newer than this worker"},
		{"no reference", func() *apiv1.TaskReport {
			return b.task(&apiv1.Lease{Kind: "clean", Reduce: true, Reducers: 1, Partials: []string{"x"}})
		}, true, "load partial 0"},
		{"store away", func() *apiv1.TaskReport {
			whole := b.worker.state
			b.worker.state = failing{whole}
			defer func() { b.worker.state = whole }()
			return clean()
		}, false, "away"},
		{"damaged manifest", func() *apiv1.TaskReport {
			ref, _ := thalweg.ParseObjectRef(b.inputs["manifest"])
			if _, err := b.worker.state.Put(t.Context(), ref.Key, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			return clean()
		}, false, "manifest"},
	} {
		if report := test.spoil(); report.Error == "" || report.Permanent != test.permanent || !strings.Contains(report.Error, test.says) {
			t.Errorf("%s: %v", test.name, report)
		}
	}
}

// failing is a bucket that cannot be read.
type failing struct{ storage.Bucket }

func (failing) Get(context.Context, string) ([]byte, storage.Info, error) {
	return nil, storage.Info{}, &thalweg.Error{Op: "get", Kind: thalweg.Unavailable, Err: errors.New("the store is away")}
}

func (failing) GetRange(context.Context, string, int64, []byte) error {
	return &thalweg.Error{Op: "get", Kind: thalweg.Unavailable, Err: errors.New("the store is away")}
}

func (failing) Head(context.Context, string) (storage.Info, error) {
	return storage.Info{}, &thalweg.Error{Op: "head", Kind: thalweg.Unavailable, Err: errors.New("the store is away")}
}

func TestPlansNameTheVerbsThereAre(t *testing.T) {
	_, err := Stages().Plan(nil, "polish", nil)
	if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), `["" "purge" "score"]`) {
		t.Errorf("an unknown verb: %v", err)
	}
}

// A run's plan has from the spec when tasks over shards are late.
func TestPlansSayWhenTasksAreLate(t *testing.T) {
	for text, want := range map[string]float64{"": stages.DefaultBackupAfter, "  trainer: {distributed: {straggler: {backup_after: 1.5}}}\n": 1.5} {
		spec, err := pipeline.Parse(catalog.All(), "spec.yaml", []byte("apiVersion: thalweg/v1\nkind: Pipeline\nmetadata: {name: a}\nspec:\n"+
			"  sources: {train: {s3: {path: \"s3://lake/*.parquet\"}, format: {type: parquet}}}\n"+
			"  input_features: [{name: x, type: number}]\n  output_features: [{name: y, type: number}]\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := Stages().Plan(spec, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plan {
			if late := p.BackupAfter; (late == want) != (p.Over == stages.OverShards) || late != want && late != 0 {
				t.Errorf("%s: tasks over %s are late after %v times the median, want %v", p.Name, p.Over, late, want)
			}
		}
	}
}
