//go:build chaos

package process

import (
	"fmt"
	"os"
	"syscall"

	"github.com/thalweg/thalweg/worker"
	"github.com/thalweg/thalweg/worker/stream/crash/crashtest"
)

// CrashGate reads THALWEG_CRASH, "claim:unanswered:2:exit": the steps of streams
// at which this process ends, stops, or loses its connections.
func CrashGate() (worker.Gate, error) {
	text := os.Getenv("THALWEG_CRASH")
	if text == "" {
		return nil, nil
	}
	plans, err := crashtest.Parse(text)
	if err != nil {
		return nil, err
	}
	script := crashtest.NewScript(plans...)
	script.Notify = func(p crashtest.Plan) { fmt.Fprintln(os.Stderr, "thalweg: crash plan carried out:", p) }
	return crashtest.NewGate(script, crashtest.Process{
		Exit: func() {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal is there
		},
		Stall: func() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }, // somebody continues it
	}), nil
}
