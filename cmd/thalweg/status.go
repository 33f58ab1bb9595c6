package main

import (
	"cmp"
	"io"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newStatus(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show coordinators, workers, pipelines and streams",
		Example: "  thalweg status\n" +
			"  curl -s -H 'Content-Type: application/json' -d '{}' http://127.0.0.1:7070/thalweg.coordinator.v1.CoordinatorService/Status",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (verb.Answer, error) {
			nodes, err := c.Status(cmd.Context(), &apiv1.StatusRequest{})
			if err != nil {
				return verb.Answer{}, err
			}
			pipelines, err := c.ListPipelines(cmd.Context(), &apiv1.ListPipelinesRequest{})
			if err != nil {
				return verb.Answer{}, err
			}
			streams, err := c.StreamStatus(cmd.Context(), &apiv1.StreamStatusRequest{})
			return verb.Answer{Value: nodes, Table: func(w io.Writer) {
				terminal.Row(w, "COORDINATOR", "ADDRESS", "STATE")
				for _, n := range nodes.Nodes {
					terminal.Row(w, n.Id, n.Address, n.State)
				}
				terminal.Row(w, "\nWORKER", "ADDRESS", "STATE", "LEASES")
				for _, n := range nodes.Workers {
					terminal.Row(w, n.Id, n.Address, n.State, n.Leases)
				}
				terminal.Row(w, "\nPIPELINE", "GENERATION", "APPLIED", "MODEL", "STREAM", "ROWS", "DEAD", "LAG", "MESSAGE")
				for _, p := range pipelines.Pipelines {
					s := summaryOf(p, streams.Partitions)
					terminal.Row(w, p.Name, p.Generation, terminal.Clock(p.AppliedAtUnixMs), cmp.Or(p.Model, "-"), s.state, s.rows, s.dead, s.lag, cmp.Or(s.message, runWaits(p)))
				}
				terminal.PrintTimetables(w, pipelines.Pipelines)
			}}, err
		}),
	}
}

// runWaits says for which workers the run of a pipeline waits, "" if it does not.
func runWaits(p *apiv1.Pipeline) string {
	if p.Waiting == "" {
		return ""
	}
	return "run " + p.Waiting
}

// streamSummary is the stream of a pipeline in a line of a table; what is not
// known is empty, as is all of it where the pipeline scores nothing.
type streamSummary struct{ state, rows, dead, lag, message string }

// summaryOf sums up the partitions of a pipeline. Its state is the one that needs
// an operator most, and the message that of a partition in it.
func summaryOf(pipeline *apiv1.Pipeline, all []*apiv1.StreamPartition) (s streamSummary) {
	order := []string{thalweg.StreamRunning, thalweg.StreamWaiting, thalweg.StreamPaused, thalweg.StreamStopped}
	worst := -1
	var rows, dead, lag int64
	known, ends := true, true
	for _, p := range all {
		if p.Pipeline != pipeline.Name {
			continue
		}
		if at := slices.Index(order, p.State); at > worst {
			worst, s.state, s.message = at, p.State, p.Message
		} else if at == worst {
			s.message = cmp.Or(s.message, p.Message)
		}
		known, ends = known && p.Committed >= 0, ends && p.End >= 0 && p.Scored >= 0
		rows, dead, lag = rows+p.ScoredRows, dead+p.DeadLetters, lag+max(0, p.End-p.Scored)
	}
	if pipeline.Deletion != "" {
		return streamSummary{state: "deleting", message: pipeline.Deletion}
	}
	if worst < 0 {
		return s
	}
	if pipeline.StreamPaused && s.state == thalweg.StreamRunning {
		s.state = thalweg.StreamPaused // it is about to
	}
	if known {
		s.rows, s.dead = humanize.Comma(rows), humanize.Comma(dead)
		switch {
		case rows == 0 && dead > 0:
			s.message = cmp.Or(s.message, "every event so far is a dead letter: `thalweg dlq list "+pipeline.Name+"` says why")
		case rows == 0 && s.state == thalweg.StreamRunning:
			s.message = cmp.Or(s.message, "no event has been scored yet")
		}
	}
	if ends {
		s.lag = humanize.Comma(lag)
	}
	return s
}
