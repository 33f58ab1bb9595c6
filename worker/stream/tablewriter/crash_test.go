package tablewriter

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg/integration/effort"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/crash/crashtest"
)

// How long parts of the story take, on a clock that runs as fast as the machine
// can.
const (
	stallFor  = 3 * time.Second
	zombieFor = 2 * time.Second
	restartIn = 100 * time.Millisecond
	landIn    = time.Minute
)

// keepers are one process after the other that keeps the table of a log which
// grows.
type keepers struct {
	t      *testing.T
	bucket *bucketmem.Bucket
	script *crashtest.Script
	author *author
	mu     struct {
		sync.Mutex
		all []*keeper
	}
}

// keeper is one process.
type keeper struct {
	writer   *Writer
	cancel   context.CancelFunc
	done     chan struct{}
	replaced bool // guarded by keepers.mu: it is dead, or another has taken over
}

// start adds a keeper.
func (k *keepers) start() {
	p := &keeper{done: make(chan struct{})}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		p.replaced = true
	}
	gate := crashtest.NewGate(k.script, crashtest.Process{
		Exit: func() { leave(); p.cancel() },
		Stall: func() {
			leave()
			time.Sleep(stallFor)
			time.AfterFunc(zombieFor, p.cancel)
		},
	})
	p.writer = New(gate.Bucket(k.bucket), slog.New(slog.DiscardHandler), Config{Pipeline: "p", Prefix: prefix,
		Poll: 100 * time.Millisecond, PollSlow: 500 * time.Millisecond, CheckpointEvery: 3, MinBackoff: 10 * time.Millisecond, MaxBackoff: 200 * time.Millisecond})
	p.writer.Add(k.author.source)
	k.mu.Lock()
	k.mu.all = append(k.mu.all, p)
	k.mu.Unlock()
	go func() {
		defer close(p.done)
		p.writer.Run(ctx)
	}()
}

// serving returns the process that is to keep the table, nil if there is none.
func (k *keepers) serving() *keeper {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.mu.all {
		if !p.replaced {
			return p
		}
	}
	return nil
}

// wait lets time pass, in which a keeper that is missed gets a successor.
func (k *keepers) wait(d time.Duration) {
	for ; d > 0; d -= restartIn {
		time.Sleep(min(d, restartIn))
		if k.serving() == nil {
			k.start()
		}
	}
}

// play has the log grow by slots and compactions, and waits until the table has
// them all. The keeper is told of some and has to find others.
func (k *keepers) play() {
	k.start()
	for i := range 12 {
		k.author.slot(int64(2 + i%3))
		if i == 5 || i == 9 {
			k.author.compact(uint64(i-4), uint64(i-3))
		}
		if p := k.serving(); p != nil && i%4 > 0 {
			p.writer.Finished(k.author.source, k.author.slots())
		}
		k.wait(400 * time.Millisecond)
		if i == 3 || i == 7 { // in peace, one makes room for another
			if p := k.serving(); p != nil {
				k.mu.Lock()
				p.replaced = true
				k.mu.Unlock()
				p.cancel()
			}
		}
	}
	want := k.author.liveAfter(k.author.slots())
	began := time.Now()
	for !slices.Equal(k.files(), want) && time.Since(began) < landIn {
		k.wait(restartIn)
	}
	k.wait(stallFor + zombieFor) // for zombies and late requests
	if got := k.files(); !slices.Equal(got, want) {
		k.t.Errorf("the table has\n%q\nthe log\n%q", got, want)
	}
	k.mu.Lock()
	all := slices.Clone(k.mu.all)
	k.mu.Unlock()
	for _, p := range all {
		p.cancel()
		<-p.done
	}
	for _, call := range k.script.Unknown() {
		k.t.Errorf("%q is a step that crashtest.Points does not name: nothing tries what happens when the process dies there", call)
	}
}

func (k *keepers) files() []string {
	_, files := tableOf(k.t, k.bucket, k.author.source)
	return paths(files)
}

func playKeepers(t *testing.T, plans ...crashtest.Plan) (script *crashtest.Script) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &keepers{t: t, bucket: bucketmem.New(), script: crashtest.NewScript(plans...)}
		k.author = newAuthor(t, k.bucket, Source{Topic: "t"}, 1)
		k.play()
		script = k.script
	})
	return script
}

// TestACrashAtAnyStepLosesAndDoublesNoFileOfTheTable takes each step of the
// table that crashtest.Points names, each moment of it, its first, second and last
// time, and has the process die, stall while another takes over, lose its
// connection, or get an error. In the end the table has exactly the live files
// of the log. Without EFFORT=full it takes a few of each point.
func TestACrashAtAnyStepLosesAndDoublesNoFileOfTheTable(t *testing.T) {
	for n, step := range crashtest.Of(crashtest.Table) {
		t.Run(string(step.Point), func(t *testing.T) {
			times := playKeepers(t, step.Needs...).Hits()[step.Point]
			if times < 3 {
				t.Fatalf("%s (%s) came about %d times: the story does not know it", step.Point, step.What, times)
			}
			t.Logf("%-17s comes about %3d times in the story: %s", step.Point, times, step.What)
			for _, when := range crashtest.Whens() {
				for i, nth := range []int{1, 2, times} {
					for _, action := range crashtest.Actions() {
						if n++; !effort.Takes(n, 9) {
							continue
						}
						plan := crashtest.Plan{Point: step.Point, When: when, Nth: nth, Action: action}
						t.Run(fmt.Sprintf("%s/%s/%s", when, []string{"first", "second", "last"}[i], action), func(t *testing.T) {
							crashKeeper(t, plan, step.Needs, i == 2)
						})
					}
				}
			}
		})
	}
}

// lastTries bounds the search for the last time of a step: what happens besides
// decides a little how often steps come about.
const lastTries = 10

func crashKeeper(t *testing.T, plan crashtest.Plan, needs []crashtest.Plan, last bool) {
	t.Helper()
	for range lastTries {
		script := playKeepers(t, append(slices.Clone(needs), plan)...)
		if t.Failed() {
			t.Logf("the plan was %s\nagain: EFFORT=full go test ./worker/stream/tablewriter -run '^%s$'", plan, t.Name())
			return
		}
		if script.Fired(plan) > 0 {
			return
		}
		if !last {
			break
		}
		plan.Nth = script.Hits()[plan.Point]
	}
	t.Errorf("%s came about less often than %d times: nothing was tried", plan.Point, plan.Nth)
}
