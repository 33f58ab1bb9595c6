// Package quality has the verb that measures what was answered, by labels that came later.
package quality

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
	"github.com/thalweg/thalweg/worker/stream/labels"
)

// New returns the verb.
func New(g *verb.Globals) *cobra.Command {
	var within, until string
	cmd := &cobra.Command{
		Use:   "quality PIPELINE",
		Short: "Say how good a stream's answers were, by the labels that came later",
		Long: "quality joins the labels of spec.monitoring.labels to the rows that the stream has scored\n" +
			"lately, and measures each version by them as evaluation does: with 95 % intervals, by the\n" +
			"slices of spec.evaluation, and beside what training found. A metric is marked where it is\n" +
			"worse than in training by more than chance explains. It is a job on a worker (thalweg jobs).\n" +
			"\n" +
			"Rows without a label yet are not measured: where labels of one kind come sooner than those\n" +
			"of another, newer rows tell too much of it. --until leaves them out.",
		Example: "  thalweg quality flight-delays\n" +
			"  thalweg quality flight-delays --within 24h -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			p, err := qualityOf(within, until, time.Now())
			if err != nil {
				return verb.Answer{}, err
			}
			report := new(labels.Report)
			err = jobs.Ask(cmd, c, args[0], "quality", p, report)
			return verb.Answer{Value: report, Table: func(w io.Writer) { printQuality(w, report) }}, err
		}),
	}
	cmd.Flags().StringVar(&within, "within", "", "how long before --until rows may have been scored, as 24h or 7d; default: what the spec says")
	cmd.Flags().StringVar(&until, "until", "", "rows that were scored before a time, as 2026-01-31T12:00:00Z; default: now")
	return cmd
}

// qualityOf reads the flags.
func qualityOf(within, until string, now time.Time) (p work.Quality, err error) {
	if until != "" {
		us, ok := table.ParseTime(until, time.UTC)
		if !ok {
			return p, terminal.UsageError("--until", until, "a time such as 2026-01-31T12:00:00Z")
		}
		p.UntilUS = us
	}
	if within != "" {
		var d pipeline.Duration
		if err := d.UnmarshalText([]byte(within)); err != nil || d <= 0 {
			return p, terminal.UsageError("--within", within, "a time such as 24h or 7d")
		}
		if p.UntilUS == 0 {
			p.UntilUS = now.UnixMicro()
		}
		p.SinceUS = p.UntilUS - time.Duration(d).Microseconds()
	}
	return p, nil
}

func printQuality(w io.Writer, r *labels.Report) {
	fmt.Fprintf(w, "%s rows scored from %s to %s, %s of them with a label (%.1f %%)\n", humanize.Comma(r.Rows), r.Since.Format(time.RFC3339), r.Until.Format(time.RFC3339),
		humanize.Comma(r.Labelled), 100*r.Rate.Value)
	var notes []string
	note := func(n int64, what string) {
		if n > 0 {
			notes = append(notes, humanize.Comma(n)+" "+what)
		}
	}
	note(r.Labels.Labels, "labels with a key")
	note(r.Labels.Repeated, "replaced by a later one of their key")
	note(r.Labels.Unmatched, "of which no row has the key")
	note(r.Labels.Keyless, "without a key")
	note(r.Rejected, "that cannot be read ("+terminal.Shorten(r.First, 120)+")")
	note(r.Null, "rows whose label is null")
	if len(notes) > 0 {
		fmt.Fprintln(w, strings.Join(notes, ", "))
	}
	for _, v := range r.Versions {
		fmt.Fprintf(w, "\nversion %d: %s of %s rows have a label (%s)\n", v.Version, humanize.Comma(v.Labelled), humanize.Comma(v.Rows), v.Rate)
		if v.Unmeasured != "" {
			fmt.Fprintln(w, "  not measured: "+v.Unmeasured)
		}
		if len(v.Live) == 0 {
			continue
		}
		terminal.Row(w, "METRIC", "LIVE", "TRAINING", "CHANGE", "")
		for _, name := range metricsOf(v.Live) {
			trained, changed, mark := "-", "-", ""
			if e, ok := v.Trained[name]; ok {
				trained = e.String()
			}
			if e, ok := v.Change[name]; ok {
				changed = e.String()
			}
			if slices.Contains(v.Worse, name) {
				mark = "worse"
			}
			terminal.Row(w, name, v.Live[name].String(), trained, changed, mark)
		}
		printSliceQuality(w, v)
	}
	for _, text := range r.Skipped {
		fmt.Fprintln(w, text)
	}
}

// sliceMetrics are how many metrics of slices are shown.
const sliceMetrics = 4

func printSliceQuality(w io.Writer, v *labels.Version) {
	if len(v.Slices) == 0 {
		return
	}
	names := metricsOf(v.Live)
	names = names[:min(sliceMetrics, len(names))]
	fmt.Fprintln(w)
	head := []any{"SLICE", "ROWS"}
	for _, name := range names {
		head = append(head, strings.ToUpper(name))
	}
	terminal.Row(w, head...)
	for _, s := range v.Slices {
		cells := []any{s.Name(), s.Text(metric.Rows)}
		for _, name := range names {
			cells = append(cells, s.Text(name))
		}
		terminal.Row(w, cells...)
	}
	for _, text := range v.Sliced.Skipped {
		fmt.Fprintln(w, text)
	}
}

// metricsOf are the names of metrics, those first that people look for.
func metricsOf(of map[string]metric.Estimate) (names []string) {
	first := []string{metric.ROCAUC, metric.LogLoss, metric.CalibrationError, metric.Brier, metric.Coverage, metric.MAE, metric.RMSE, metric.Accuracy}
	for name := range of {
		if name != metric.Rows {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		x, y := slices.Index(first, a), slices.Index(first, b)
		if x < 0 {
			x = len(first)
		}
		if y < 0 {
			y = len(first)
		}
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	})
	return names
}
