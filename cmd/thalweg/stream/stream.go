// Package stream is the verb of that name: streams are watched, paused and resumed.
package stream

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{Use: "stream", Short: "Pause, resume and watch streams",
		Example: "  thalweg stream status flight-delays"}
	cmd.AddCommand(newStatus(g), newPause(g), newResume(g))
	return cmd
}

func set(ctx context.Context, c *cluster.Client, now string, req *apiv1.SetStreamRequest) (verb.Answer, error) {
	res, err := c.SetStream(ctx, req)
	return verb.Answer{Value: res, Table: func(w io.Writer) {
		if k := req.Skip; k != nil && k.AcceptTopic != "" {
			fmt.Fprintf(w, "%s/%d: continues with topic %s at its first record\n", req.Pipeline, k.Partition, k.AcceptTopic)
		}
		if k := req.Skip; k != nil && k.From < k.To {
			fmt.Fprintf(w, "%s/%d: offsets [%d, %d) are skipped\n", req.Pipeline, k.Partition, k.From, k.To)
		}
		fmt.Fprintf(w, "%s: %s\n", req.Pipeline, now)
	}}, err
}
