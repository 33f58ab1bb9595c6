package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
)

// client returns a client of the coordinators that the flags name.
func (g *globals) client() (*api.Client, error) {
	return api.NewClient(api.Config{Addresses: g.coordinators,
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

// ask makes a verb of a function that asks the coordinators.
func (g *globals) ask(do func(cmd *cobra.Command, c *api.Client, args []string) (answer, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := g.client()
		if err != nil {
			return err
		}
		defer c.Close()
		a, err := do(cmd, c, args)
		if err != nil {
			return err
		}
		if a.table != nil {
			if err := g.print(cmd.OutOrStdout(), a.value, a.table); err != nil {
				return err
			}
		}
		return a.failed
	}
}

// cluster is the coordinators, and the stores and brokers of the flags.
type cluster struct {
	*api.Client
	conns       *connections
	stateBucket string // its name
}

// look makes a verb of a function that looks at streams by itself.
func (g *globals) look(do func(cmd *cobra.Command, c *cluster, args []string) (answer, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		conns, err := g.connections.open()
		if err != nil {
			return err
		}
		defer conns.Close()
		return g.ask(func(cmd *cobra.Command, c *api.Client, args []string) (answer, error) {
			return do(cmd, &cluster{c, conns, g.connections.state}, args)
		})(cmd, args)
	}
}

// interrupted says how to continue where an interrupt ended a verb.
func interrupted(ctx context.Context, op, subject string, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &thalweg.Error{Op: op, Kind: thalweg.Canceled, Subject: subject, Hint: "run the same command again to continue"}
}

// argument returns the i-th argument, or nothing.
func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
