package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/runs"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newApply(g *verb.Globals) *cobra.Command {
	var file string
	var wait bool
	cmd := &cobra.Command{
		Use:   "apply -f SPEC",
		Short: "Submit a spec; start a training run when its training half changed",
		Long: "apply submits a spec. A changed spec becomes the pipeline's next generation, and its streams\n" +
			"use it at once. It starts a training run, unless a version is registered that was trained from\n" +
			"the same training half and no run is in progress; a run in progress is restarted. No part of\n" +
			"that half are metadata.labels, schedule, trainer.keep_checkpoints, trainer.distributed.straggler,\n" +
			"store_failures of tests, kafka and connection of sources.events, and scoring, except\n" +
			"scoring.output_columns, scoring.sink.partition_by and whether there is a scoring section.\n\n" +
			"An unchanged spec changes nothing, and starts a run where no run of it has registered a version:\n" +
			"`thalweg runs start` always trains.\n" +
			"A spec with output starts a run that writes its table, unless one has written the same rows by\n" +
			"the same spec: schedule and output.retention are no part of that.\n" +
			"With --wait it waits for the pipeline's last run, if that is in progress, and fails if that failed.",
		Example: "  thalweg apply -f flights.yaml\n" +
			"  thalweg apply -f flights.yaml --wait   # and show the run until it ends",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (verb.Answer, error) {
			// The same check as the coordinator's, here for the file's own name and
			// without a round trip.
			spec, text, err := verb.ParseSpec(file)
			if err != nil {
				return verb.Answer{}, err
			}
			planned, err := planOf(cmd.Context(), c, spec)
			if err != nil {
				return verb.Answer{}, err
			}
			res, err := c.Apply(cmd.Context(), &apiv1.ApplyRequest{Spec: text, File: file})
			if err != nil {
				return verb.Answer{}, err
			}
			if res.Changed && (len(planned.Changes) > 0 || planned.Deleted != nil) && g.Output == "table" {
				if err := g.Print(cmd.OutOrStdout(), nil, planned.printEffect); err != nil {
					return verb.Answer{}, err
				}
			}
			run := res.RunId
			if wait && run == "" && !res.Changed {
				if run, err = runInProgress(cmd.Context(), c, res.Pipeline); err != nil {
					return verb.Answer{}, err
				}
			}
			if wait && run != "" {
				return runs.Followed(cmd, c, run)
			}
			return verb.Answer{Value: res, Table: func(w io.Writer) {
				if !spec.Trains() {
					fmt.Fprintln(w, appliedTable(res))
					return
				}
				switch {
				case !res.Changed && res.RunId != "":
					fmt.Fprintf(w, "%s is unchanged at generation %d, and no run of it has registered a version: run %s has begun\n", res.Pipeline, res.Generation, res.RunId)
				case !res.Changed:
					fmt.Fprintf(w, "%s is unchanged at generation %d; `thalweg runs start %s` trains again\n", res.Pipeline, res.Generation, res.Pipeline)
				case res.RunId == "":
					fmt.Fprintf(w, "%s is now at generation %d; no run: its training half is unchanged, so the stream keeps its model version\n", res.Pipeline, res.Generation)
				default:
					fmt.Fprintf(w, "%s is now at generation %d; run %s has begun\n", res.Pipeline, res.Generation, res.RunId)
				}
			}}, nil
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the spec, - for standard input")
	cmd.Flags().BoolVar(&wait, "wait", false, "show the run's progress and wait until it ends")
	verb.Must(cmd.MarkFlagRequired("file"))
	return cmd
}

// appliedTable says what became of a spec that writes cleaned rows.
func appliedTable(res *apiv1.ApplyResponse) string {
	switch {
	case !res.Changed && res.RunId != "":
		return fmt.Sprintf("%s is unchanged at generation %d, and no run of it has written its table: run %s has begun", res.Pipeline, res.Generation, res.RunId)
	case !res.Changed:
		return fmt.Sprintf("%s is unchanged at generation %d; `thalweg runs start %s` looks for new objects", res.Pipeline, res.Generation, res.Pipeline)
	case res.RunId == "":
		return fmt.Sprintf("%s is now at generation %d; no run: it writes the same rows", res.Pipeline, res.Generation)
	}
	return fmt.Sprintf("%s is now at generation %d; run %s has begun", res.Pipeline, res.Generation, res.RunId)
}

// runInProgress returns the run of an unchanged spec, or none if the last one has
// succeeded. Any other end of it is an error.
func runInProgress(ctx context.Context, c *cluster.Client, pipeline string) (string, error) {
	last, err := c.ListRuns(ctx, &apiv1.ListRunsRequest{Pipeline: pipeline, PageSize: 1})
	if err != nil || len(last.Runs) == 0 {
		return "", err
	}
	switch r := last.Runs[0]; r.State {
	case "running":
		return r.Id, nil
	case "failed", "canceled":
		return "", &thalweg.Error{Op: "apply", Subject: pipeline, Err: fmt.Errorf("the spec is unchanged and its last run %s ended as %s: %s", r.Id, r.State, cmp.Or(r.Error, "no error given")),
			Hint: "`thalweg runs start " + pipeline + "` trains again"}
	}
	return "", nil
}
