package sketch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/monitor"
)

// Metrics are those of the newest window that is judged, of a bounded number of features, the
// farthest among them, and are gone with the stream.
func TestMetricsAreOfTheNewestJudgedWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(psi float64, name string) *monitor.Measured {
			return &monitor.Measured{Name: name, Estimates: drift.Estimates{PSI: drift.Estimate{Value: psi}}, Verdict: monitor.OK}
		}
		judged := &monitor.Judgment{From: time.Unix(3600, 0), Rows: 5000, Verdict: monitor.OK, Score: at(0, "score")}
		for i := range 3 * maxMeasured {
			judged.Features = append(judged.Features, at(float64(i)/100, fmt.Sprint("f", i)))
		}
		judged.Features = append(judged.Features, at(9, "score"))
		report := &monitor.Report{Metric: pipeline.MetricPSI, Windows: []*monitor.Judgment{judged, {From: time.Unix(7200, 0), Rows: 5, Verdict: monitor.Unjudged}}}
		w := NewWatchers(prometheus.Labels{"worker": "w1"})
		registry := prometheus.NewRegistry()
		registry.MustRegister(w)
		series := func() map[string]int {
			all, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			out := make(map[string]int)
			for _, f := range all {
				out[f.GetName()] = len(f.Metric)
			}
			return out
		}
		ctx, cancel := context.WithCancel(t.Context())
		looks := 0
		go w.Watch(ctx, slog.New(slog.DiscardHandler), "flights", pipeline.Drift{Window: pipeline.Duration(time.Hour)}, func(context.Context, int) (*monitor.Report, error) {
			if looks++; looks == 1 {
				return nil, errors.New("the store is not there")
			}
			return report, nil
		})
		time.Sleep(2 * time.Minute)
		if found := series(); w.Newest("flights") != judged || found["thalweg_drift_distance"] != maxMeasured || found["thalweg_drift_counted_rows"] != 1 {
			t.Errorf("%v, %v", w.Newest("flights"), found)
		}
		cancel()
		synctest.Wait()
		if found := series(); w.Newest("flights") != nil || len(found) > 0 {
			t.Errorf("of a stream that has ended there are %v", found)
		}
	})
}
