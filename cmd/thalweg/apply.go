package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

func newApply(g *globals) *cobra.Command {
	var file string
	var wait bool
	cmd := &cobra.Command{
		Use:   "apply -f SPEC",
		Short: "Submit a spec; start a training run when its training half changed",
		Long: "apply submits a spec. A changed spec becomes the pipeline's next generation, and its streams\n" +
			"use it at once. It starts a training run, unless a version is registered that was trained from\n" +
			"the same training half and no run is in progress; a run in progress is restarted. The other\n" +
			"half changes only how the stream runs: metadata.labels, kafka and connection of sources.events,\n" +
			"and scoring, except scoring.sink.partition_by and whether there is a scoring section.\n\n" +
			"An unchanged spec changes nothing, even if its run failed: `thalweg runs start` always trains.\n" +
			"With --wait it waits for the last run of the pipeline if that is in progress. The exit code\n" +
			"is 1 if the run that it waits for does not succeed, or the last one did not.",
		Example: "  thalweg apply -f flights.yaml\n" +
			"  thalweg apply -f flights.yaml --wait   # and show the run until it ends",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, _ []string) (answer, error) {
			// The same check as the coordinator's, here for the file's own name and
			// without a round trip.
			_, text, err := parseSpec(file)
			if err != nil {
				return answer{}, err
			}
			res, err := c.Apply(cmd.Context(), &apiv1.ApplyRequest{Spec: text, File: file})
			if err != nil {
				return answer{}, err
			}
			run := res.RunId
			if wait && !res.Changed {
				last, err := c.ListRuns(cmd.Context(), &apiv1.ListRunsRequest{Pipeline: res.Pipeline, PageSize: 1})
				if err != nil {
					return answer{}, err
				}
				for _, r := range last.Runs {
					if r.State != "succeeded" {
						run = r.Id
						fmt.Fprintf(cmd.ErrOrStderr(), "%s is unchanged at generation %d, so no run begins; its last run is %s\n", res.Pipeline, res.Generation, run)
					}
				}
			}
			if wait && run != "" {
				return followed(cmd, c, run)
			}
			return answer{value: res, table: func(w io.Writer) {
				switch {
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
	must(cmd.MarkFlagRequired("file"))
	return cmd
}

// parseSpec reads and parses a spec file.
func parseSpec(file string) (spec *pipeline.Spec, text string, err error) {
	data, err := readSpec(file)
	if err != nil {
		return nil, "", err
	}
	spec, err = pipeline.Parse(catalog.All(), file, data)
	return spec, string(data), err
}

func readSpec(file string) ([]byte, error) {
	return readFile("read spec", file, pipeline.MaxSpecBytes, "name a file of YAML, or - for standard input")
}

// must is for mistakes in this program's own tables.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
