package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/thalweg/thalweg"
)

// minDescriptors is how many files and connections a process may have open at
// least: for less than that a broker or a store stops taking connections without
// a word.
const minDescriptors = 1024

// requireDescriptors reports whether the process may have enough files and
// connections open. The Go runtime has raised its limit as far as it may.
func requireDescriptors(verb string) error {
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
		Hint: fmt.Sprintf("at least %d are needed, and some for each partition: raise the hard limit (ulimit -Hn, LimitNOFILE of a service, nofile of a container)", minDescriptors)}
}
