package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// summary is what the demo found, as printed and as written to
// summary.json.
type summary struct {
	Data           string             `json:"data"`
	RowsIn         int64              `json:"rows_in"`
	RowsTrain      int64              `json:"rows_train"`
	RowsValidation int64              `json:"rows_validation"`
	RowsTest       int64              `json:"rows_test"`
	Dropped        map[string]int64   `json:"dropped"`
	Versions       []version          `json:"versions"`
	EventsStreamed int64              `json:"events_streamed"`
	EventsScored   int64              `json:"events_scored"`
	DeadLetters    int64              `json:"dead_letters"`
	RowsByVersion  map[string]int64   `json:"rows_by_model_version"`
	Stream         map[string]float64 `json:"stream"`
	Fsck           string             `json:"fsck"`
	Results        []string           `json:"results"`
	Seconds        float64            `json:"seconds"`
}

type version struct {
	Version   uint64             `json:"version"`
	Run       string             `json:"run"`
	Metrics   map[string]float64 `json:"metrics"`
	RunSecond float64            `json:"seconds"`
}

// summarise checks the committed results and computes the stream's metrics
// from the scored rows as any reader would see them.
func (d *demo) summarise(ctx context.Context, first, second *apiv1.Run, sent int64) (*summary, error) {
	s := &summary{Data: d.data, EventsStreamed: sent, Dropped: map[string]int64{}, RowsByVersion: map[string]int64{},
		RowsIn: first.Counts["rows_in"], RowsTrain: first.Counts["rows.train"],
		RowsValidation: first.Counts["rows.validation"], RowsTest: first.Counts["rows.test"]}
	for name, n := range first.Counts {
		if reason, ok := strings.CutPrefix(name, "dropped: "); ok {
			s.Dropped[reason] = n
		}
	}
	for _, r := range []*apiv1.Run{first, second} {
		s.Versions = append(s.Versions, version{Version: r.ModelVersion, Run: r.Id, Metrics: r.Metrics,
			RunSecond: float64(r.EndedAtUnixMs-r.StartedAtUnixMs) / 1000})
	}
	d.say("Checking the results: thalweg fsck.")
	verdict, err := d.client.Judge(ctx, d.parsed.Metadata.Name, "")
	if err != nil {
		return nil, err
	}
	fmt.Fprint(d.out, verdict)
	if !verdict.OK() {
		return nil, &thalweg.Error{Op: "check results", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%d violations", len(verdict.Violations))}
	}
	s.Fsck, s.EventsScored, s.DeadLetters = "ok", verdict.Scored, verdict.Dead
	if s.EventsScored+s.DeadLetters != sent {
		return nil, &thalweg.Error{Op: "check results", Kind: thalweg.Lost,
			Subject: fmt.Sprintf("%d events streamed, %d scored, %d dead letters", sent, s.EventsScored, s.DeadLetters)}
	}
	return s, d.copyResults(ctx, s)
}

// copyResults copies the scored files out of the store and measures how well
// the stream was scored.
func (d *demo) copyResults(ctx context.Context, s *summary) error {
	dir := filepath.Join(d.dir, "results")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	live, err := d.client.OpenStream(ctx, d.parsed.Metadata.Name)
	if err != nil {
		return err
	}
	bucket, prefix := live.Live.Bucket, live.Live.Prefix
	measured, err := metric.New(d.parsed.Entries(pipeline.Metrics), pipeline.Answer{Type: "binary", Threshold: 0.5})
	if err != nil {
		return err
	}
	for info, err := range bucket.List(ctx, prefix+"data/", "") {
		if err != nil {
			return err
		}
		body, _, err := bucket.Get(ctx, info.Key)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(info.Key, prefix+"data/"), "/", "_"))
		if err := os.WriteFile(path, body, 0o644); err != nil {
			return err
		}
		s.Results = append(s.Results, path)
		if err := d.measure(info.Key, body, measured, s.RowsByVersion); err != nil {
			return err
		}
	}
	s.Stream = measured.Values()
	return nil
}

// measure reads one scored file: it observes predictions against the label and
// counts rows by model version.
func (d *demo) measure(name string, body []byte, into metric.Accumulator, versions map[string]int64) error {
	label := d.parsed.Spec.OutputFeatures[0]
	var program *expression.Program
	for read, err := range engine.ReadRows(name, body) {
		if err != nil {
			return err
		}
		batch := read.Rows
		if program == nil {
			if program, err = expression.Compile(label.Expression, read.Schema, time.UTC); err != nil {
				return err
			}
		}
		truth, err := program.Eval(batch)
		if err != nil {
			return err
		}
		column := func(name string) arrow.Array { return batch.Column(batch.Schema().FieldIndices(name)[0]) }
		probability := column("probability").(*array.Float64)
		version := column("_model_version").(*array.Int64)
		late := truth.(*array.Boolean)
		var predictions, labels []float32
		for i := range int(batch.NumRows()) {
			versions[fmt.Sprint(version.Value(i))]++
			if late.IsNull(i) {
				continue
			}
			y := float32(0)
			if late.Value(i) {
				y = 1
			}
			predictions, labels = append(predictions, float32(probability.Value(i))), append(labels, y)
		}
		truth.Release()
		into.Observe(predictions, labels)
	}
	return nil
}

func (s *summary) write(path string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func (s *summary) print(w io.Writer, dir string) {
	fmt.Fprintf(w, "\nSummary\n")
	fmt.Fprintf(w, "  rows in            %s (train %s, validation %s, test %s)\n", humanize.Comma(s.RowsIn), humanize.Comma(s.RowsTrain), humanize.Comma(s.RowsValidation), humanize.Comma(s.RowsTest))
	if len(s.Dropped) == 0 {
		fmt.Fprintf(w, "  rows dropped       none\n")
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Dropped)) {
		fmt.Fprintf(w, "  rows dropped       %s: %s\n", humanize.Comma(s.Dropped[reason]), reason)
	}
	for _, v := range s.Versions {
		fmt.Fprintf(w, "  version %d          validation log loss %.4f, ROC AUC %.4f; test log loss %.4f, ROC AUC %.4f (run %s, %.1f s)\n", v.Version,
			v.Metrics["validation.log_loss"], v.Metrics["validation.roc_auc"], v.Metrics["test.log_loss"], v.Metrics["test.roc_auc"], v.Run, v.RunSecond)
	}
	fmt.Fprintf(w, "  events             %s streamed, %s scored, %s dead letters\n", humanize.Comma(s.EventsStreamed), humanize.Comma(s.EventsScored), humanize.Comma(s.DeadLetters))
	fmt.Fprintf(w, "  scored stream      log loss %.4f, ROC AUC %.4f\n", s.Stream["log_loss"], s.Stream["roc_auc"])
	for _, v := range slices.Sorted(maps.Keys(s.RowsByVersion)) {
		fmt.Fprintf(w, "  by model version   %s: %s rows\n", v, humanize.Comma(s.RowsByVersion[v]))
	}
	fmt.Fprintf(w, "  results            %d Parquet files in %s\n", len(s.Results), filepath.Join(dir, "results"))
	fmt.Fprintf(w, "  took               %.1f s\n", s.Seconds)
	glob := filepath.Join(dir, "results", "*.parquet")
	fmt.Fprintf(w, "\nRead them\n")
	fmt.Fprintf(w, "  duckdb -c \"SELECT origin, avg(probability) AS p, count(*) FROM '%s' GROUP BY origin ORDER BY p DESC LIMIT 5\"\n", glob)
	fmt.Fprintf(w, "  python3 -c \"import pandas as pd; print(pd.read_parquet('%s').head())\"\n", filepath.Join(dir, "results"))
}
