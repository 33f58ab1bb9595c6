package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
)

// TestMain is thalweg itself, or a part of it, where a test starts this binary as
// that.
func TestMain(m *testing.M) {
	switch os.Getenv("THALWEG_TEST_RUNS") {
	case "thalweg":
		main()
	case "store":
		runStore()
	}
	os.Exit(m.Run())
}

// storeProcess is an S3 endpoint that runs in a process of its own: a process has
// one at most.
type storeProcess struct {
	cmd   *exec.Cmd
	in    io.Closer
	ready chan struct{}
}

// newStoreProcess starts the process. It stops when Run ends, or this process.
func newStoreProcess(dir string, e embedded.Endpoints) (embedded.Store, error) {
	endpoints, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	s := &storeProcess{cmd: exec.Command(os.Args[0]), ready: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), "THALWEG_TEST_RUNS=store", "THALWEG_TEST_DIR="+dir, "THALWEG_TEST_ENDPOINTS="+string(endpoints))
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && line == "ready\n" {
		close(s.ready)
		return s, nil
	}
	kind := thalweg.Invalid
	if line == "unsupported\n" {
		kind = thalweg.Unsupported
	}
	return nil, &thalweg.Error{Op: "start S3 endpoint", Kind: kind, Err: errors.Join(err, s.cmd.Wait())}
}

// Run implements devStore.
func (s *storeProcess) Run(ctx context.Context) error {
	<-ctx.Done()
	return errors.Join(s.in.Close(), s.cmd.Wait())
}

// Ready implements devStore.
func (s *storeProcess) Ready() <-chan struct{} { return s.ready }

// runStore is the process: it serves until its standard input ends.
func runStore() {
	var e embedded.Endpoints
	err := json.Unmarshal([]byte(os.Getenv("THALWEG_TEST_ENDPOINTS")), &e)
	if err != nil {
		panic(err)
	}
	store, err := embedded.NewStore(os.Getenv("THALWEG_TEST_DIR"), e)
	if thalweg.Is(err, thalweg.Unsupported) {
		os.Stdout.WriteString("unsupported\n")
		os.Exit(0)
	}
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	go func() {
		<-store.Ready()
		os.Stdout.WriteString("ready\n")
	}()
	if err := store.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		panic(err)
	}
	os.Exit(0)
}
