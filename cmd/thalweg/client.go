package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/coordinator/api"
)

// verbDownAfter is how long a verb tries to connect: longer than a lost packet
// takes to be sent again, and shorter than people wait without a word.
const verbDownAfter = 1500 * time.Millisecond

// client returns a client of the coordinators that the flags name; see
// api.Config for downAfter.
func (g *globals) client(downAfter time.Duration) (*api.Client, error) {
	return api.NewClient(api.Config{Addresses: g.coordinators, DownAfter: downAfter,
		Unreachable: "start coordinators there, as `thalweg dev` does, or name others: --coordinator [THALWEG_COORDINATOR]; of several a majority must run"})
}

// answer is what a verb prints: a value for programs, and a table for people. One
// without a table is that of a verb which has printed by itself.
type answer struct {
	value any
	table func(io.Writer)
	// failed is why the exit code is 1 although there is an answer.
	failed error
}

// cluster is the coordinators, and the stores and brokers of the flags if the
// verb uses them.
type cluster struct {
	*api.Client
	conns       *connections.Set
	stateBucket string // its name
}

// ask makes a verb of a function that asks the coordinators, and looks at streams
// by itself if it uses stores.
func (g *globals) ask(do func(cmd *cobra.Command, c *cluster, args []string) (answer, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		c := &cluster{stateBucket: g.connections.State}
		if c.Client, err = g.client(verbDownAfter); err != nil {
			return err
		}
		defer c.Client.Close()
		if slices.Contains(usedFlags(cmd), "store") {
			if c.conns, err = g.connections.Open(); err != nil {
				return err
			}
			defer c.conns.Close()
		}
		a, err := do(cmd, c, args)
		if err == nil && a.table != nil {
			err = g.print(cmd.OutOrStdout(), a.value, a.table)
		}
		if err != nil {
			return err
		}
		return a.failed
	}
}

// print writes a value in the format that the flags name; see printAs.
func (g *globals) print(w io.Writer, value any, table func(w io.Writer)) error {
	return terminal.Print(w, g.output, value, table)
}

// interrupted says how to continue where an interrupt ended a verb.
func interrupted(ctx context.Context, op, subject string, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &thalweg.Error{Op: op, Kind: thalweg.Canceled, Subject: subject, Hint: "run the same command again to continue"}
}

// argument returns the i-th argument; empty if there is none.
func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
