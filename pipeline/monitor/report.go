package monitor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/drift"
)

// Verdict says what the distance of a window's rows comes to.
type Verdict string

// The verdicts, the worst last.
const (
	// Unjudged: too few rows are counted, or the version has no reference.
	Unjudged Verdict = "unjudged"
	OK       Verdict = "ok"
	Warn     Verdict = "warn"
	Error    Verdict = "error"
)

// Level orders verdicts: 0 is unjudged, 1 ok, 2 a warning, 3 an error.
func (v Verdict) Level() int { return max(0, slices.Index([]Verdict{Unjudged, OK, Warn, Error}, v)) }

// clockWindow is how long a window must be for features of the clock to be judged: it has all
// hours of all days of the week.
const clockWindow = 7 * 24 * time.Hour

// Report is what windows come to.
type Report struct {
	Metric  string      `json:"metric"`
	Warn    float64     `json:"warn"`
	Error   float64     `json:"error"`
	MinRows int64       `json:"min_rows"`
	Windows []*Judgment `json:"windows"`
	// Untimed counts the rows that are in no window: their times were in too many.
	Untimed int64 `json:"untimed,omitempty"`
	// Ahead counts the rows of windows that have not begun: their times are wrong, or of what is
	// yet to come.
	Ahead int64 `json:"ahead,omitempty"`
	// OtherWidths counts the rows of windows that do not fit into those of the spec, which were
	// counted before it said so.
	OtherWidths int64 `json:"other_widths,omitempty"`
	// Flaws are versions whose reference cannot be read, and why.
	Flaws map[thalweg.ModelVersion]string `json:"flaws,omitempty"`
}

// Judgment is what a window comes to, of the rows that one version scored.
type Judgment struct {
	From    time.Time            `json:"from"`
	To      time.Time            `json:"to"`
	Version thalweg.ModelVersion `json:"version"`
	// Rows were counted, one in OneIn, and Reference rows was the version evaluated on.
	Rows      int64 `json:"rows"`
	OneIn     int64 `json:"one_in"`
	Reference int64 `json:"reference_rows,omitempty"`
	// Verdict is the worst of Score, Features and Slices, Why where there is none.
	Verdict  Verdict     `json:"verdict"`
	Why      string      `json:"why,omitempty"`
	Score    *Measured   `json:"score,omitempty"`
	Features []*Measured `json:"features,omitempty"`
	// Slices are the scores of slices, each judged if enough of its rows are counted.
	Slices []*Measured `json:"slices,omitempty"`
	// DeadLetters are all of the window, and Dead counts them by stage and reason. DeadRate is
	// their share of events, of which scored ones are estimated from the counted ones.
	DeadLetters int64            `json:"dead_letters"`
	DeadRate    float64          `json:"dead_rate"`
	Dead        map[string]int64 `json:"dead_by_reason,omitempty"`
}

// Measured is how far the values of a feature, or the scores, are from those of the reference.
type Measured struct {
	Name string `json:"name"`
	drift.Estimates
	// Most is the bin that brings most to the distance, and its shares.
	Most   string     `json:"most"`
	Shares [2]float64 `json:"shares"`
	// Missing are the shares of rows without a value, of the reference and of the window.
	Missing [2]float64 `json:"missing"`
	Unknown int64      `json:"unknown"`
	Clipped int64      `json:"clipped"`
	Ignored bool       `json:"ignored,omitempty"`
	Verdict Verdict    `json:"verdict"`
}

// References gets those of versions. An error says that a version has none.
type References func(version thalweg.ModelVersion) (*Reference, error)

// Judge says what the newest so many windows of a sketch come to, the oldest first, by what a
// spec wants.
func Judge(s *Sketch, want pipeline.Drift, most int, of References) *Report {
	r := &Report{Metric: want.Metric, Warn: *want.Warn, Error: *want.Error, MinRows: int64(want.MinRows), Windows: []*Judgment{}}
	width := time.Duration(want.Window).Microseconds()
	fitted := NewSum()
	for _, w := range s.Windows() {
		switch {
		case w.Untimed:
			r.Untimed += w.Rows
			continue
		case width%w.WidthUS != 0:
			r.OtherWidths += w.Rows
			continue
		}
		k := w.Key
		k.FromUS, k.WidthUS = begin(w.FromUS, time.Duration(want.Window)), width
		if err := fitted.at(k).merge(w); err != nil {
			r.flaw(w.Version, err)
		}
	}
	all := fitted.Windows()
	chosen := newest(all, most, r.MinRows)
	for _, w := range all {
		if chosen[w.FromUS] {
			r.Windows = append(r.Windows, r.judge(w, want, of))
		}
	}
	return r
}

// newest chooses windows, by when they begin: the newest so many that rows are in, and the
// newest that has rows enough to be judged. Dead letters have other times than rows: of windows
// that have nothing else as many are chosen beside, none older than all that rows are in.
func newest(all []*Window, most int, enough int64) map[int64]bool {
	rows, judged := make(map[int64]bool), false
	for _, w := range slices.Backward(all) {
		can := w.Rows >= enough && w.By == ""
		if w.Rows > 0 && (len(rows) < most || rows[w.FromUS] || can && !judged) {
			rows[w.FromUS] = true
			judged = judged || can
		}
	}
	dead := make(map[int64]bool)
	for _, w := range slices.Backward(all) {
		if len(dead) == most || len(rows) > 0 && w.FromUS < slices.Min(slices.Collect(maps.Keys(rows))) {
			break
		}
		if !rows[w.FromUS] {
			dead[w.FromUS] = true
		}
	}
	maps.Copy(rows, dead)
	return rows
}

func (r *Report) flaw(version thalweg.ModelVersion, err error) {
	if r.Flaws == nil {
		r.Flaws = make(map[thalweg.ModelVersion]string)
	}
	r.Flaws[version] = err.Error()
}

// judge says what one window comes to.
func (r *Report) judge(w *Window, want pipeline.Drift, of References) *Judgment {
	j := &Judgment{From: time.UnixMicro(w.FromUS).UTC(), To: time.UnixMicro(w.FromUS + w.WidthUS).UTC(), Version: w.Version, Rows: w.Rows, OneIn: w.OneIn,
		Verdict: Unjudged, Dead: w.Dead}
	for _, n := range w.Dead {
		j.DeadLetters += n
	}
	if n := float64(j.DeadLetters); n > 0 {
		j.DeadRate = n / (n + float64(w.Rows*w.OneIn))
	}
	if w.Rows == 0 {
		j.Why = "no row was counted"
		return j
	}
	reference, err := of(w.Version)
	switch {
	case err != nil:
		r.flaw(w.Version, err)
		j.Why = fmt.Sprintf("the version's reference cannot be had: %v", err)
		return j
	case reference == nil:
		j.Why = "the version keeps no reference: train it again"
		return j
	case w.Score == nil:
		j.Why = "no row was counted"
		return j
	}
	j.Reference = reference.Rows
	enough := w.Rows >= r.MinRows && w.By == ""
	switch {
	case w.By != "":
		j.Why = fmt.Sprintf("a rollout gave the version the rows of some values of %s, which are not like all", w.By)
	case !enough:
		j.Why = fmt.Sprintf("%d rows are counted, one in %d, and monitoring.drift.min_rows is %d", w.Rows, w.OneIn, r.MinRows)
	}
	measure := func(name string, ignored, enough bool, values *drift.Reference, counts drift.Counts) *Measured {
		m := &Measured{Name: name, Verdict: Unjudged}
		before := values.InBins()
		var err error
		if m.Estimates, err = drift.Between(before, counts); err != nil {
			r.flaw(w.Version, fmt.Errorf("%s: %w", name, err))
			return m
		}
		share := func(c drift.Counts, bin int) float64 { return float64(c[bin]) / float64(c.Rows()) }
		m.Most, m.Shares = values.Name(m.Bin), [2]float64{share(before, m.Bin), share(counts, m.Bin)}
		m.Missing = [2]float64{share(before, values.MissingBin()), share(counts, values.MissingBin())}
		if m.Ignored = ignored; enough && !ignored {
			m.Verdict = r.verdict(m.Estimates)
		}
		if m.Verdict.Level() > j.Verdict.Level() {
			j.Verdict = m.Verdict
		}
		return m
	}
	j.Score = measure("score", false, enough, reference.Score, w.Score)
	for _, f := range reference.Features {
		have := w.Features[f.Name]
		if have == nil {
			have = new(Feature)
		}
		ignored := slices.Contains(want.Ignore, f.Name) || f.Clock && time.Duration(want.Window) < clockWindow
		m := measure(f.Name, ignored, enough, f.Values, have.Counts)
		m.Unknown, m.Clipped = have.Unknown, have.Clipped
		j.Features = append(j.Features, m)
	}
	for _, of := range reference.Slices {
		if counts := w.Slices[of.Name]; counts != nil {
			j.Slices = append(j.Slices, measure("score of "+of.Name, false, enough && counts.Rows() >= r.MinRows, of.Score, counts))
		}
	}
	return j
}

// verdict says what distances come to: the whole interval must be above a bound.
func (r *Report) verdict(e drift.Estimates) Verdict {
	low := e.PSI.Low
	if r.Metric == pipeline.MetricJS {
		low = e.JS.Low
	}
	switch {
	case low > r.Error:
		return Error
	case low > r.Warn:
		return Warn
	}
	return OK
}

// Worst returns the worst verdict of all windows.
func (r *Report) Worst() Verdict {
	worst := Unjudged
	for _, w := range r.Windows {
		if w.Verdict.Level() > worst.Level() {
			worst = w.Verdict
		}
	}
	return worst
}
