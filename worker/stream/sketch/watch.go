package sketch

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/retry"
)

// maxMeasured bounds the features of a pipeline that have series: the scores, and those that
// are the farthest.
const maxMeasured = 100

// lookWindows is how many windows are looked at for the newest that is judged: the one that
// fills, and one before it, of two versions.
const lookWindows = 2

// Watchers look at the newest windows of pipelines, and have what they come to as metrics. The
// methods may be called concurrently.
type Watchers struct {
	rows, from, dead, verdict, distance, low, missing *prometheus.Desc

	mu struct {
		sync.Mutex
		of map[string]*watched
	}
}

type watched struct {
	metric string
	last   *monitor.Judgment
}

// NewWatchers returns what looks at no pipeline yet.
func NewWatchers(labels prometheus.Labels) *Watchers {
	desc := func(name, help string, names ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"pipeline"}, names...), labels)
	}
	w := &Watchers{
		rows:     desc("thalweg_drift_counted_rows", "Rows that were counted of the newest window that can be judged, by the worker that scores partition 0."),
		from:     desc("thalweg_drift_window_start_seconds", "When that window begins, seconds since 1970."),
		dead:     desc("thalweg_drift_dead_letter_ratio", "Share of that window's events that are dead letters, which go by Kafka's timestamp."),
		verdict:  desc("thalweg_drift_verdict", "What a feature of that window, or the score, comes to: 0 not judged, 1 ok, 2 warning, 3 error.", "feature"),
		distance: desc("thalweg_drift_distance", "How far a feature of that window, or the score, is from what the version was evaluated on, by monitoring.drift.metric; the 100 farthest.", "feature", "metric"),
		low:      desc("thalweg_drift_distance_low", "The low end of the 95 % interval of that distance, by which it is judged.", "feature", "metric"),
		missing:  desc("thalweg_drift_missing_ratio", "Share of that window's rows without a value of the feature.", "feature"),
	}
	w.mu.of = make(map[string]*watched)
	return w
}

// Watch looks at a pipeline's windows now and then until ctx ends.
func (w *Watchers) Watch(ctx context.Context, log *slog.Logger, pipelineName string, want pipeline.Drift, report func(ctx context.Context, windows int) (*monitor.Report, error)) {
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.mu.of, pipelineName)
	}()
	// A tenth of a window, so that one is known long before the next is over.
	every := min(max(time.Duration(want.Window)/10, 10*time.Second), time.Minute)
	said := ""
	for {
		began := time.Now()
		found, err := report(ctx, lookWindows)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if text := err.Error(); text != said { // it is tried again all the same
				said = text
				log.Warn("drift is not looked for", slog.String("error", text))
			}
		default:
			w.set(pipelineName, found)
		}
		// Where there is much to read, that takes a tenth of the time at most.
		if retry.Sleep(ctx, max(every, 10*time.Since(began))) != nil {
			return
		}
	}
}

// set takes the newest window that is judged, or else the newest.
func (w *Watchers) set(name string, r *monitor.Report) {
	var last *monitor.Judgment
	for _, j := range r.Windows {
		if last == nil || j.Verdict != monitor.Unjudged || last.Verdict == monitor.Unjudged {
			last = j
		}
	}
	if last == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.of[name] = &watched{r.Metric, last}
}

// Newest returns the newest judged window of a pipeline that is looked at here, nil if there is
// none.
func (w *Watchers) Newest(pipelineName string) *monitor.Judgment {
	w.mu.Lock()
	defer w.mu.Unlock()
	if of := w.mu.of[pipelineName]; of != nil {
		return of.last
	}
	return nil
}

// Describe implements prometheus.Collector.
func (w *Watchers) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{w.rows, w.from, w.dead, w.verdict, w.distance, w.low, w.missing} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (w *Watchers) Collect(ch chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, of := range w.mu.of {
		gauge := func(d *prometheus.Desc, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{name}, labels...)...)
		}
		gauge(w.rows, float64(of.last.Rows))
		gauge(w.from, float64(of.last.From.Unix()))
		gauge(w.dead, of.last.DeadRate)
		estimate := func(m *monitor.Measured) (value, low float64) {
			if of.metric == pipeline.MetricJS {
				return m.JS.Value, m.JS.Low
			}
			return m.PSI.Value, m.PSI.Low
		}
		all := slices.SortedFunc(slices.Values(of.last.Features), func(a, b *monitor.Measured) int {
			x, _ := estimate(a)
			y, _ := estimate(b)
			return cmp.Or(cmp.Compare(y, x), cmp.Compare(a.Name, b.Name))
		})
		if of.last.Score != nil {
			all = slices.Insert(all, 0, of.last.Score)
		}
		for i, m := range all[:min(len(all), maxMeasured)] {
			feature := m.Name
			if i > 0 && feature == all[0].Name { // a feature may have the name of the scores
				feature += " (feature)"
			}
			value, low := estimate(m)
			gauge(w.verdict, float64(m.Verdict.Level()), feature)
			gauge(w.distance, value, feature, of.metric)
			gauge(w.low, low, feature, of.metric)
			gauge(w.missing, m.Missing[1], feature)
		}
	}
}
