package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

func newRuns(g *globals) *cobra.Command {
	req := &apiv1.ListRunsRequest{}
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List runs, newest first; show, start, follow or cancel one",
		Example: "  thalweg runs\n" +
			"  thalweg runs --pipeline flight-delays --limit 500\n" +
			"  thalweg runs show flight-delays\n" +
			"  thalweg runs start flight-delays --wait",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, _ []string) (answer, error) {
			res, err := c.ListRuns(cmd.Context(), req)
			if err != nil {
				return answer{}, err
			}
			pipelines, err := c.ListPipelines(cmd.Context(), &apiv1.ListPipelinesRequest{})
			if err != nil {
				return answer{}, err
			}
			pipelines.Pipelines = slices.DeleteFunc(pipelines.Pipelines, func(p *apiv1.Pipeline) bool { return req.Pipeline != "" && p.Name != req.Pipeline })
			return answer{value: res, table: func(w io.Writer) {
				terminal.Row(w, "RUN", "STATE", "STAGE", "STARTED", "BY", "TOOK", "VERSION", "MESSAGE")
				for _, r := range res.Runs {
					terminal.Row(w, r.Id, r.State, r.Stage, terminal.Clock(r.StartedAtUnixMs), cmp.Or(r.Trigger, r.Verb, "-"), terminal.Took(r.StartedAtUnixMs, r.EndedAtUnixMs), versionOrDash(r.ModelVersion), cmp.Or(r.Error, r.Outputs[stages.EndOutput]))
				}
				printTimetables(w, pipelines.Pipelines)
				if res.NextPageToken != "" {
					fmt.Fprintln(w, "\nthere are more: --page-token "+res.NextPageToken)
				}
			}}, err
		}),
	}
	cmd.Flags().StringVar(&req.Pipeline, "pipeline", "", "list only runs of this pipeline")
	cmd.Flags().Uint32Var(&req.PageSize, "limit", 100, "how many runs to list, at most 1000")
	cmd.Flags().StringVar(&req.PageToken, "page-token", "", "continue after the page that printed this token")
	cmd.AddCommand(newRunsShow(g), newRunsStart(g), newRunsFollow(g), newRunsCancel(g))
	return cmd
}

func newRunsShow(g *globals) *cobra.Command {
	var svg string
	cmd := &cobra.Command{
		Use:   "show RUN|PIPELINE",
		Short: "Show one run, of a pipeline the latest: stages, counts, metrics and the trials of a search",
		Example: "  thalweg runs show flight-delays\n" +
			"  thalweg runs show flight-delays-1-1 -o json\n" +
			"  thalweg runs show … --svg trials.svg   # of a search",
		Annotations: map[string]string{usesFlags: reads + "state-bucket"},
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			res, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: args[0]})
			if err == nil && svg != "" {
				err = c.drawSearch(cmd.Context(), res.Run, svg)
			}
			if err != nil {
				return answer{}, err
			}
			return runShown(res.Run), nil
		}),
	}
	cmd.Flags().StringVar(&svg, "svg", "", "write a plot of the trials of the run's search to this file")
	return cmd
}

// drawSearch writes a plot of the trials of a run's search, as its evaluation has them: the
// other outputs of a run that ended are not kept.
func (c *cluster) drawSearch(ctx context.Context, run *apiv1.Run, path string) error {
	none := &thalweg.Error{Op: "plot trials", Kind: thalweg.NotFound, Subject: "run " + run.Id, Hint: "its spec has no search, or it has not been evaluated"}
	ref, err := thalweg.ParseObjectRef(run.Outputs["evaluation"])
	if err != nil {
		return none
	}
	state, err := c.conns.Bucket(ctx, "", c.stateBucket)
	if err != nil {
		return err
	}
	data, err := checkpoint.GetObject(ctx, state, ref)
	if err != nil {
		return err
	}
	var found evaluation.Document
	if err := json.Unmarshal(data, &found); err != nil {
		return err
	}
	if found.Search == nil {
		return none
	}
	return os.WriteFile(path, []byte(evaluation.SearchSVG(found.Search)), 0o644)
}

func newRunsStart(g *globals) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:     "start PIPELINE",
		Short:   "Start a run on the current data: a training run, or one that writes a table of cleaned rows",
		Example: "  thalweg runs start flight-delays --wait",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			res, err := c.StartRun(cmd.Context(), &apiv1.StartRunRequest{Pipeline: args[0]})
			if err != nil {
				return answer{}, err
			}
			if wait {
				return followed(cmd, c, res.RunId)
			}
			return answer{value: res, table: func(w io.Writer) { fmt.Fprintln(w, res.RunId) }}, nil
		}),
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "show the run's progress and wait until it ends")
	return cmd
}

func newRunsFollow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "follow RUN|PIPELINE",
		Short: "Show a run's progress, of a pipeline the latest's, until it ends",
		Example: "  thalweg runs follow flight-delays\n" +
			"  thalweg runs follow flight-delays-1-1",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			res, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: args[0]})
			if err != nil {
				return answer{}, err
			}
			return followed(cmd, c, res.Run.Id)
		}),
	}
}

func newRunsCancel(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN|PIPELINE",
		Short: "Cancel a run, of a pipeline the latest; the objects that it wrote are removed within minutes",
		Example: "  thalweg runs cancel flight-delays\n" +
			"  thalweg runs cancel flight-delays-2-1",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			latest, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: args[0]})
			if err != nil {
				return answer{}, err
			}
			res, err := c.CancelRun(cmd.Context(), &apiv1.CancelRunRequest{RunId: latest.Run.Id})
			return answer{value: res, table: func(w io.Writer) { fmt.Fprintln(w, latest.Run.Id+" is canceled") }}, err
		}),
	}
}

func runShown(run *apiv1.Run) answer {
	return answer{value: run, table: func(w io.Writer) { printRun(w, run) }}
}

// followed shows a run until it ends, and then how it ended.
func followed(cmd *cobra.Command, c *cluster, id string) (answer, error) {
	run, err := terminal.Follow(cmd.Context(), c.Client, cmd.ErrOrStderr(), id)
	return runShown(run), err
}

func printRun(w io.Writer, r *apiv1.Run) {
	terminal.Row(w, "RUN", "STATE", "STAGE", "STARTED", "TOOK", "VERSION")
	terminal.Row(w, r.Id, r.State, r.Stage, terminal.Clock(r.StartedAtUnixMs), terminal.Took(r.StartedAtUnixMs, r.EndedAtUnixMs), versionOrDash(r.ModelVersion))
	if text := cmp.Or(r.Error, r.Outputs[stages.EndOutput]); text != "" {
		fmt.Fprintln(w, "\n"+text)
	}
	for _, text := range r.Warnings {
		fmt.Fprintln(w, "\nwarning: "+text)
	}
	terminal.Row(w, "\nSTAGE", "STATE", "TASKS", "ROWS", "TOOK", "MESSAGE")
	for _, s := range r.Stages {
		terminal.Row(w, s.Name, s.State, tasks(s), countOrDash(s.RowsDone), terminal.Took(s.StartedAtUnixMs, s.EndedAtUnixMs), s.Message)
	}
	printFound(w, r)
	if text := r.Outputs["partitions"]; text != "" {
		fmt.Fprintln(w, "\nCOLUMNS OF FOLDERS\n"+text)
	}
	if text := r.Outputs["features"]; text != "" {
		fmt.Fprintln(w, "\nFEATURES BY PATTERN\n"+text)
	}
	if text := r.Outputs["table"]; text != "" {
		fmt.Fprintln(w, "\nTABLE\n"+text)
	}
	if text := r.Outputs["bad_rows"]; text != "" {
		fmt.Fprintln(w, "\nREJECTED ROWS\n"+text)
	}
	if text := r.Outputs["trainer"]; text != "" {
		fmt.Fprintln(w, "\nTRAINER\n"+strings.TrimSpace(text))
	}
	if text := r.Outputs["started"]; text != "" {
		fmt.Fprintln(w, "\nWARM START\n"+text)
	}
	terminal.PrintCurve(w, r)
	terminal.Row(w, "\nCOUNT", "VALUE")
	for _, k := range slices.Sorted(maps.Keys(r.Counts)) {
		terminal.Row(w, k, humanize.Comma(r.Counts[k]))
	}
	printMetrics(w, r.Metrics)
	printEvaluation(w, r)
}

// printFound shows what the tasks of a stage that is going on have told of their results,
// the latest.
func printFound(w io.Writer, r *apiv1.Run) {
	const most = 20
	var found []string
	for _, s := range r.Stages {
		for _, t := range s.Tasks {
			if t.Found != "" && s.State == "running" {
				found = append(found, t.Found)
			}
		}
	}
	if len(found) > 0 {
		fmt.Fprintln(w, "\nSO FAR\n"+strings.Join(found[max(0, len(found)-most):], "\n"))
	}
}

// printEvaluation shows the tables of data tests, folds, gates, confusions and slices
// that a run has left.
func printEvaluation(w io.Writer, r *apiv1.Run) {
	for _, name := range []string{"tests", "trials", "folds", "gates", "confusion", "calibration", "slices", "permutation", "balanced", "label_rates", "reweighed", "fairness"} {
		if text := r.Outputs[name]; text != "" {
			fmt.Fprintln(w, "\n"+strings.ToUpper(name)+"\n"+text)
		}
	}
}

// metricOf returns the metric whose interval ends at the metric of a name; of what is no
// end the name itself.
func metricOf(metrics map[string]float64, name string) string {
	of := strings.TrimSuffix(strings.TrimSuffix(name, ".high"), ".low")
	if _, ok := metrics[of]; ok {
		return of
	}
	return name
}

// printMetrics shows metrics, those with an interval together with it.
func printMetrics(w io.Writer, metrics map[string]float64) {
	terminal.Row(w, "\nMETRIC", "VALUE", "95 % INTERVAL")
	for _, k := range slices.Sorted(maps.Keys(metrics)) {
		if metricOf(metrics, k) != k {
			continue
		}
		interval := ""
		if low, ok := metrics[k+".low"]; ok {
			interval = fmt.Sprintf("%.6g to %.6g", low, metrics[k+".high"])
		}
		terminal.Row(w, k, fmt.Sprintf("%.6g", metrics[k]), interval)
	}
}

// printTimetables tells when runs start by themselves, if any do.
func printTimetables(w io.Writer, pipelines []*apiv1.Pipeline) {
	header := false
	for _, p := range pipelines {
		t := p.Timetable
		if t == nil {
			continue
		}
		if !header {
			terminal.Row(w, "\nSCHEDULE OF", "RUNS START", "NEXT", "LAST", "MESSAGE")
			header = true
		}
		var when []string
		if t.Timing != "" {
			when = append(when, t.Timing)
		}
		if t.OnNewObjects {
			when = append(when, "on new objects")
		}
		next := terminal.Clock(t.NextAtUnixMs)
		switch {
		case t.Paused:
			next = "paused"
		case t.Queued:
			next = "after the run that is going"
		}
		terminal.Row(w, p.Name, strings.Join(when, ", "), next, terminal.Clock(t.LastAtUnixMs), cmp.Or(t.Message, t.Last))
	}
}

// tasks tells how many tasks of a stage are done; nothing where it has none, or
// has not been planned yet.
func tasks(s *apiv1.Stage) string {
	if s.TasksTotal == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.TasksDone, s.TasksTotal)
}

func versionOrDash(v uint64) string { return countOrDash(int64(v)) }

// countOrDash prints a count of which 0 says that there is none.
func countOrDash(n int64) string {
	if n == 0 {
		return "-"
	}
	return humanize.Comma(n)
}
