package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

func newDrift(g *verb.Globals) *cobra.Command {
	var windows int
	cmd := &cobra.Command{
		Use:   "drift PIPELINE",
		Short: "Compare what a stream scores with what its version was evaluated on",
		Long: "drift shows the newest windows of a stream: how far the scores and the values of each feature\n" +
			"are from those of the rows that the version was evaluated on, by the population stability\n" +
			"index and the Jensen-Shannon divergence, each with its 95 % interval; missing and unknown\n" +
			"values; and dead letters by reason. A window is judged by the low end of the interval, once\n" +
			"monitoring.drift.min_rows of its rows are counted. Where the spec has monitoring.skew_sample,\n" +
			"some of the newest rows are scored again as a batch, and compared to the bit. That is a job\n" +
			"on a worker (thalweg jobs).\n" +
			"\n" +
			"Exit code 0: no window is beyond monitoring.drift.error, and the bits are the same. Otherwise\n" +
			"1.",
		Example: "  thalweg drift flight-delays\n" +
			"  thalweg drift flight-delays --windows 1 -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if windows < 1 || windows > work.MaxDriftWindows {
				return verb.Answer{}, terminal.UsageError("--windows", strconv.Itoa(windows), fmt.Sprintf("a number from 1 to %d", work.MaxDriftWindows))
			}
			found := new(drifted)
			if err := jobs.Ask(cmd, c, args[0], "drift", work.Drift{Windows: windows}, found); err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{Value: found, Table: found.table, Failed: found.failed(args[0])}, nil
		}),
	}
	cmd.Flags().IntVar(&windows, "windows", 24, "how many windows to show, the newest")
	return cmd
}

// drifted is what the verb prints.
type drifted struct{ work.Drifted }

// failed says what is beyond a bound.
func (d *drifted) failed(pipeline string) error {
	for _, w := range slices.Backward(d.Windows) {
		if w.Verdict != monitor.Error {
			continue
		}
		worst := w.Score
		for _, m := range slices.Concat(w.Features, w.Slices) {
			if m.Verdict.Level() > worst.Verdict.Level() {
				worst = m
			}
		}
		return &thalweg.Error{Op: "drift", Kind: thalweg.Invalid, Subject: pipeline, Err: fmt.Errorf("%s of the window from %s: %s", worst.Name, moment(w.From), d.distance(worst)),
			Hint: "see what changed where the events come from; a run trains a version on newer rows"}
	}
	if s := d.Skew; s != nil && s.OtherBits > 0 {
		return &thalweg.Error{Op: "drift", Kind: thalweg.Corrupt, Subject: pipeline, Err: fmt.Errorf("%d of %d rows of the stream have other scores as a batch: %s", s.OtherBits, s.Rows, s.First)}
	}
	return nil
}

// moment is a time as people read it.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// distance says how far values are, by the metric of the spec.
func (d *drifted) distance(m *monitor.Measured) string {
	e := m.PSI
	if d.Metric == pipeline.MetricJS {
		e = m.JS
	}
	return fmt.Sprintf("%.3f [%.3f, %.3f]", e.Value, e.Low, e.High)
}

func share(x float64) string { return fmt.Sprintf("%.1f%%", 100*x) }

// newest returns the newest window of a kind, or else the newest.
func (d *drifted) newest(is func(*monitor.Judgment) bool) *monitor.Judgment {
	for _, j := range slices.Backward(d.Windows) {
		if is(j) {
			return j
		}
	}
	return d.Windows[len(d.Windows)-1]
}

func (d *drifted) table(w io.Writer) {
	if len(d.Windows) == 0 {
		fmt.Fprintln(w, "no row is counted yet: rows are when they are committed, unless monitoring.drift.enabled is false")
		return
	}
	terminal.Row(w, "WINDOW", "VERSION", "COUNTED", "DEAD LETTERS", "FEATURE", strings.ToUpper(d.Metric), "MISSING", "UNKNOWN", "MOST CHANGED", "VERDICT")
	for _, j := range d.Windows {
		dead := fmt.Sprintf("%s, %s", humanize.Comma(j.DeadLetters), share(j.DeadRate))
		all := j.Features
		if j.Score != nil {
			all = slices.Concat([]*monitor.Measured{j.Score}, all, j.Slices)
		}
		if len(all) == 0 {
			terminal.Row(w, moment(j.From), j.Version, humanize.Comma(j.Rows), dead, "-", "-", "-", "-", "-", j.Verdict)
		}
		for i, m := range all {
			window, version, rows := moment(j.From), fmt.Sprint(j.Version), humanize.Comma(j.Rows)
			if i > 0 {
				window, version, rows, dead = "", "", "", ""
			}
			verdict := string(m.Verdict)
			if m.Ignored {
				verdict = "ignored"
			}
			most := "-"
			if m.Most != "" {
				most = fmt.Sprintf("%s: %s, was %s", m.Most, share(m.Shares[1]), share(m.Shares[0]))
			}
			terminal.Row(w, window, version, rows, dead, m.Name, d.distance(m), fmt.Sprintf("%s, was %s", share(m.Missing[1]), share(m.Missing[0])), humanize.Comma(m.Unknown), most, verdict)
		}
	}
	fmt.Fprintln(w)
	// Dead letters go by other times than rows, so the newest window may have nothing else.
	rows, dead := d.newest(func(j *monitor.Judgment) bool { return j.Rows > 0 }), d.newest(func(j *monitor.Judgment) bool { return j.DeadLetters > 0 })
	if rows.Why != "" {
		fmt.Fprintf(w, "the newest window is not judged: %s\n", rows.Why)
	}
	for _, reason := range slices.Sorted(maps.Keys(dead.Dead)) {
		fmt.Fprintf(w, "%s dead letters of the window from %s: %s\n", humanize.Comma(dead.Dead[reason]), moment(dead.From), reason)
	}
	for _, v := range slices.Sorted(maps.Keys(d.Flaws)) {
		fmt.Fprintf(w, "version %d: %s\n", v, d.Flaws[v])
	}
	if d.Ahead > 0 {
		fmt.Fprintf(w, "%s counted rows are of windows that have not begun\n", humanize.Comma(d.Ahead))
	}
	if n := d.Untimed + d.OtherWidths; n > 0 {
		fmt.Fprintf(w, "%s counted rows are in no window: they have too many times, or were counted by other windows\n", humanize.Comma(n))
	}
	if s := d.Skew; s != nil {
		fmt.Fprintf(w, "%s rows of the stream scored again as a batch: %d have other bits\n", humanize.Comma(int64(s.Rows)), s.OtherBits)
	}
}
