package main

import (
	"context"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

func newStream(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "stream", Short: "Pause, resume and watch streams",
		Example: "  thalweg stream status flight-delays"}
	cmd.AddCommand(newStreamStatus(g), newStreamPause(g), newStreamResume(g))
	return cmd
}

func newStreamPause(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "pause PIPELINE",
		Short:   "Pause a stream: commit what is scored, then stop fetching",
		Example: "  thalweg stream pause flight-delays",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			return setStream(cmd.Context(), c, "paused", &apiv1.SetStreamRequest{Pipeline: args[0], Paused: true})
		}),
	}
}

func setStream(ctx context.Context, c *cluster, now string, req *apiv1.SetStreamRequest) (answer, error) {
	res, err := c.SetStream(ctx, req)
	return answer{value: res, table: func(w io.Writer) {
		if k := req.Skip; k != nil && k.AcceptTopic != "" {
			fmt.Fprintf(w, "%s/%d: continues with topic %s at its first record\n", req.Pipeline, k.Partition, k.AcceptTopic)
		}
		if k := req.Skip; k != nil && k.From < k.To {
			fmt.Fprintf(w, "%s/%d: offsets [%d, %d) are skipped\n", req.Pipeline, k.Partition, k.From, k.To)
		}
		fmt.Fprintf(w, "%s: %s\n", req.Pipeline, now)
	}}, err
}

func newStreamResume(g *globals) *cobra.Command {
	var skip, accept string
	var partition uint32
	cmd := &cobra.Command{
		Use:   "resume PIPELINE",
		Short: "Resume a stream; with --skip, skip offsets that the topic lost",
		Example: "  thalweg stream resume flight-delays\n" +
			"  thalweg stream resume flight-delays --partition 2 --skip 1200-1450\n" +
			"  thalweg stream resume flight-delays --partition 2 --skip 1200-1450 --accept-topic 5f3a…",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			req := &apiv1.SetStreamRequest{Pipeline: args[0]}
			partitionGiven := cmd.Flags().Changed("partition")
			if skip == "" && accept == "" && !partitionGiven {
				return setStream(cmd.Context(), c, "resumed", req)
			}
			if !partitionGiven {
				return answer{}, &thalweg.Error{Op: "resume stream", Kind: thalweg.Invalid, Subject: args[0], Hint: "--skip and --accept-topic need --partition, as stream status names it"}
			}
			req.Skip = &apiv1.SkipAuthorization{Partition: partition, AcceptTopic: accept}
			var trailing string
			if n, _ := fmt.Sscanf(skip+" ", "%d-%d %s", &req.Skip.From, &req.Skip.To, &trailing); n != 2 {
				return answer{}, terminal.UsageError("--skip", skip, "FROM-TO, as stream status names them")
			}
			status, err := c.StreamStatus(cmd.Context(), &apiv1.StreamStatusRequest{Pipeline: args[0]})
			if err != nil {
				return answer{}, err
			}
			if req.Skip.TopicId, err = checkSkip(status.Partitions, req.Skip); err != nil {
				return answer{}, err
			}
			return setStream(cmd.Context(), c, "resumed", req)
		}),
	}
	cmd.Flags().Uint32Var(&partition, "partition", 0, "partition whose lost offsets are skipped")
	cmd.Flags().StringVar(&skip, "skip", "", "FROM-TO: the offsets that are lost, TO excluded, exactly as stream status names them")
	cmd.Flags().StringVar(&accept, "accept-topic", "", "ID of the new topic, if the topic was deleted and created again")
	return cmd
}

// checkSkip compares the offsets that an operator wants skipped with those that the
// partition has lost, so that a mistake is an error at once. It returns the ID of
// the topic that the offsets are of.
func checkSkip(partitions []*apiv1.StreamPartition, skip *apiv1.SkipAuthorization) (topicID string, err error) {
	fail := func(hint string) error {
		return &thalweg.Error{Op: "resume stream", Kind: thalweg.Conflict, Subject: fmt.Sprintf("partition %d, offsets %d-%d", skip.Partition, skip.From, skip.To), Hint: hint}
	}
	for _, p := range partitions {
		if uint32(p.Partition) != skip.Partition {
			continue
		}
		lost := p.Lost
		switch {
		case lost == nil:
			return "", fail("nothing is missing there")
		case lost.AcceptTopic != skip.AcceptTopic && lost.AcceptTopic == "":
			return "", fail("the topic is still the same one: leave --accept-topic out")
		case lost.AcceptTopic != skip.AcceptTopic:
			return "", fail("the topic was deleted and created again: to use the new one, add --accept-topic " + lost.AcceptTopic)
		case lost.From != skip.From, lost.To != skip.To && (lost.AcceptTopic == "" || skip.To < lost.To):
			return "", fail(fmt.Sprintf("what is missing is %d-%d", lost.From, lost.To))
		}
		return lost.TopicId, nil
	}
	return "", &thalweg.Error{Op: "resume stream", Kind: thalweg.NotFound, Subject: fmt.Sprintf("partition %d", skip.Partition)}
}

func newStreamStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "status [PIPELINE]",
		Short:   "Show state, offsets and lag of each partition",
		Example: "  thalweg stream status flight-delays -o json",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			res, err := c.StreamStatus(cmd.Context(), &apiv1.StreamStatusRequest{Pipeline: argument(args, 0)})
			return answer{value: res, table: func(w io.Writer) {
				terminal.Row(w, "PIPELINE", "TOPIC", "PARTITION", "STATE", "COMMITTED", "SCORED", "END", "LAG", "ROWS", "DEAD", "MISSING", "VERSION", "ROWS/S", "WORKER", "MESSAGE")
				for _, p := range res.Partitions {
					// Counts and speed are known with the log, of which committed is the end.
					rows, dead, missing, speed := "", "", "", ""
					if p.Committed >= 0 {
						rows, dead, missing, speed = humanize.Comma(p.ScoredRows), humanize.Comma(p.DeadLetters), humanize.Comma(p.Missing), fmt.Sprintf("%.0f", p.RowsPerSecond)
					}
					terminal.Row(w, p.Pipeline, p.Topic, p.Partition, p.State, offsetShown(p.Committed), offsetShown(p.Scored), offsetShown(p.End), lagShown(p),
						rows, dead, missing, versionOrDash(p.ModelVersion), speed, p.Worker, p.Message)
				}
			}}, err
		}),
	}
}

// offsetShown prints an offset, of which -1 says that it is not known.
func offsetShown(offset int64) string {
	if offset < 0 {
		return ""
	}
	return fmt.Sprint(offset)
}

// lagShown prints how many events of a partition have not been scored.
func lagShown(p *apiv1.StreamPartition) string {
	if p.End < 0 || p.Scored < 0 {
		return ""
	}
	return fmt.Sprint(max(0, p.End-p.Scored))
}
