package auth

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/throttle"
)

const (
	// defaultRate is what people and their scripts do not reach by far.
	defaultRate = 500
	// mutationsPart is which part of a client's rate may be mutations: each is an entry
	// of the log and a record of the audit log, and those of one client must not fill it.
	mutationsPart = 5
	// defaultFailures leaves room for a script with an old token, and none for a flood
	// of lines in the log.
	defaultFailures = 2
	// maxRate bounds the rates, above what a coordinator serves.
	maxRate = 1_000_000
	// burstSeconds is how much of a rate may come at once.
	burstSeconds = 5
)

// Limits bound how often a client is served: a name once it has proved who it is, an
// address while it has not. They may be used concurrently.
type Limits struct{ calls, mutations, failures bucket }

func newLimits(c Config) *Limits {
	calls := cmp.Or(c.Rate, defaultRate)
	return &Limits{calls: bucket{rate: calls}, mutations: bucket{rate: calls / mutationsPart}, failures: bucket{rate: cmp.Or(c.FailureRate, defaultFailures)}}
}

// Take counts a request of a client, and returns how long it has to wait if it asks too
// often, with an error of kind Throttled.
func (l *Limits) Take(i Identity, now time.Time) (wait time.Duration, err error) {
	return l.calls.take(i.Kind+"/"+i.Name, i.String(), now)
}

// TakeMutation counts a mutation of a client, which Take has counted as a request.
func (l *Limits) TakeMutation(i Identity, now time.Time) (wait time.Duration, err error) {
	return l.mutations.take(i.Kind+"/"+i.Name, i.String(), now)
}

// TakeFailure counts a request of somebody who did not prove who it is.
func (l *Limits) TakeFailure(remote string, now time.Time) (wait time.Duration, err error) {
	host, _, split := net.SplitHostPort(remote)
	if split != nil {
		host = remote
	}
	return l.failures.take(host, "address "+host, now)
}

// bucket limits each client to so many requests a second.
type bucket struct {
	rate    float64
	buckets throttle.Buckets
}

func (b *bucket) take(client, subject string, now time.Time) (time.Duration, error) {
	wait := b.buckets.Take(client, b.rate, burstSeconds, now)
	if wait == 0 {
		return 0, nil
	}
	return wait, &thalweg.Error{Op: "serve request", Kind: thalweg.Throttled, Subject: subject,
		Hint: fmt.Sprintf("try again in %v", wait.Round(time.Millisecond)), Err: errors.New("it asks too often")}
}
