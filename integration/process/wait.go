package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"
)

// pollEvery is how often Until asks.
const pollEvery = 20 * time.Millisecond

// ErrHopeless in a fact's error tells Until to wait no longer.
var ErrHopeless = errors.New("it will never be so")

// Until waits until fact returns nil, and fails the test with fact's last error
// if it does not within Patience, or as soon as that is ErrHopeless. what
// completes the sentence "waited for …".
func Until(t testing.TB, what string, fact func(ctx context.Context) error) {
	t.Helper()
	UntilFor(t, Patience, what, fact)
}

// UntilFor is Until with another patience.
func UntilFor(t testing.TB, patience time.Duration, what string, fact func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := fact(ctx)
		if err == nil {
			return
		}
		if errors.Is(err, ErrHopeless) {
			t.Fatalf("waited for %s: %v", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %v", patience, what, err)
		}
	}
}

// Answers is a fact for Until: the process answers a GET of url with 200.
func (p *Process) Answers(url string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-p.Done():
			return fmt.Errorf("%w: it ended: %s", ErrHopeless, p.Tail())
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", res.Status)
		}
		return nil
	}
}

// The ports that FreeAddress gives lie below those that the kernel hands to
// outgoing connections (32768 and up on Linux), so that none of these takes a
// port between its choice and its use.
const (
	firstPort = 20_000
	portCount = 10_000
	portTries = 1_000
)

// FreeAddress returns host:port of a loopback port on which nothing listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	var err error
	for range portTries {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(portCount))
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatalf("no free port: %v", err)
	return ""
}
