package main

import "github.com/thalweg/thalweg/coordinator/api"

// client returns a client of the coordinators that the flags name.
func (g *globals) client() (*api.Client, error) {
	return api.NewClient(api.Config{Addresses: g.coordinators})
}
