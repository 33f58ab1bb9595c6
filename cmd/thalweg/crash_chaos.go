//go:build chaos

package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/thalweg/thalweg/worker/stream/crash"
)

// crashGate reads THALWEG_CRASH, "claim:unanswered:2:exit": the steps of streams
// at which this process ends, stops, or loses its connections.
func crashGate() (*crash.Gate, error) {
	text := os.Getenv("THALWEG_CRASH")
	if text == "" {
		return nil, nil
	}
	plans, err := crash.Parse(text)
	if err != nil {
		return nil, err
	}
	script := crash.NewScript(plans...)
	script.Notify = func(p crash.Plan) { fmt.Fprintln(os.Stderr, "thalweg: crash plan carried out:", p) }
	return crash.NewGate(script, crash.Process{
		Exit: func() {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal is there
		},
		Stall: func() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }, // somebody continues it
	}), nil
}
