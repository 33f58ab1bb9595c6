//go:build !chaos

package main

import "github.com/thalweg/thalweg/worker"

// crashGate returns no gate: only a binary built with the tag chaos can be made
// to crash at a chosen step.
func crashGate() (worker.Gate, error) { return nil, nil }
