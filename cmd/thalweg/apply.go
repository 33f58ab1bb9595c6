package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

func newApply(g *globals) *cobra.Command {
	var file string
	var wait bool
	cmd := &cobra.Command{
		Use:   "apply -f SPEC",
		Short: "Submit a spec; a changed one becomes the next generation, and starts a run if it trains otherwise",
		Long: "Submit a spec. A changed one becomes the next generation, which streams follow at once. It\n" +
			"starts a run, unless a registered version was trained from the same and no run is under way:\n" +
			"labels, sources.events.kafka and connection, and scoring but for its partition_by and whether it\n" +
			"is there, change how the stream runs, not what is trained. `thalweg runs start` trains anew.",
		Example: "  thalweg apply -f flights.yaml\n" +
			"  thalweg apply -f flights.yaml --wait   # and follow the run to its end",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := readSpec(file)
			if err != nil {
				return err
			}
			// The same check as the coordinator's, here for the file's own name and
			// without a round trip.
			if _, err := pipeline.Parse(catalog.All(), file, data); err != nil {
				return err
			}
			c, err := g.client()
			if err != nil {
				return err
			}
			res, err := c.Apply(cmd.Context(), &apiv1.ApplyRequest{RequestId: api.NewRequestID(), Spec: string(data), File: file})
			if err != nil {
				return err
			}
			if wait && res.RunId != "" {
				run, err := follow(cmd.Context(), c, cmd.ErrOrStderr(), res.RunId)
				if err != nil {
					return err
				}
				return g.print(cmd.OutOrStdout(), run, func(w io.Writer) { printRun(w, run) })
			}
			return g.print(cmd.OutOrStdout(), res, func(w io.Writer) {
				if !res.Changed {
					fmt.Fprintf(w, "%s is unchanged at generation %d; `thalweg runs start %s` trains anew\n", res.Pipeline, res.Generation, res.Pipeline)
					return
				}
				if res.RunId == "" {
					fmt.Fprintf(w, "%s is now at generation %d; no run: nothing is changed that versions are trained from, the stream goes on with the one it has\n", res.Pipeline, res.Generation)
					return
				}
				fmt.Fprintf(w, "%s is now at generation %d; run %s has begun\n", res.Pipeline, res.Generation, res.RunId)
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the spec, - for standard input")
	cmd.Flags().BoolVar(&wait, "wait", false, "show the run's progress and wait for its end")
	must(cmd.MarkFlagRequired("file"))
	return cmd
}

// wantSpec is what to do about a spec that cannot be read.
const wantSpec = "name a file of YAML, or - for standard input"

// readSpec reads a spec file, bounded: a spec is written by hand.
func readSpec(file string) ([]byte, error) {
	const maxSpecBytes = 1 << 20
	r := io.ReadCloser(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, &thalweg.Error{Op: "read spec", Kind: thalweg.NotFound, Err: err, Hint: wantSpec}
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxSpecBytes+1))
	if err != nil {
		return nil, &thalweg.Error{Op: "read spec", Kind: thalweg.Invalid, Err: err, Hint: wantSpec}
	}
	if len(data) > maxSpecBytes {
		return nil, &thalweg.Error{Op: "read spec", Kind: thalweg.Exhausted, Subject: file, Hint: "a spec has at most 1 MiB"}
	}
	return data, nil
}

// must is for mistakes in this program's own tables.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
