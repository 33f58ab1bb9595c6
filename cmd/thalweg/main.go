// Command thalweg is the one binary: coordinators, workers, the embedded
// development cluster and the verbs that talk to them. A verb is the file of its
// name, or the folder of its name where verbs are below it or it has more than
// one file; root.go holds the table of them. What they share is in verb (how one
// is made), cluster (what one asks) and terminal (what one prints).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // zones where the machine has none, as images do

	"github.com/thalweg/thalweg"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// stopTimeout is how long a command may take to stop: supervisors wait 10 s
// before they kill.
const stopTimeout = 9500 * time.Millisecond

// run executes one command line and returns the exit code: 0 ok, 1 failed or
// invalid. The first interrupt asks the command to stop and lets it drain; the
// second, or stopTimeout, ends the process.
func run(args []string, out, errs io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	ended := make(chan struct{})
	defer close(ended)
	go stopOn(signals, cancel, ended, errs, os.Exit)

	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) || thalweg.Is(err, thalweg.Canceled):
		hint := ""
		if e, ok := errors.AsType[*thalweg.Error](err); ok && e.Hint != "" {
			hint = " (" + e.Hint + ")"
		}
		fmt.Fprintln(errs, "thalweg: interrupted"+hint)
	default:
		fmt.Fprintln(errs, "thalweg: "+err.Error())
	}
	return 1
}

// stopOn asks a command to stop at the first signal, and ends the process at the
// second, or when the command has not ended stopTimeout later.
func stopOn(signals <-chan os.Signal, stop func(), ended <-chan struct{}, errs io.Writer, exit func(code int)) {
	select {
	case <-signals:
	case <-ended:
		return
	}
	stop()
	select {
	case <-ended:
		return
	case <-signals:
	case <-time.After(stopTimeout):
		fmt.Fprintf(errs, "thalweg: ended %v after it was asked to stop, with work under way that does not stop; nothing committed is lost\n", stopTimeout)
	}
	exit(1)
}
