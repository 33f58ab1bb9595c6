package main

import "github.com/thalweg/thalweg/coordinator/api"

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
