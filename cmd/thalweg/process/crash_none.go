//go:build !chaos

package process

import "github.com/thalweg/thalweg/worker"

// CrashGate returns no gate: only a binary built with the tag chaos can be made
// to crash at a chosen step.
func CrashGate() (worker.Gate, error) { return nil, nil }
