package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
)

func TestVerbsSayWithinTwoSecondsThatTheClusterIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var verbs sync.WaitGroup
	for _, line := range []string{"status", "runs", "runs show nyc-1-1", "runs follow nyc-1-1", "models list", "models rollback nyc", "stream status", "stream pause nyc",
		"results nyc", "fsck nyc", "dlq list nyc"} {
		verbs.Go(func() {
			root := newRoot()
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			root.SetArgs(append([]string{"--coordinator", address}, strings.Fields(line)...))
			began := time.Now()
			err := root.ExecuteContext(t.Context())
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s: said after %v", line, took)
			}
			if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "thalweg dev") {
				t.Errorf("%s: %v", line, err)
			}
		})
	}
	verbs.Wait()
}
