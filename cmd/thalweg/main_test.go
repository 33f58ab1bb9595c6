package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever a command waits for, it ends within 10 s of the first signal, and at
// once at the second.
func TestACommandThatDoesNotStopIsEnded(t *testing.T) {
	for name, c := range map[string]struct {
		second bool          // a second signal comes
		ends   time.Duration // when the command stops by itself, 0: never
		code   int           // of the exit, -1: none
		within time.Duration
	}{
		"it hangs":      {code: 1, within: 10 * time.Second},
		"second signal": {second: true, code: 1},
		"it stops":      {ends: 9 * time.Second, code: -1, within: 9 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			signals, ended := make(chan os.Signal, 2), make(chan struct{})
			signals <- syscall.SIGTERM
			if c.second {
				signals <- syscall.SIGTERM
			}
			if c.ends > 0 {
				time.AfterFunc(c.ends, func() { close(ended) })
			}
			var errs bytes.Buffer
			code, stopped, began := -1, false, time.Now()
			stopOn(signals, func() { stopped = true }, ended, &errs, func(exit int) { code = exit })
			if took := time.Since(began); !stopped || code != c.code || took > c.within {
				t.Errorf("%s: stopped %v, exit %d after %v", name, stopped, code, took)
			}
			if told := strings.Contains(errs.String(), "does not stop"); told != (name == "it hangs") {
				t.Errorf("%s: %q", name, &errs)
			}
		})
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
