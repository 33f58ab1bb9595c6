package stream

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newResume(g *verb.Globals) *cobra.Command {
	var skip, accept string
	var partition uint32
	cmd := &cobra.Command{
		Use:   "resume PIPELINE",
		Short: "Resume a stream; with --skip, skip offsets that the topic lost",
		Example: "  thalweg stream resume flight-delays\n" +
			"  thalweg stream resume flight-delays --partition 2 --skip 1200-1450\n" +
			"  thalweg stream resume flight-delays --partition 2 --skip 1200-1450 --accept-topic 5f3a…",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			req := &apiv1.SetStreamRequest{Pipeline: args[0]}
			partitionGiven := cmd.Flags().Changed("partition")
			if skip == "" && accept == "" && !partitionGiven {
				return set(cmd.Context(), c, "resumed", req)
			}
			if !partitionGiven {
				return verb.Answer{}, &thalweg.Error{Op: "resume stream", Kind: thalweg.Invalid, Subject: args[0], Hint: "--skip and --accept-topic need --partition, as stream status names it"}
			}
			req.Skip = &apiv1.SkipAuthorization{Partition: partition, AcceptTopic: accept}
			var trailing string
			if n, _ := fmt.Sscanf(skip+" ", "%d-%d %s", &req.Skip.From, &req.Skip.To, &trailing); n != 2 {
				return verb.Answer{}, terminal.UsageError("--skip", skip, "FROM-TO, as stream status names them")
			}
			status, err := c.StreamStatus(cmd.Context(), &apiv1.StreamStatusRequest{Pipeline: args[0]})
			if err != nil {
				return verb.Answer{}, err
			}
			if req.Skip.TopicId, err = checkSkip(status.Partitions, req.Skip); err != nil {
				return verb.Answer{}, err
			}
			return set(cmd.Context(), c, "resumed", req)
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
