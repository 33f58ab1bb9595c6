// Command thalweg is the one binary: coordinators, workers, the embedded
// development cluster and the verbs that talk to them. One file per command;
// root.go holds the table of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/thalweg/thalweg"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code: 0 ok, 1 failed or
// invalid. The first interrupt asks the command to stop and lets it drain; the
// second ends the process.
func run(args []string, out, errs io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(1)
	}()

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
