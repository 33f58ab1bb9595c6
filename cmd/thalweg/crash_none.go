//go:build !chaos

package main

import "github.com/thalweg/thalweg/worker/stream/crash"

// crashGate returns no gate: only a binary built with the tag chaos can be made
// to crash at a chosen step.
func crashGate() (*crash.Gate, error) { return nil, nil }
