// Package process is what a process that serves does about the machine that it is
// on: open files, memory, addresses, and a directory of its own. A build with the
// tag chaos crashes at the steps that it is told.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

// minDescriptors is how many files and connections a process may have open at
// least: for less than that a broker or a store stops taking connections without
// a word.
const minDescriptors = 1024

// watchDescriptors looks that often whether so many are left.
const (
	watchEvery       = 500 * time.Millisecond
	spareDescriptors = 16
)

// WatchDescriptors runs what takes descriptors until it ends or there are none left:
// broker and store of a process without tell their clients that they fail, and
// not why.
func WatchDescriptors(ctx context.Context, verb string, run func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	defer func() { cancel(nil); <-watched }()
	go func() {
		defer close(watched)
		for retry.Sleep(ctx, watchEvery) == nil {
			if err := takeDescriptors(spareDescriptors); err != nil {
				cancel(outOfDescriptors(verb, err))
				return
			}
		}
	}()
	err := run(ctx)
	if cause := context.Cause(ctx); thalweg.Is(cause, thalweg.Exhausted) {
		return cause
	}
	return outOfDescriptors(verb, err)
}

// takeDescriptors takes so many for a moment.
func takeDescriptors(n int) error {
	for range n {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		defer f.Close()
	}
	return nil
}

// outOfDescriptors gives an error of running out of descriptors what to do about it.
func outOfDescriptors(verb string, err error) error {
	if !errors.Is(err, syscall.EMFILE) {
		return err
	}
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) // 0 says enough
	return &thalweg.Error{Op: "run " + verb, Kind: thalweg.Exhausted, Subject: fmt.Sprintf("limit of %d open files", limit.Cur), Err: syscall.EMFILE,
		Hint: "about 5 for each partition and 500 besides are needed: " + raiseDescriptors}
}

const raiseDescriptors = "raise the hard limit (ulimit -Hn, LimitNOFILE of a service, nofile of a container)"

// RequireDescriptors reports whether the process may have enough files and
// connections open. The Go runtime has raised its limit as far as it may.
func RequireDescriptors(verb string) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil //nolint:nilerr // it is not known, and may be enough
	}
	return checkDescriptors(verb, limit.Cur)
}

func checkDescriptors(verb string, limit uint64) error {
	if limit >= minDescriptors {
		return nil
	}
	return &thalweg.Error{Op: "start " + verb, Kind: thalweg.Exhausted, Subject: fmt.Sprintf("limit of %d open files", limit),
		Hint: fmt.Sprintf("at least %d are needed, and some for each partition: %s", minDescriptors, raiseDescriptors)}
}
