package runs

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newShow(g *verb.Globals) *cobra.Command {
	var svg string
	cmd := &cobra.Command{
		Use:   "show RUN|PIPELINE",
		Short: "Show one run, of a pipeline the latest: stages, counts, metrics and the trials of a search",
		Example: "  thalweg runs show flight-delays\n" +
			"  thalweg runs show flight-delays-1-1 -o json\n" +
			"  thalweg runs show … --svg trials.svg   # of a search",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: args[0]})
			if err == nil && svg != "" {
				err = drawSearch(cmd, c, res.Run, svg)
			}
			if err != nil {
				return verb.Answer{}, err
			}
			return runShown(res.Run), nil
		}),
	}
	cmd.Flags().StringVar(&svg, "svg", "", "write a plot of the trials of the run's search to this file")
	return cmd
}

// drawSearch writes a plot of the trials of a run's search, as its evaluation has them: the
// other outputs of a run that ended are not kept.
func drawSearch(cmd *cobra.Command, c *cluster.Client, run *apiv1.Run, path string) error {
	none := &thalweg.Error{Op: "plot trials", Kind: thalweg.NotFound, Subject: "run " + run.Id, Hint: "its spec has no search, or it has not been evaluated"}
	if run.Outputs["evaluation"] == "" {
		return none
	}
	found, err := jobs.Evaluation(cmd, c, run)
	if err != nil {
		return err
	}
	if found.Search == nil {
		return none
	}
	return os.WriteFile(path, []byte(evaluation.SearchSVG(found.Search)), 0o644)
}

func runShown(run *apiv1.Run) verb.Answer {
	return verb.Answer{Value: run, Table: func(w io.Writer) { printRun(w, run) }}
}

func printRun(w io.Writer, r *apiv1.Run) {
	terminal.Row(w, "RUN", "STATE", "STAGE", "STARTED", "TOOK", "VERSION")
	terminal.Row(w, r.Id, r.State, r.Stage, terminal.Clock(r.StartedAtUnixMs), terminal.Took(r.StartedAtUnixMs, r.EndedAtUnixMs), terminal.CountOrDash(r.ModelVersion))
	if text := cmp.Or(r.Error, r.Outputs[stages.EndOutput]); text != "" {
		fmt.Fprintln(w, "\n"+text)
	}
	for _, text := range r.Warnings {
		fmt.Fprintln(w, "\nwarning: "+text)
	}
	terminal.Row(w, "\nSTAGE", "STATE", "TASKS", "ROWS", "TOOK", "MESSAGE")
	for _, s := range r.Stages {
		terminal.Row(w, s.Name, s.State, tasks(s), terminal.CountOrDash(s.RowsDone), terminal.Took(s.StartedAtUnixMs, s.EndedAtUnixMs), s.Message)
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
	if text := r.Outputs["skipped_shards"]; text != "" {
		fmt.Fprintln(w, "\nSKIPPED SHARDS\n"+text)
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
	terminal.PrintMetrics(w, r.Metrics)
	terminal.PrintEvaluation(w, r)
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

// tasks tells how many tasks of a stage are done; nothing where it has none, or
// has not been planned yet.
func tasks(s *apiv1.Stage) string {
	if s.TasksTotal == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.TasksDone, s.TasksTotal)
}
