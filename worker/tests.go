package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/quality"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

const (
	// maxToldTests bounds the tests of which an error or the warnings of a run tell.
	maxToldTests = 8
	failingRows  = "failing rows"
)

// tests returns what tests a shard's cleaned rows where all cleaning steps have been
// applied for the first time: in the clean stage, or once steps have learnt in fit. It is
// nil elsewhere, and where there are no tests.
func (d *data) tests(ctx context.Context, shard int, learnt bool) (*quality.Observer, error) {
	if d.plan.Spec.Learns() != learnt {
		return nil, nil
	}
	o := quality.New(d.plan, pipeline.InTraining).NewObserver()
	if o == nil {
		return nil, nil
	}
	settled, err := d.settled(ctx, shard)
	o.With(settled)
	return o, err
}

// setAside writes the failing rows of a shard, which the reducer reads if it needs them,
// and takes them out of the report.
func (t *Task) setAside(ctx context.Context, shard int, rep *pipeline.Report) (reference string, err error) {
	rows := make(map[string][]pipeline.FailedRow)
	for name, of := range rep.Tests {
		if len(of.Rows) > 0 {
			rows[name], of.Rows = of.Rows, nil
		}
	}
	if len(rows) == 0 {
		return "", nil
	}
	return t.put(ctx, fmt.Sprintf("failing-%06d", shard), rows)
}

// judge holds what data tests found in all rows against their limits, and keeps failing
// rows. It does nothing in a stage that does not test.
func (t *Task) judge(ctx context.Context, d *data, learnt bool, rep *pipeline.Report, failing []string) error {
	tests := quality.New(d.plan, pipeline.InTraining)
	if tests == nil || d.plan.Spec.Learns() != learnt {
		return nil
	}
	lines, err := tests.Lines(t.Lease.RunId, len(failing), func(i int) (rows map[string][]pipeline.FailedRow, err error) {
		if failing[i] != "" {
			err = t.worker.load(ctx, failing[i], failingRows, &rows)
		}
		return rows, err
	})
	if err != nil {
		return err
	}
	kept := ""
	if len(lines) > 0 {
		ref, err := putLines(ctx, t, "rows.jsonl", lines)
		if err != nil {
			return err
		}
		kept = fmt.Sprintf("%s failing rows are in object %s of the state bucket", humanize.Comma(int64(len(lines))), ref.Key)
	}
	for test, severity := range tests.Severities() {
		if of := rep.Tests[test]; of != nil {
			t.worker.metrics.testFailed(d.plan.Spec.Metadata.Name, inRuns, test, severity, of.Failed)
		}
	}
	var champion *quality.Champion
	if tests.Compares() {
		if champion, err = t.references(ctx); err != nil {
			return err
		}
		if err := t.Save(ctx, "reference", quality.References(rep)); err != nil {
			return err
		}
	}
	j := tests.Judge(rep, lines, champion)
	if len(j.Errors) > 0 {
		text := strings.Join(told(j.Errors), "\n")
		if kept != "" {
			text += "\n" + kept
		}
		return &thalweg.Error{Op: "test rows", Kind: thalweg.Invalid, Subject: d.manifest.Path, Err: errors.New(text),
			Hint: "mend the data, add a cleaning step, or change the test's error_if or severity"}
	}
	for _, text := range told(j.Warnings) {
		if kept != "" {
			text += "; " + kept
		}
		t.warn("%s", text)
	}
	t.Report.Outputs["tests"] = shortened(j.Table)
	return nil
}

// references returns what the champion keeps of the rows that it was trained on; nil where
// there is none. That it cannot be read is no error: a run is how it can be replaced.
func (t *Task) references(ctx context.Context) (*quality.Champion, error) {
	input := t.Lease.Inputs[stages.ChampionInput]
	if input == "" {
		return nil, nil
	}
	v, err := t.worker.version(ctx, input)
	switch {
	case isPermanent(ctx, err):
		return &quality.Champion{Version: v.number, Flaw: fmt.Sprintf("version %d cannot be read: %v", v.number, err)}, nil
	case err != nil:
		return nil, err
	}
	return &quality.Champion{Version: v.number, References: v.References}, nil
}

// putLines keeps failing or rejected rows, a line of JSON each.
func putLines[T any](ctx context.Context, t *Task, name string, rows []T) (thalweg.ObjectRef, error) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	for _, row := range rows {
		if err := e.Encode(row); err != nil {
			return thalweg.ObjectRef{}, err
		}
	}
	return checkpoint.PutObject(ctx, t.worker.state, failingDir+t.Lease.RunId+"/"+name, body.Bytes())
}

// told cuts what tests say to what a run has room for.
func told(texts []string) []string {
	if more := len(texts) - maxToldTests; more > 0 {
		return append(texts[:maxToldTests:maxToldTests], fmt.Sprintf("%d more tests likewise", more))
	}
	return texts
}
