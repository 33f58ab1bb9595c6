package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/coordinator/api"
)

// client returns a client of the coordinators that the flags name.
func (g *globals) client() (*api.Client, error) {
	return api.NewClient(api.Config{Addresses: g.coordinators,
		Unreachable: "start coordinators there, as `thalweg dev` does, or name others: --coordinator [THALWEG_COORDINATOR]; of several a majority must run"})
}

// dial opens what a verb needs that looks at a stream by itself: the
// coordinators, and the stores and brokers of the flags. hangUp gives them back.
func (g *globals) dial() (c *api.Client, conns *connections, hangUp func(), err error) {
	if conns, err = g.connections.open(); err != nil {
		return nil, nil, nil, err
	}
	if c, err = g.client(); err != nil {
		conns.Close()
		return nil, nil, nil, err
	}
	return c, conns, func() { c.Close(); conns.Close() }, nil
}

// answer is what a verb prints: a value for programs, and a table for people.
type answer struct {
	value any
	table func(io.Writer)
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
		return g.print(cmd.OutOrStdout(), a.value, a.table)
	}
}

// argument returns the i-th argument, or nothing.
func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
