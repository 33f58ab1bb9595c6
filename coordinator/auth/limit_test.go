package auth

import (
	"fmt"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

func TestAClientThatAsksTooOftenWaitsAndOthersDoNot(t *testing.T) {
	l := newLimits(Config{Rate: 2})
	ada, bob := Identity{Kind: pki.User, Name: "ada"}, Identity{Kind: pki.User, Name: "bob"}
	now := time.Unix(1_000, 0)
	for n := range 2 * burstSeconds {
		if _, err := l.Take(ada, now); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
	}
	wait, err := l.Take(ada, now)
	if !thalweg.Is(err, thalweg.Throttled) || wait != time.Second/2 {
		t.Errorf("the next has to wait %v: %v", wait, err)
	}
	if _, err := l.Take(ada, now); err == nil {
		t.Error("one that was refused counts as served")
	}
	if _, err := l.Take(bob, now); err != nil {
		t.Errorf("another client: %v", err)
	}
	if _, err := l.Take(ada, now.Add(wait)); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestThoseWhoFailAreLimitedByAddressWhateverThePort(t *testing.T) {
	l := newLimits(Config{FailureRate: 1})
	now := time.Unix(1_000, 0)
	for port := range burstSeconds {
		if _, err := l.TakeFailure(fmt.Sprintf("10.0.0.1:%d", port+1), now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.TakeFailure("10.0.0.1:99", now); !thalweg.Is(err, thalweg.Throttled) {
		t.Errorf("one more: %v", err)
	}
	if _, err := l.TakeFailure("10.0.0.2:1", now); err != nil {
		t.Errorf("another address: %v", err)
	}
}
