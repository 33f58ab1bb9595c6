package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newDelete(g *verb.Globals) *cobra.Command {
	var yes, purge bool
	cmd := &cobra.Command{
		Use:   "delete PIPELINE",
		Short: "Delete a pipeline; keep what it wrote, or remove that too with --purge",
		Long: "delete cancels the pipeline's run and ends its stream, which commits what is scored first.\n" +
			"Then the pipeline, its runs and its models are no longer listed, and its name is free.\n" +
			"Rows, tables, log, dead letters and checkpoints stay where they are; --purge removes them,\n" +
			"with the outputs of the runs, and nothing else: tables of `thalweg score` stay, and their\n" +
			"prefixes are those of a pipeline of that name.\n\n" +
			"A pipeline that is applied under the name later goes on with the next generation and the next\n" +
			"model version. If sink and topic are the same and nothing was purged, its stream goes on with\n" +
			"the log, and no event is scored twice. With another sink, or after a purge, it begins at\n" +
			"start_offset, and events that were scored before are scored again.\n\n" +
			"Run the same command again if it was interrupted: the deletion goes on by itself meanwhile.",
		Example: "  thalweg delete flight-delays\n" +
			"  thalweg delete flight-delays --purge --yes",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			kept := "the checkpoints of its versions"
			if table, err := c.FetchTable(cmd.Context(), args[0]); err == nil && table != nil {
				kept = "the table at " + table.String()
			}
			if s, err := c.FetchStream(cmd.Context(), args[0]); err == nil && s != nil {
				kept += ", and rows, table, log and dead letters at " + s.Live.String()
			}
			if !yes {
				if err := confirm(cmd, "delete", args[0], purge); err != nil {
					return verb.Answer{}, err
				}
			}
			// One request, however long it takes.
			req := &apiv1.DeletePipelineRequest{RequestId: rand.Text(), Pipeline: args[0], Purge: purge}
			for {
				res, err := c.DeletePipeline(cmd.Context(), req)
				if err != nil {
					return verb.Answer{}, verb.Interrupted(cmd.Context(), "delete", args[0], err)
				}
				if res.Done {
					return verb.Answer{Value: res, Table: func(w io.Writer) { printDeleted(w, res, kept) }}, nil
				}
				fmt.Fprintln(cmd.ErrOrStderr(), args[0]+": "+res.Deletion)
			}
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&purge, "purge", false, "also remove rows, table, log, dead letters, checkpoints and outputs of runs")
	return cmd
}

func printDeleted(w io.Writer, res *apiv1.DeletePipelineResponse, kept string) {
	fmt.Fprintf(w, "%s is deleted\n", res.Pipeline)
	if res.Purged {
		fmt.Fprintf(w, "removed: %s objects, %s bytes\n", humanize.Comma(res.Objects), humanize.Comma(res.Bytes))
	} else {
		fmt.Fprintf(w, "kept: %s\n", kept)
	}
	if res.Note != "" {
		fmt.Fprintln(w, res.Note)
	}
	fmt.Fprintln(w, afterDeletion(res.Pipeline, res.Generation, res.Purged))
}

// afterDeletion says how a pipeline begins whose name one had that was deleted.
func afterDeletion(name string, last uint64, purged bool) string {
	text := fmt.Sprintf("applied again, %s begins at generation %d", name, last+1)
	if purged {
		return text + "; what it wrote is gone, so its stream begins at start_offset and scores events again that were scored before"
	}
	return text + "; with the same sink and topic its stream goes on where the log ends, and no event is scored twice;\n" +
		"with another sink it begins at start_offset, and scores events again that were scored before"
}

// confirm asks for the name of what a verb is about to destroy.
func confirm(cmd *cobra.Command, verb, name string, purge bool) error {
	if in, out := cmd.InOrStdin(), cmd.ErrOrStderr(); terminal.IsTerminal(out) {
		if file, ok := in.(io.Writer); ok && terminal.IsTerminal(file) {
			what := "keep what it wrote"
			if purge {
				what = "remove what it wrote for good"
			}
			fmt.Fprintf(out, "%s pipeline %s and %s? Type its name: ", verb, name, what)
			line, err := bufio.NewReader(in).ReadString('\n')
			if err == nil && strings.TrimSpace(line) == name {
				return nil
			}
			return &thalweg.Error{Op: verb, Kind: thalweg.Canceled, Subject: name, Err: errors.New("that is not its name: nothing was done")}
		}
	}
	return &thalweg.Error{Op: verb, Kind: thalweg.Invalid, Subject: name, Err: errors.New("there is no terminal to ask on"), Hint: "add --yes"}
}
