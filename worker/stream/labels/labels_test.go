package labels

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	arrowmemory "github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const document = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flight-delays}
spec:
  sources:
    train:  {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  schema:
    columns:
      - {name: flight_id,   type: string, nullable: true}
      - {name: delay,       type: int64, nullable: true, available_in: [training]}
      - {name: distance,    type: int64, nullable: true}
      - {name: origin,      type: string, nullable: true}
  input_features:
    - {name: distance, type: number}
    - {name: origin,   type: category}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  evaluation:
    slices: [{columns: [origin], min_rows: 20}]
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/"}, format: {type: parquet}}
  monitoring:
    labels: {kafka: {topic: arrivals}, key: flight_id, column: delay, within: 7d}
`

var columns = table.Schema{Columns: []table.Column{
	{Name: "flight_id", Type: table.String, Nullable: true},
	{Name: "delay", Type: table.Int64, Nullable: true, TrainingOnly: true},
	{Name: "distance", Type: table.Int64, Nullable: true},
	{Name: "origin", Type: table.String, Nullable: true},
}}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func train(t *testing.T, version int) *artifact.Artifact {
	var rows [][]any
	for i := range int64(60) {
		rows = append(rows, []any{fmt.Sprint(i), i - 30, 100 + 17*i, fmt.Sprintf("A%d", i%3)})
	}
	return artifacttest.Train(t, document, columns, version, rows...)
}

// scored is a row as the stream has written it.
type scored struct {
	key         string
	probability float64
	version     int
	origin      string
}

// lake is scored rows of two versions, some of them too old.
type lake struct {
	Sources
	versions map[thalweg.ModelVersion]*Trained
	rows     []scored // in time, with a key
	all      int64    // in time
	spec     *pipeline.Spec
}

// day is when rows are asked for.
var day = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func newLake(t *testing.T, files, perFile int) *lake {
	b := memory.New()
	l := &lake{Sources: Sources{Bucket: b}, versions: map[thalweg.ModelVersion]*Trained{}}
	random := rand.New(rand.NewPCG(1, 2))
	for version := 1; version <= 2; version++ {
		l.versions[thalweg.ModelVersion(version)] = &Trained{Artifact: train(t, version), Judged: "test"}
	}
	l.spec = l.versions[1].Artifact.Spec
	l.Version = func(_ context.Context, v thalweg.ModelVersion) (*Trained, error) {
		if of := l.versions[v]; of != nil {
			return of, nil
		}
		return nil, &thalweg.Error{Op: "load", Kind: thalweg.NotFound, Subject: fmt.Sprint(v)}
	}
	for file := range files {
		version := 1 + file%2
		a := l.versions[thalweg.ModelVersion(version)].Artifact
		scorer, err := a.NewScorer(pipeline.InScoring)
		check(t, err)
		at := day.Add(-time.Hour)
		if file == 0 { // before those that are asked for
			at = day.Add(-8 * 24 * time.Hour)
		}
		var rows [][]any
		for i := range perFile {
			id := any(fmt.Sprintf("f%d-%d", file, i))
			if i%10 == 7 {
				id = nil
			}
			rows = append(rows, []any{id, int64(random.IntN(2000)), fmt.Sprintf("A%d", random.IntN(3))})
		}
		batch := tabletest.Batch(arrowmemory.DefaultAllocator, scorer.Input(), int64(1000*file), rows...)
		cleaned, predictions, err := scorer.Score(t.Context(), batch, nil)
		check(t, err)
		if file > 0 {
			for i, row := range rows {
				if l.all++; row[0] != nil {
					l.rows = append(l.rows, scored{row[0].(string), float64(predictions[i]), version, row[2].(string)})
				}
			}
		}
		out, err := scorer.Output(cleaned, predictions, artifact.Origin{Topic: "flights", Version: thalweg.ModelVersion(version), Generation: 1, ScoredAt: at.UnixMicro()})
		check(t, err)
		var body bytes.Buffer
		w, err := dataset.NewWriter(&body, out.Schema(), dataset.WriterConfig{})
		check(t, err)
		check(t, w.Write(out))
		check(t, w.Close())
		name := fmt.Sprintf("scored/%d.parquet", file)
		_, err = b.Put(t.Context(), name, body.Bytes())
		check(t, err)
		l.Files = append(l.Files, name)
		batch.Release()
		cleaned.Release()
		out.Release()
	}
	return l
}

func (l *lake) request(dir string) Request {
	return Request{Spec: l.spec, Key: table.Column{Name: "flight_id", Type: table.String, Nullable: true}, Label: table.Column{Name: "delay", Type: table.Int64, Nullable: true},
		Since: day.Add(-7 * 24 * time.Hour), Until: day, Dir: dir}
}

// label is an event of the topic of labels.
type label struct {
	key, delay any
	at         int64
}

// offer has labels come in batches of two places.
func (l *lake) offer(t *testing.T, all []label) {
	l.Labels = func(_ context.Context, columns []table.Column, take func(arrow.Record, int, []int64) error) error {
		for part := range slices.Chunk(all, 50) {
			var rows [][]any
			var when []int64
			for _, x := range part {
				rows, when = append(rows, []any{x.key, x.delay}), append(when, x.at)
			}
			batch := tabletest.Batch(arrowmemory.DefaultAllocator, table.Schema{Columns: columns}, 0, rows...)
			if err := take(batch, 0, when); err != nil {
				return err
			}
			batch.Release()
		}
		return nil
	}
}

// brute measures rows by labels without any of the code that is tested.
func brute(rows []scored, labels map[string]int64, version int, origin string) (n int, auc, logLoss, brier float64) {
	var ones, zeros []float64
	for _, r := range rows {
		delay, ok := labels[r.key]
		if !ok || r.version != version || origin != "" && r.origin != origin {
			continue
		}
		n++
		if delay > 15 {
			ones = append(ones, r.probability)
			logLoss -= math.Log(r.probability)
			brier += (1 - r.probability) * (1 - r.probability)
		} else {
			zeros = append(zeros, r.probability)
			logLoss -= math.Log(1 - r.probability)
			brier += r.probability * r.probability
		}
	}
	for _, a := range ones {
		for _, b := range zeros {
			if a > b {
				auc++
			} else if a == b {
				auc += 0.5
			}
		}
	}
	return n, auc / float64(len(ones)*len(zeros)), logLoss / float64(n), brier / float64(n)
}

func close2(a, b, by float64) bool { return math.Abs(a-b) <= by }

// TestVersionsAreMeasuredByTheLastLabelOfEachKey whatever their order, with memory for a few
// rows as with enough; rows of before, without a key and without a label count for nothing.
func TestVersionsAreMeasuredByTheLastLabelOfEachKey(t *testing.T) {
	t.Parallel()
	l := newLake(t, 7, 120)
	random := rand.New(rand.NewPCG(3, 4))
	last := map[string]int64{}
	var all []label
	replaced := int64(0)
	for i, r := range l.rows {
		if i%4 == 1 {
			continue // its label has not come yet
		}
		delay := int64(random.IntN(60)) - 15
		all = append(all, label{r.key, delay, int64(1000 + i)})
		if i%5 == 0 {
			all = append(all, label{r.key, delay + 40, int64(1000 + i - 1)}) // came before, and is read later
			replaced++
		}
		last[r.key] = delay
	}
	random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	all = append(all, label{"nobody", int64(3), 1}, label{"nobody", int64(4), 2}, label{nil, int64(5), 3}, label{"f0-1", int64(5), 3})
	l.offer(t, all)
	for _, memoryBytes := range []int64{1, 1 << 20} {
		what := l.request(t.TempDir())
		what.Memory = memoryBytes
		r, err := Run(t.Context(), l.Sources, what, func(int64, int64, string) {})
		check(t, err)
		if r.Rows != l.all || r.Labelled != int64(len(last)) || r.Labels.Joined != r.Labelled || r.Labels.Keyless != 1 ||
			r.Labels.Repeated != replaced+1 || r.Labels.Unmatched != 2 || !close2(r.Rate.Value, float64(len(last))/float64(l.all), 1e-12) {
			t.Errorf("%+v", r)
		}
		if len(r.Versions) != 2 {
			t.Fatalf("%d versions", len(r.Versions))
		}
		for i, v := range r.Versions {
			n, auc, logLoss, brier := brute(l.rows, last, i+1, "")
			if v.Labelled != int64(n) || v.Unmeasured != "" {
				t.Errorf("version %d: %+v", i+1, v)
			}
			for name, want := range map[string]float64{metric.Rows: float64(n), metric.LogLoss: logLoss, metric.Brier: brier} {
				if got := v.Live[name].Value; !close2(got, want, 1e-9) {
					t.Errorf("version %d: %s is %v, want %v", i+1, name, got, want)
				}
			}
			if got := v.Live[metric.ROCAUC]; !close2(got.Value, auc, 1e-3) || got.Interval == nil { // probabilities in one bin are ties
				t.Errorf("version %d: AUC is %v, want %v", i+1, got, auc)
			}
			if len(v.Slices) != 3 {
				t.Errorf("version %d: slices %v, %v", i+1, v.Slices, v.Sliced.Skipped)
			}
			for _, s := range v.Slices {
				n, _, logLoss, _ := brute(l.rows, last, i+1, *s.Values[0])
				if s.Metrics[metric.Rows].Value != float64(n) || !close2(s.Metrics[metric.LogLoss].Value, logLoss, 1e-9) {
					t.Errorf("version %d, %s: %v, want %d rows with %v", i+1, s.Name(), s.Metrics, n, logLoss)
				}
			}
		}
	}
}

// TestWhatChanceDoesNotExplainIsCalledWorse, and what it does is not.
func TestWhatChanceDoesNotExplainIsCalledWorse(t *testing.T) {
	t.Parallel()
	l := newLake(t, 7, 120)
	var all []label
	for i, r := range l.rows {
		delay := int64(0)
		if r.probability < 0.5 { // the opposite of what was answered
			delay = 100
		}
		all = append(all, label{r.key, delay, int64(i)})
	}
	l.offer(t, all)
	good := metric.Estimate{Value: 0.4, Interval: &[2]float64{0.39, 0.41}}
	l.versions[1].Metrics = map[string]metric.Estimate{metric.LogLoss: good}
	l.versions[2].Metrics = map[string]metric.Estimate{metric.LogLoss: {Value: 0.4, Interval: &[2]float64{-100, 100}}}
	r, err := Run(t.Context(), l.Sources, l.request(t.TempDir()), func(int64, int64, string) {})
	check(t, err)
	if !slices.Equal(r.Versions[0].Worse, []string{metric.LogLoss}) || r.Versions[0].Change[metric.LogLoss].Interval[0] <= 0 {
		t.Errorf("version 1: %v, %v", r.Versions[0].Worse, r.Versions[0].Change)
	}
	if len(r.Versions[1].Worse) != 0 {
		t.Errorf("version 2: %v", r.Versions[1].Worse)
	}
}

// TestAVersionThatIsGoneIsNotMeasured, nor one with labels that are none; the others are.
func TestAVersionThatIsGoneIsNotMeasured(t *testing.T) {
	t.Parallel()
	l := newLake(t, 4, 40)
	delete(l.versions, 2)
	var all []label
	for i, r := range l.rows {
		all = append(all, label{r.key, int64(20 * (i % 2)), int64(i)})
	}
	l.offer(t, all)
	r, err := Run(t.Context(), l.Sources, l.request(t.TempDir()), func(int64, int64, string) {})
	check(t, err)
	if r.Versions[0].Unmeasured != "" || len(r.Versions[0].Live) == 0 || r.Versions[1].Unmeasured == "" || r.Versions[1].Labelled == 0 || len(r.Versions[1].Live) > 0 {
		t.Errorf("%+v, %+v", r.Versions[0], r.Versions[1])
	}
	l.offer(t, nil)
	r, err = Run(t.Context(), l.Sources, l.request(t.TempDir()), func(int64, int64, string) {})
	check(t, err)
	if r.Labelled != 0 || r.Rate.Value != 0 || len(r.Versions) != 2 {
		t.Errorf("without labels: %+v", r)
	}
}
