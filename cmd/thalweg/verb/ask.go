package verb

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/cluster"
)

// downAfter is how long a verb tries to connect: longer than a lost packet
// takes to be sent again, and shorter than people wait without a word.
const downAfter = 1500 * time.Millisecond

// Answer is what a verb prints: a value for programs, and a table for people. One
// without a table is that of a verb which has printed by itself.
type Answer struct {
	Value any
	Table func(io.Writer)
	// Failed is why the exit code is 1 although there is an answer.
	Failed error
}

// Ask makes a verb of a function that asks the coordinators, and looks at streams
// by itself if it uses stores.
func (g *Globals) Ask(do func(cmd *cobra.Command, c *cluster.Client, args []string) (Answer, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		c := &cluster.Client{StateBucket: g.Connections.State}
		if c.Client, err = g.Client(downAfter); err != nil {
			return err
		}
		defer c.Close()
		if slices.Contains(UsedFlags(cmd), "store") {
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			defer conns.Close()
			c.Conns = conns
		}
		a, err := do(cmd, c, args)
		if err == nil && a.Table != nil {
			err = g.Print(cmd.OutOrStdout(), a.Value, a.Table)
		}
		if err != nil {
			return err
		}
		return a.Failed
	}
}

// Interrupted says how to continue where an interrupt ended a verb.
func Interrupted(ctx context.Context, op, subject string, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &thalweg.Error{Op: op, Kind: thalweg.Canceled, Subject: subject, Hint: "run the same command again to continue"}
}
