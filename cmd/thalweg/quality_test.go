package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/connectors/kafka"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/labels"
)

// answersSpec is a pipeline whose labels come later, from where it is told.
func answersSpec(labels string) string {
	return fmt.Sprintf(`apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: answers}
spec:
  sources:
    train:  {s3: {path: "s3://lake/answers/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: questions}, format: {type: json}}
  schema:
    columns:
      - {name: id, type: string, from: key}
      - {name: x, type: float64}
      - {name: grp, type: string}
      - {name: y, type: int64, available_in: [training]}
  input_features: [{name: x, type: number}, {name: grp, type: category}]
  output_features: [{name: yes, type: binary, expression: "y > 0"}]
  trainer: {epochs: 3}
  evaluation: {slices: [{columns: [grp], min_rows: 10}]}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/answers/"}, format: {type: parquet}, rolling: {period: 200ms}}
  monitoring: {labels: %s}
`, labels)
}

// answerOf is whether a question is answered by yes.
func answerOf(i int) int64 {
	if (i*37)%200 > 90+i%20 {
		return 1
	}
	return 0
}

// putAnswers writes questions with their answers as a file, of the rows and columns named.
func putAnswers(t *testing.T, c *embedded.Cluster, key string, rows int, columns ...string) {
	t.Helper()
	of := map[string]arrow.DataType{"id": table.String.ArrowType(), "x": arrow.PrimitiveTypes.Float64, "grp": table.String.ArrowType(), "y": arrow.PrimitiveTypes.Int64}
	var fields []arrow.Field
	for _, name := range columns {
		fields = append(fields, arrow.Field{Name: name, Type: of[name]})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for i := range rows {
		for k, name := range columns {
			switch f := b.Field(k).(type) {
			case *array.BinaryDictionaryBuilder:
				_ = f.AppendString(map[string]string{"id": fmt.Sprintf("q%d", i), "grp": string(rune('a' + i%3))}[name]) // takes any
			case *array.Float64Builder:
				f.Append(float64((i * 37) % 200))
			case *array.Int64Builder:
				f.Append(answerOf(i))
			}
		}
	}
	rec := b.NewRecord()
	defer rec.Release()
	var body bytes.Buffer
	w, err := dataset.NewWriter(&body, rec.Schema(), dataset.WriterConfig{})
	if err == nil {
		err = w.Write(rec)
	}
	if err == nil {
		err = w.Close()
	}
	bucket, missing := c.Connections.Bucket(t.Context(), "", "lake")
	if err == nil && missing == nil {
		_, err = bucket.Put(t.Context(), key, body.Bytes())
	}
	if err != nil || missing != nil {
		t.Fatal(err, missing)
	}
}

// TestQualityOfAStreamByItsLabels: labels of a topic and of files are joined to scored rows on a
// worker, and a pipeline is trained on the rows as they were scored, and on the labels.
func TestQualityOfAStreamByItsLabels(t *testing.T) {
	const events, labelled = 240, 150
	c := parallelDev(t, embedded.Config{})
	cl := client(t, c)
	putAnswers(t, c, "answers/1.parquet", 600, "id", "x", "grp", "y")
	putAnswers(t, c, "outcomes/1.parquet", labelled, "id", "y")
	produce := func(topic string, messages []kafka.Message) {
		t.Helper()
		producer, err := kafka.NewProducer(kafka.Config{Brokers: []string{c.Endpoints.Kafka}, Topic: topic}, kafka.ProducerConfig{})
		if err == nil {
			defer producer.Close()
			err = producer.CreateTopic(t.Context(), 2)
		}
		if err == nil {
			err = producer.Produce(t.Context(), messages)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var questions, outcomes []kafka.Message
	at := time.Now().Add(-time.Hour)
	for i := range events {
		key := []byte(fmt.Sprintf("q%d", i))
		questions = append(questions, kafka.Message{Key: key, Value: fmt.Appendf(nil, `{"x":%d,"grp":"%c"}`, (i*37)%200, 'a'+i%3)})
		if i < labelled {
			outcomes = append(outcomes, kafka.Message{Key: key, Value: fmt.Appendf(nil, `{"y":%d}`, answerOf(i)), Time: at.Add(time.Second)})
			if i%10 == 0 { // what was thought before, and came late
				outcomes = append(outcomes, kafka.Message{Key: key, Value: fmt.Appendf(nil, `{"y":%d}`, 1-answerOf(i)), Time: at})
			}
		}
	}
	outcomes = append(outcomes, kafka.Message{Key: []byte("q1"), Value: []byte("no JSON"), Time: at}, kafka.Message{Key: []byte("nobody"), Value: []byte(`{"y":1}`), Time: at})
	produce("questions", questions)
	produce("outcomes", outcomes)
	applyAndWait(t, cl, answersSpec("{kafka: {topic: outcomes}, key: id, column: y}"))
	eventually(t, "all events to be scored", func() error {
		res, err := cl.StreamStatus(t.Context(), &apiv1.StreamStatusRequest{Pipeline: "answers"})
		committed := int64(0)
		for _, p := range res.GetPartitions() {
			committed += max(0, p.Committed)
		}
		if err == nil && committed < events {
			err = fmt.Errorf("%d of %d are committed", committed, events)
		}
		return err
	})

	// What is expected comes from the rows themselves.
	text, err := command(t, c, "results", "answers", "--head", "1000", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	logLoss := 0.0
	for line := range strings.Lines(text) {
		var row struct {
			ID          string  `json:"id"`
			Probability float64 `json:"probability"`
		}
		i := 0
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if _, err := fmt.Sscanf(row.ID, "q%d", &i); err == nil && i < labelled {
			p := row.Probability
			if answerOf(i) == 0 {
				p = 1 - p
			}
			logLoss -= math.Log(p) / labelled
		}
	}
	quality := func(args ...string) *labels.Report {
		t.Helper()
		text, err := command(t, c, append([]string{"quality", "answers", "-o", "json"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		r := parsed[labels.Report](t, text)
		return &r
	}
	measured := func(what string, r *labels.Report) {
		t.Helper()
		if r.Rows != events || r.Labelled != labelled || len(r.Versions) != 1 || r.Versions[0].Unmeasured != "" {
			t.Fatalf("%s: %+v, %+v", what, r, r.Versions)
		}
		v := r.Versions[0]
		if got := v.Live[metric.LogLoss]; math.Abs(got.Value-logLoss) > 1e-6 || got.Interval == nil || v.Judged != "test" || v.Trained[metric.ROCAUC].Value == 0 || len(v.Slices) != 3 {
			t.Errorf("%s: log loss %v, want %v; trained %v; %d slices", what, got, logLoss, v.Trained, len(v.Slices))
		}
	}
	r := quality()
	measured("of a topic", r)
	if r.Labels.Repeated != labelled/10 || r.Labels.Unmatched != 1 || r.Rejected != 1 || !strings.Contains(r.First, "outcomes/") {
		t.Errorf("labels: %+v, %d rejected: %s", r.Labels, r.Rejected, r.First)
	}
	if old := quality("--until", "2020-01-01T00:00:00Z"); old.Rows != 0 || old.Labelled != 0 {
		t.Errorf("before the stream was there: %+v", old)
	}

	// Labels of files: a spec that names them trains nothing anew.
	res, err := cl.Apply(t.Context(), &apiv1.ApplyRequest{Spec: answersSpec(`{s3: {path: "s3://lake/outcomes/*.parquet"}, key: id, column: y, within: 1d}`)})
	if err != nil || res.RunId != "" || !res.Changed {
		t.Fatalf("%v, %v", res, err)
	}
	measured("of files", quality())
	if shown, err := command(t, c, "quality", "answers"); err != nil || !strings.Contains(shown, "version 1: 150 of 240 rows have a label") || !strings.Contains(shown, "log_loss") {
		t.Errorf("%v\n%s", err, shown)
	}

	// A pipeline of its own trains on the rows as they were scored.
	run := applyAndWait(t, cl, `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: as-scored}
spec:
  sources:
    train:
      s3: {path: "s3://lake/scored/answers/"}
      format: {type: delta}
      label_file: {s3: {path: "s3://lake/outcomes/*.parquet"}, key: id, columns: [y]}
  schema:
    columns:
      - {name: id, type: string}
      - {name: x, type: float64}
      - {name: grp, type: string}
      - {name: y, type: int64, available_in: [training]}
  input_features: [{name: x, type: number}, {name: grp, type: category}]
  output_features: [{name: yes, type: binary, expression: "y > 0"}]
  trainer: {epochs: 3}
`)
	if run.State != "succeeded" || run.ModelVersion != 1 || run.Counts["rows_in"] != events || run.Counts["dropped: the label is null"] != events-labelled {
		t.Errorf("training as it was scored: %s, version %d, %v", run.State, run.ModelVersion, run.Counts)
	}
}
