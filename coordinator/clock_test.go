package coordinator

import (
	"bytes"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAClockThatJumpsMovesNoWork: the leader's wall clock jumps an hour ahead, then two back,
// while workers train. Each jump is logged, no lease ends or is given anew, changes are made,
// and the run ends well.
func TestAClockThatJumpsMovesNoWork(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	var log lines
	c := newClusterWithLog(t, 3, func(cfg *Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		cfg.LeaseTTL = 3 * time.Second // longer than a worker may be silent under load
	}, slog.New(slog.NewTextHandler(&log, nil)))
	client := c.client()
	run := c.apply(client, "flights", 1).RunId
	hold := make(chan struct{})
	busy := trainingUntil(hold)
	robots := []*robot{newRobot(c, "w1", busy), newRobot(c, "w2", busy)}
	c.employ(robots...)
	tokens := func() map[string]uint64 {
		held := make(map[string]uint64)
		for _, r := range robots {
			for _, l := range r.leases() {
				if l.Kind == "train" {
					held[l.TaskId] = l.Token
				}
			}
		}
		return held
	}
	c.eventually("both workers train", func() bool { return len(tokens()) == 2 })
	before := tokens()
	for i, jump := range []time.Duration{time.Hour, -time.Hour} {
		ahead.Store(int64(jump))
		c.eventually("each node to log the jump", func() bool { return log.count("the clock jumped") == 3*(i+1) })
		c.apply(client, "others", i+1) // an entry of that time
		told := []int{robots[0].answers(), robots[1].answers()}
		c.eventually("the workers to be told of their leases again", func() bool {
			return robots[0].answers() > told[0]+1 && robots[1].answers() > told[1]+1
		})
		for task, token := range tokens() {
			if before[task] != token {
				t.Errorf("after a jump by %v %s has token %d, before %d", jump, task, token, before[task])
			}
		}
	}
	close(hold)
	if ended := c.awaitRun(client, run); ended.State != "succeeded" {
		t.Errorf("the run ended: %v", ended)
	}
	if n := log.count("worker is lost"); n > 0 {
		t.Errorf("%d workers were taken for lost", n)
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to the log.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(text))
}
