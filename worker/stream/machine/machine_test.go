package machine

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

type kind uint8

func TestAnOperationThatFailedIsDueAgainAfterAPauseThatGrows(t *testing.T) {
	const fetch, save, kinds = kind(0), kind(1), kind(2)
	o := NewOps(kinds, retry.Backoff{Min: time.Second, Max: time.Minute}, rand.New(rand.NewPCG(1, 1)))
	o.Now = At(time.Unix(10, 0), time.Unix(20, 0))
	if o.Now != (Instant{Mono: 10 * time.Second, Wall: 20_000_000}) {
		t.Errorf("%+v", o.Now)
	}
	for n := 1; n <= 3; n++ {
		if !o.Idle(fetch) {
			t.Fatalf("failure %d: not due", n)
		}
		o.Begin(fetch)
		if o.Idle(fetch) || !o.Busy(fetch) || !o.Idle(save) {
			t.Errorf("one of a kind is under way: %+v", o.ops)
		}
		if _, waits := o.NextRetry(); waits {
			t.Error("what is under way waits for its next try")
		}
		if o.Complete(fetch, &thalweg.Error{Kind: thalweg.Corrupt}) || o.Idle(fetch) {
			t.Error("a failure counts as done")
		}
		at, waits := o.NextRetry()
		if longest := time.Second << (n - 1); !waits || at < o.Now.Mono+longest/2 || at > o.Now.Mono+longest {
			t.Errorf("failure %d: due at %v, now is %v", n, at, o.Now.Mono)
		}
		o.Now.Mono = at
	}
	o.Complete(fetch, errors.New("no route"))
	if r := o.Retry(fetch); r.Failures != 4 || r.Corrupt != 3 || r.Err == nil {
		t.Errorf("%+v", r)
	}
	o.Begin(fetch)
	o.Drop(fetch)
	if o.Idle(fetch) || o.Busy(fetch) {
		t.Error("an operation whose outcome does not matter clears its failures")
	}
	if !o.Complete(fetch, nil) || !o.Idle(fetch) || o.Retry(fetch) != (Retry{}) {
		t.Error("a success leaves failures")
	}
}
