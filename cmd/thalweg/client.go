package main

import (
	"crypto/rand"

	"github.com/thalweg/thalweg/coordinator/api"
)

// client returns a client of the coordinators that the flags name.
func (g *globals) client() (*api.Client, error) {
	return api.NewClient(api.ClientConfig{Addresses: g.coordinators})
}

// requestID names one wish, so that repeating a call after a lost answer does
// not fulfil it twice.
func requestID() string { return rand.Text() }
