package scorer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/devbroker"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline/catalog"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/crash"
	"github.com/thalweg/thalweg/worker/stream/crash/crashtest"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// The story that every crash is put into, and how long parts of it take, on a
// clock that runs as fast as the machine can.
const (
	stallFor    = 3 * time.Second        // how long a stalled process is stopped
	zombieFor   = 2 * time.Second        // how long it goes on believing to be the owner
	restartIn   = 100 * time.Millisecond // until a dead owner has a successor
	settleFor   = 5 * time.Second        // for late requests to arrive
	finishIn    = 5 * time.Minute        // for the last owner to commit everything
	eventsAtOne = 40                     // go come at once
)

// crashWorld is a broker, a store, registered versions, and one process after
// the other that owns the only partition.
type crashWorld struct {
	*world
	script *crashtest.Script
	net    *pipes
	events int // produced so far
	// delivered are the keys of the dead letters in their topic, at the end.
	delivered []string
	// sent are the rows in their topic, at the end.
	sent []string
	mu   struct {
		sync.Mutex
		owners []*crashOwner
	}
}

// crashOwner is one process.
type crashOwner struct {
	world  *crashWorld
	gate   *crashtest.Gate
	scorer *Scorer
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // set before ended is closed

	mu struct {
		sync.Mutex
		replaced bool // it is dead, or another has taken over
	}
}

func newCrashWorld(t *testing.T, models *world, plans []crashtest.Plan) *crashWorld {
	t.Helper()
	w := &crashWorld{script: crashtest.NewScript(plans...), net: newPipes()}
	w.world = &world{t: t, sink: bucketmem.New(), state: models.state, versions: models.versions}
	var err error
	if w.broker, err = devbroker.New("", devbroker.Config{Listen: w.net.Listen}); err != nil {
		t.Fatal(err)
	}
	w.registry = engine.NewRegistry(w.state, catalog.All())
	if w.producer, err = kafka.NewProducer(w.kafka(), kafka.ProducerConfig{}); err != nil {
		t.Fatal(err)
	}
	if err := w.producer.CreateTopic(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []kafka.Config{w.letters(), w.rowsTopic()} {
		p, err := kafka.NewProducer(cfg, kafka.ProducerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		err = p.CreateTopic(t.Context(), 2)
		p.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	w.config = Config{Pipeline: "flight-delays", Generation: 2, Topic: topic, Prefix: "scored/", Compression: "none",
		Batching: Limits{Count: 20, Period: 5 * time.Millisecond}, Rolling: Limits{Count: 30, Period: 200 * time.Millisecond},
		Compaction: compact.Config{MinFiles: 3, Retention: 300 * time.Millisecond},
		FetchWait:  100 * time.Millisecond, MinBackoff: 20 * time.Millisecond, MaxBackoff: 500 * time.Millisecond, DrainTimeout: 2 * time.Second}
	return w
}

func (w *crashWorld) kafka() kafka.Config {
	return kafka.Config{Brokers: []string{w.net.Addr().String()}, Topic: topic, Group: "lag", RequestTimeout: 5 * time.Second, Dial: w.net.Dial}
}

// letters is the topic of dead letters.
func (w *crashWorld) letters() kafka.Config {
	cfg := w.kafka()
	cfg.Topic, cfg.Group, cfg.IsolationLevel = "flights.dlq", "", kafka.ReadCommitted
	return cfg
}

// rowsTopic is the topic of scored rows.
func (w *crashWorld) rowsTopic() kafka.Config {
	cfg := w.letters()
	cfg.Topic = "flights.scored"
	return cfg
}

// start adds an owner.
func (w *crashWorld) start() {
	o := &crashOwner{world: w, ended: make(chan struct{})}
	o.gate = crashtest.NewGate(w.script, crashtest.Process{Exit: o.die, Stall: o.stall})
	source, err := kafka.New(w.kafka())
	if err != nil {
		w.t.Error(err)
		return
	}
	outbox, err := kafka.NewOutbox(w.letters(), kafka.OutboxConfig{Name: "thalweg-test"})
	if err != nil {
		w.t.Error(err)
		return
	}
	rows, err := kafka.NewAppender(w.rowsTopic(), kafka.OutboxConfig{Name: "thalweg-test-rows"})
	if err != nil {
		w.t.Error(err)
		return
	}
	cfg := w.config
	cfg.Rows = &RowsTopic{Topic: "flights.scored", Group: "thalweg-test-rows", Appender: o.gate.Appender(rows)}
	cfg.Hook, cfg.Outbox = o.gate.Do, o.gate.Outbox(outbox)
	if o.scorer, err = New(o.gate.Source(source), o.gate.Bucket(w.sink), w.registry, slog.New(slog.DiscardHandler), cfg); err != nil {
		w.t.Error(err)
		return
	}
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background())
	w.mu.Lock()
	w.mu.owners = append(w.mu.owners, o)
	w.mu.Unlock()
	go func() {
		defer close(o.ended)
		o.err = o.scorer.Run(ctx)
		source.Close()
		outbox.Close()
		rows.Close()
	}()
}

// die is the end of the process: it does nothing more, and is missed after a
// while.
func (o *crashOwner) die() {
	o.leave()
	o.cancel()
}

// stall stops the process until long after another has taken over. Then it goes
// on for a while as if nothing had been.
func (o *crashOwner) stall() {
	o.leave()
	time.Sleep(stallFor)
	time.AfterFunc(zombieFor, o.cancel)
}

func (o *crashOwner) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.replaced = true
}

// serves reports whether the process is the one that is to own the partition.
func (o *crashOwner) serves() bool {
	select {
	case <-o.ended:
		return false
	default:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.mu.replaced
}

// owner returns the process that serves, nil if there is none.
func (w *crashWorld) owner() *crashOwner {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.mu.owners, (*crashOwner).serves)
	if i < 0 {
		return nil
	}
	return w.mu.owners[i]
}

// all returns the processes that there are and were.
func (w *crashWorld) all() []*crashOwner {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.owners)
}

// wait lets time pass, in which an owner that is missed gets a successor.
func (w *crashWorld) wait(d time.Duration) {
	for ; d > 0; d -= restartIn {
		time.Sleep(min(d, restartIn))
		if w.owner() == nil {
			w.start()
		}
	}
}

func (w *crashWorld) come(n int) {
	events := make([]string, n)
	for i := range events {
		if events[i] = goodEvent(w.events + i); (w.events+i)%10 == 3 {
			events[i] = fmt.Sprintf("poison %d", w.events+i)
		}
	}
	w.produce(events...)
	w.events += n
}

func (w *crashWorld) pause(on bool) {
	if o := w.owner(); o != nil {
		o.scorer.Pause(on)
	}
}

func (w *crashWorld) drain() {
	if o := w.owner(); o != nil {
		o.cancel()
	}
}

// play tells the story: events come, the owner is paused and resumed, drained
// and replaced, a new version is promoted; again; and in the end everything
// has to be committed.
func (w *crashWorld) play() {
	w.registry.Offer([]engine.Candidate{w.versions[1]})
	w.start()
	for _, champion := range []int{2, 1} {
		w.come(eventsAtOne)
		w.wait(time.Second)
		w.pause(true)
		w.come(eventsAtOne)
		w.wait(500 * time.Millisecond)
		w.pause(false)
		w.wait(500 * time.Millisecond)
		w.come(eventsAtOne)
		w.drain()
		w.wait(time.Second)
		w.registry.Offer([]engine.Candidate{w.versions[champion], w.versions[3-champion]})
		w.come(eventsAtOne)
		w.wait(time.Second)
	}
	for began := time.Now(); w.committed() < int64(w.events); w.wait(restartIn) {
		if time.Since(began) > finishIn {
			for i, o := range w.all() {
				w.t.Errorf("%d events are not committed after %v: owner %d: %+v", w.events, finishIn, i, o.scorer.Status())
			}
			break
		}
	}
	w.wait(settleFor)
	for i, o := range w.all() {
		o.cancel()
		<-o.ended
		if o.err != nil && !thalweg.Is(o.err, thalweg.Canceled) {
			w.t.Errorf("owner %d stopped: %v", i, o.err)
		}
	}
	w.delivered = w.readTopic(w.letters(), func(r *connectors.Records, i int) string { return string(r.Key(i)) })
	w.sent = w.readTopic(w.rowsTopic(), func(r *connectors.Records, i int) string { return string(r.Value(i)) })
	w.producer.Close()
	w.broker.Close()
	w.net.Close()
}

// readTopic reads a topic as a reader of committed records does.
func (w *crashWorld) readTopic(cfg kafka.Config, text func(r *connectors.Records, i int) string) (all []string) {
	source, err := kafka.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	defer source.Close()
	records := connectors.Records{Want: connectors.Keys}
	for next, deadline := int64(0), time.Now().Add(time.Minute); ; next = records.Next {
		if err := source.Fetch(context.Background(), 0, next, 0, 1<<20, &records); err != nil {
			w.t.Fatal(err)
		}
		for i := range records.Offsets {
			all = append(all, text(&records, i))
		}
		if records.Next == records.End {
			return all
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("topic %s cannot be read beyond %d of %d: a transaction is open", cfg.Topic, records.Next, records.End)
		}
	}
}

// committed returns the offset after the last finished slot, as told by the
// newest owner.
func (w *crashWorld) committed() int64 {
	if o := w.owner(); o != nil {
		return o.scorer.Status().Committed
	}
	return -1
}

// verdict has fsck judge the store, and compares it with what was produced.
func (w *crashWorld) verdict() {
	v := w.judge()
	rows, letters := w.readLive(0)
	if len(rows)+len(letters) != w.events || v.PendingSlots != 0 || v.Absent != 0 {
		w.t.Errorf("%d rows and %d dead letters of %d events, %d slots pending, %d offsets absent", len(rows), len(letters), w.events, v.PendingSlots, v.Absent)
	}
	slices.Sort(w.delivered)
	if want := len(letters); len(w.delivered) != want || len(slices.Compact(w.delivered)) != want {
		w.t.Errorf("%d dead letters are in their topic %d times", want, len(w.delivered))
	}
	w.judgeSent(rows)
	for at := range letters {
		if at%10 != 3 {
			w.t.Errorf("event %d is a dead letter: %+v", at, letters[at])
		}
	}
	for _, call := range w.script.Unknown() {
		w.t.Errorf("%q is a step that crashtest.Points does not name: nothing tries what happens when the process dies there", call)
	}
}

// judgeSent compares the rows of the topic with those of the table, given by offset:
// the same ones, in order, with the same values.
func (w *crashWorld) judgeSent(rows map[int64]scoredRow) {
	var sent []int64
	for _, text := range w.sent {
		var row struct {
			Offset      int64   `json:"_offset"`
			Version     int64   `json:"_model_version"`
			Probability float64 `json:"probability"`
			ScoredAt    string  `json:"_scored_at"`
		}
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			w.t.Errorf("a row in the topic: %v: %s", err, text)
			continue
		}
		sent = append(sent, row.Offset)
		cells := rows[row.Offset].cells
		probability, _ := strconv.ParseFloat(cells["probability"], 64)
		at, err := time.Parse(time.RFC3339, row.ScoredAt)
		if stored, _ := time.Parse("2006-01-02 15:04:05.999999Z07:00", cells["_scored_at"]); err != nil || !stored.Equal(at) || row.Version != rows[row.Offset].version || row.Probability != probability {
			w.t.Errorf("the table has %v, the topic %s", cells, text)
		}
	}
	if want := slices.Sorted(maps.Keys(rows)); !slices.Equal(sent, want) {
		w.t.Errorf("the topic has rows of offsets %v, the table of %v", sent, want)
	}
}

// run plays the story with plans and returns the script that was followed.
func runCrash(t *testing.T, models *world, plans ...crashtest.Plan) (script *crashtest.Script) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newCrashWorld(t, models, plans)
		script = w.script
		w.play()
		w.verdict()
	})
	return script
}

// TestACrashAtAnyStepLosesAndDoublesNothing takes each step that crashtest.Points
// names, each moment of it, its first, second and last time, and has the
// process die, stall while another takes over, lose its connection, or get an
// error. fsck judges each run; a point that never comes about fails the test.
// Without EFFORT=full it takes a few of each point.
func TestACrashAtAnyStepLosesAndDoublesNothing(t *testing.T) {
	models := &world{t: t, state: bucketmem.New(), versions: make(map[int]engine.Candidate)} // all runs share them
	models.register(1)
	models.register(2)
	steps := slices.Concat(crashtest.Of(crashtest.Stream), crashtest.Of(crashtest.Merging)) // small files are merged in each run
	var runs atomic.Int64
	began := time.Now()
	t.Cleanup(func() {
		t.Logf("%d runs at %d points in %v", runs.Load(), len(steps), time.Since(began).Round(time.Millisecond))
	})
	for i, step := range steps {
		t.Run(string(step.Point), func(t *testing.T) {
			t.Parallel()
			times := runCrash(t, models, step.Needs...).Hits()[step.Point]
			if times < 3 {
				t.Fatalf("%s (%s) came about %d times: the story does not know it", step.Point, step.What, times)
			}
			for n, c := range crashCases(step.Point, times) {
				if !effort.Takes(n+i, 9) {
					continue
				}
				t.Run(c.name, func(t *testing.T) { crashOnce(t, models, c, step.Needs); runs.Add(1) })
			}
			t.Logf("%-16s comes about %3d times in the story: %s", step.Point, times, step.What)
		})
	}
}

// crashCase is one run.
type crashCase struct {
	name string
	plan crashtest.Plan
	last bool // the plan is for the last time that the step comes about
}

// crashCases are a point's: each moment × first, second and last time × each
// action.
func crashCases(p crash.Point, times int) (cases []crashCase) {
	for _, when := range crashtest.Whens() {
		for i, nth := range []int{1, 2, times} {
			for _, action := range crashtest.Actions() {
				name := fmt.Sprintf("%s/%s/%s", when, []string{"first", "second", "last"}[i], action)
				cases = append(cases, crashCase{name, crashtest.Plan{Point: p, When: when, Nth: nth, Action: action}, i == 2})
			}
		}
	}
	return cases
}

// lastTries bounds the search for the last time of a step: what happens besides
// decides a little how often steps come about.
const lastTries = 10

func crashOnce(t *testing.T, models *world, c crashCase, needs []crashtest.Plan) {
	t.Helper()
	plan := c.plan
	for range lastTries {
		script := runCrash(t, models, append(slices.Clone(needs), plan)...)
		if script.Fired(plan) > 0 || t.Failed() {
			if t.Failed() {
				t.Logf("the plan was %s\nagain: EFFORT=full go test ./worker/stream/scorer -run '^%s$'", plan, t.Name())
			}
			return
		}
		if !c.last {
			break
		}
		plan.Nth = script.Hits()[plan.Point]
	}
	t.Errorf("%s came about less often than %d times: nothing was tried", plan.Point, plan.Nth)
}
