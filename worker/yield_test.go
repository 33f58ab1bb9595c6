package worker

import (
	"maps"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// A run beside a stream that is late all the time ends, and leaves what an undisturbed one does.
func TestARunBesideALateStreamLeavesTheSame(t *testing.T) {
	b := newBatchHalf(t)
	want, _, _ := b.all(2)
	late := newBatchHalf(t)
	share := late.worker.cfg.Memory.Share()
	defer share.Close()
	share.Late(true)
	if got, _, _ := late.all(2); !maps.Equal(got, want) {
		t.Errorf("%v, undisturbed %v", got, want)
	}
}

// What does not run waits for nobody's core, and a stream that has scored all is not late.
func TestAStreamIsLateBeyondHalfOfItsTarget(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixMicro() }
	for name, c := range map[string]struct {
		state  string
		oldest int64
		want   bool
	}{
		"all is scored": {thalweg.StreamRunning, 0, false}, "not known": {thalweg.StreamRunning, -1, false}, "half": {thalweg.StreamRunning, ago(5 * time.Second), false},
		"more than half": {thalweg.StreamRunning, ago(5*time.Second + 1000), true}, "far": {thalweg.StreamRunning, ago(time.Hour), true}, "paused": {thalweg.StreamPaused, ago(time.Hour), false},
		"stopped": {thalweg.StreamStopped, ago(time.Hour), false}, "waiting": {thalweg.StreamWaiting, ago(time.Hour), false},
	} {
		if got := isLate(scorer.Status{State: c.state, Oldest: c.oldest}, 10*time.Second, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
