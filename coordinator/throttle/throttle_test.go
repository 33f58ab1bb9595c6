package throttle

import (
	"fmt"
	"testing"
	"time"
)

func TestKnownClientsAreBounded(t *testing.T) {
	var b Buckets
	for n := range 3 * maxClients {
		b.Take(fmt.Sprint(n), 2, 5, time.Unix(1_000, 0))
	}
	if n := len(b.mu.used) + len(b.mu.before); n > 2*maxClients {
		t.Errorf("%d clients are known", n)
	}
}

func TestARateMayChange(t *testing.T) {
	var b Buckets
	now := time.Unix(1_000, 0)
	if b.Take("a", 1, 1, now) != 0 || b.Take("a", 1, 1, now) != time.Second {
		t.Error("one a second, and the second of a second does not wait for one")
	}
	if now = now.Add(time.Second); b.Take("a", 10, 1, now) != 0 || b.Take("a", 10, 1, now) != 100*time.Millisecond {
		t.Error("ten a second: the bucket is not as full as it was, or fills as slowly as before")
	}
}
