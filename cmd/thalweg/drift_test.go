package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/monitor"
	work "github.com/thalweg/thalweg/worker/jobs"
)

// watched asks for the drift of a stream that has scored n rows and counts each: none is missed
// or counted twice, and rows scored again as a batch have the same bits.
func watched(t *testing.T, c *embedded.Cluster, n int64) {
	t.Helper()
	text, _ := command(t, c, "drift", "flight-delays", "-o", "json") // the newest flights may well have drifted
	found := parsed[work.Drifted](t, text)
	var rows int64
	for _, w := range found.Windows {
		rows += w.Rows
		if w.Version != 1 || w.Reference == 0 || w.Score == nil || len(w.Features) != 5 || w.DeadLetters != 0 {
			t.Errorf("%+v", w)
			continue
		}
		hour := w.Features[slices.IndexFunc(w.Features, func(m *monitor.Measured) bool { return m.Name == "hour" })]
		if !hour.Ignored {
			t.Errorf("the hour is judged in a window of a day: %+v", hour)
		}
		if w.Rows >= 1000 && (w.Verdict == monitor.Unjudged || w.Score.PSI.High <= w.Score.PSI.Low) {
			t.Errorf("%+v", w)
		}
	}
	if rows != n || len(found.Windows) == 0 || found.Skew == nil || found.Skew.Rows == 0 || found.Skew.OtherBits > 0 {
		t.Errorf("%d of %d rows are counted: %s", rows, n, text)
	}
	if text, _ := command(t, c, "drift", "flight-delays"); !strings.Contains(text, "destination") || !strings.Contains(text, "0 have other bits") {
		t.Errorf("drift says %s", text)
	}
}

func TestDriftNamesWhatHasChanged(t *testing.T) {
	at := time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)
	measured := func(name string, psi float64, v monitor.Verdict) *monitor.Measured {
		return &monitor.Measured{Name: name, Estimates: drift.Estimates{PSI: drift.Estimate{Value: psi, Low: psi - 0.05, High: psi + 0.05}}, Most: "missing", Shares: [2]float64{0.01, 0.2}, Verdict: v}
	}
	d := &drifted{work.Drifted{Report: &monitor.Report{Metric: "psi", Windows: []*monitor.Judgment{
		{From: at, Version: 3, Rows: 12804, OneIn: 16, Verdict: monitor.Error, Score: measured("score", 0.02, monitor.OK), Features: []*monitor.Measured{measured("distance", 0.3123, monitor.Error)}},
		{From: at.Add(time.Hour), Version: 3, Rows: 40, OneIn: 16, Verdict: monitor.Unjudged, Why: "40 rows are counted", DeadLetters: 7, DeadRate: 0.01, Dead: map[string]int64{"decode: null event": 7}},
	}}}}
	var out bytes.Buffer
	d.table(&out)
	for _, want := range []string{"2026-11-30 20:00", "12,804", "distance", "0.312 [0.262, 0.362]", "missing: 20.0%, was 1.0%", "error", "7, 1.0%", "7 dead letters of the window from 2026-11-30 21:00: decode: null event", "40 rows are counted"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if err := d.failed("flight-delays"); err == nil || !strings.Contains(err.Error(), "distance of the window from 2026-11-30 20:00: 0.312") {
		t.Error(err)
	}
	d.Windows = d.Windows[1:]
	if err := d.failed("flight-delays"); err != nil {
		t.Error(err)
	}
}
