package worker

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/registry"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/disk"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/average"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stores is a worker's connections: one store in memory and no Kafka.
type stores struct{ *memory.Opener }

func (s stores) Store(string) (storage.Opener, error) { return s.Opener, nil }
func (stores) Source(string, pipeline.Choice, connectors.Reading) (connectors.Source, error) {
	return nil, nil
}
func (stores) Key(string) (table.Key, error)                                 { return table.Key{}, nil }
func (stores) Outbox(string, string, string, int) (connectors.Outbox, error) { return nil, nil }
func (stores) Appender(string, string, string, int) (connectors.Appender, error) {
	return nil, nil
}
func (stores) Known() pipeline.Connections              { return nil }
func (stores) Schemas(string) (*registry.Client, error) { return nil, nil }

// scripted is a coordinator that answers each poll by a function.
type scripted struct {
	mu    sync.Mutex
	polls int
	poll  func(n int, req *apiv1.PollRequest) (*apiv1.PollResponse, error)
	// park, if not nil, says that a poll has no answer until the worker ends it.
	park func() bool
	// worker is the one that was run.
	worker *Worker
}

func (s *scripted) Poll(ctx context.Context, req *apiv1.PollRequest) (*apiv1.PollResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, &thalweg.Error{Op: "poll", Kind: thalweg.Canceled, Err: err}
	}
	s.mu.Lock()
	s.polls++
	res, err := s.poll(s.polls, req)
	s.mu.Unlock()
	if s.park != nil && s.park() {
		<-ctx.Done()
		return nil, &thalweg.Error{Op: "poll", Kind: thalweg.Canceled, Err: ctx.Err()}
	}
	return res, err
}

// run runs a worker against script until script is done with it.
func run(t *testing.T, script func(n int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error)) {
	t.Helper()
	runWith(t, &scripted{}, Config{}, script)
}

// runWith is run with a coordinator and a configuration of the test's own.
func runWith(t *testing.T, c *scripted, cfg Config, script func(n int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c.poll = func(n int, req *apiv1.PollRequest) (*apiv1.PollResponse, error) { return script(n, req, cancel) }
	cfg.SpecCatalog, cfg.ID, cfg.Dir, cfg.PollWait = catalog.All(), "w", t.TempDir(), cmp.Or(cfg.PollWait, time.Millisecond)
	w, err := New(ctx, c, stores{memory.NewOpener("thalweg")}, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.worker = w
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() == context.DeadlineExceeded {
		t.Fatal("the worker never did what the script waits for")
	}
}

// broken is a lease of a task that cannot be begun, so that it reports at once.
func broken(id string, token uint64) *apiv1.Lease {
	return &apiv1.Lease{TaskId: id, RunId: "r", Token: token, Kind: "polish"}
}

func TestAReportIsRepeatedUntilItIsAccepted(t *testing.T) {
	seen := 0
	run(t, func(_ int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		if req.Leaving {
			return &apiv1.PollResponse{}, nil
		}
		res := &apiv1.PollResponse{Leases: []*apiv1.Lease{broken("r/polish@0", 7)}, LeasesHash: "h"}
		for _, r := range req.Reports {
			if r.TaskId != "r/polish@0" || r.Token != 7 || r.Permanent || r.Error == "" {
				t.Errorf("report %v", r)
			}
			seen++
		}
		switch {
		case seen == 1: // the answer to the first is lost
			return nil, &thalweg.Error{Op: "poll", Kind: thalweg.Unavailable}
		case seen >= 2:
			res.Accepted, res.Leases = []string{"r/polish@0"}, nil
			done()
		}
		return res, nil
	})
}

func TestALeaseUnderANewTokenIsBegunAnew(t *testing.T) {
	tokens := map[uint64]bool{}
	run(t, func(_ int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		for _, r := range req.Reports {
			tokens[r.Token] = true
		}
		token := uint64(1)
		if tokens[1] {
			token = 2
		}
		if tokens[2] {
			done()
		}
		return &apiv1.PollResponse{Leases: []*apiv1.Lease{broken("r/polish@0", token)}}, nil
	})
}

func TestALeavingWorkerSaysSo(t *testing.T) {
	left := false
	run(t, func(_ int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		left = left || req.Leaving
		done()
		return &apiv1.PollResponse{}, nil
	})
	if !left {
		t.Error("no poll said that the worker leaves")
	}
}

func TestReportsOfALostLeaseAreForgotten(t *testing.T) {
	phase := 0
	run(t, func(_ int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		switch phase {
		case 0:
			if len(req.Reports) > 0 {
				phase = 1
				return &apiv1.PollResponse{}, nil // the lease is another's now
			}
			return &apiv1.PollResponse{Leases: []*apiv1.Lease{broken("r/polish@0", 1)}}, nil
		default:
			if len(req.Reports) > 0 {
				t.Errorf("still reports %v", req.Reports)
			}
			done()
			return &apiv1.PollResponse{}, nil
		}
	})
}

// stageOf is a catalog with one stage, whose map tasks do what the test says.
func stageOf(do func(ctx context.Context, t *Task) error) StageCatalog {
	return StageCatalog{"": {{Plan: stages.Plan{Name: "work", Over: stages.OverTasks, Number: 1}, Map: do}}}
}

func workLease(token uint64) *apiv1.Lease {
	return &apiv1.Lease{TaskId: "r/work@0", RunId: "r", Kind: "work", Token: token}
}

func TestATaskWhoseLeaseIsGoneIsEnded(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	stages := stageOf(func(ctx context.Context, _ *Task) error {
		close(began)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	})
	runWith(t, &scripted{}, Config{Stages: stages}, func(_ int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		if len(req.Reports) > 0 {
			t.Errorf("a task that was ended reports %v", req.Reports)
		}
		select {
		case <-ended:
			done()
		case <-began:
		default:
			return &apiv1.PollResponse{Leases: []*apiv1.Lease{workLease(1)}}, nil
		}
		return &apiv1.PollResponse{}, nil
	})
}

// An answer without leases under the hash that the worker knows says that nothing
// has changed.
func TestTasksGoOnWhenTheirLeasesAreNotRepeated(t *testing.T) {
	var begun atomic.Int32
	told := make(chan struct{})
	stages := stageOf(func(ctx context.Context, _ *Task) error {
		begun.Add(1)
		select {
		case <-told:
			return nil
		case <-ctx.Done():
			t.Error("the task was ended")
			return ctx.Err()
		}
	})
	runWith(t, &scripted{}, Config{Stages: stages}, func(n int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		switch {
		case n == 1:
			return &apiv1.PollResponse{Leases: []*apiv1.Lease{workLease(1)}, LeasesHash: "h"}, nil
		case req.KnownLeases != "h" && !req.Leaving:
			t.Errorf("poll %d knows leases %q", n, req.KnownLeases)
		case n == 3: // the second answer has been dealt with
			close(told)
		case len(req.Reports) > 0:
			done()
		}
		return &apiv1.PollResponse{LeasesHash: "h"}, nil
	})
	if begun.Load() != 1 {
		t.Errorf("the task was begun %d times", begun.Load())
	}
}

// A worker that hears from no coordinator for the time of a lease ends its
// tasks, and begins them anew under the leases that it is told of then.
func TestTasksEndWithTheirLeasesWhenNoCoordinatorAnswers(t *testing.T) {
	var begun atomic.Int32
	ended := make(chan struct{}, 2)
	stages := stageOf(func(ctx context.Context, _ *Task) error {
		begun.Add(1)
		<-ctx.Done()
		ended <- struct{}{}
		return ctx.Err()
	})
	lost := false
	runWith(t, &scripted{}, Config{Stages: stages, LeaseTTL: 20 * time.Millisecond}, func(_ int, _ *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		select {
		case <-ended:
			lost = true
		default:
		}
		switch {
		case lost && begun.Load() == 2:
			done()
		case !lost && begun.Load() == 1:
			return nil, &thalweg.Error{Op: "poll", Kind: thalweg.Unavailable}
		}
		return &apiv1.PollResponse{Leases: []*apiv1.Lease{workLease(1)}}, nil
	})
}

// The poll is the heartbeat: it does not wait for the tasks that it ends.
func TestAWorkerPollsOnWhileTasksTakeTheirTimeToEnd(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	stages := stageOf(func(ctx context.Context, _ *Task) error {
		close(began)
		<-ctx.Done()
		<-ended
		return ctx.Err()
	})
	after := 0 // polls since the task was told to end
	runWith(t, &scripted{}, Config{Stages: stages, LeaseTTL: 20 * time.Millisecond}, func(n int, _ *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		select {
		case <-began:
		default:
			return &apiv1.PollResponse{Leases: []*apiv1.Lease{workLease(1)}}, nil
		}
		if after++; after == 4 {
			close(ended)
			done()
		}
		return nil, &thalweg.Error{Op: "poll", Kind: thalweg.Unavailable}
	})
	if after < 4 {
		t.Errorf("%d polls", after)
	}
}

func TestAReportCutsAWaitingPollShort(t *testing.T) {
	parked := make(chan struct{})
	stages := stageOf(func(context.Context, *Task) error {
		<-parked
		return nil
	})
	park := false
	c := &scripted{park: func() bool { return park }}
	runWith(t, c, Config{Stages: stages, PollWait: time.Hour}, func(n int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		if park = n == 2; park {
			close(parked)
		}
		if len(req.Reports) > 0 {
			done()
		}
		return &apiv1.PollResponse{Leases: []*apiv1.Lease{workLease(1)}, LeasesHash: "h"}, nil
	})
}

// Two attempts at one task never run side by side on a worker.
func TestATaskUnderANewTokenWaitsForTheOneBefore(t *testing.T) {
	var running, begun atomic.Int32
	second, again := false, make(chan struct{})
	stages := stageOf(func(ctx context.Context, task *Task) error {
		if running.Add(1) > 1 {
			t.Error("two attempts run at once")
		}
		defer running.Add(-1)
		begun.Store(int32(task.Lease.Token))
		if task.Lease.Token == 1 {
			<-ctx.Done()
			<-again // the worker has begun the other, and polled
		}
		return nil
	})
	runWith(t, &scripted{}, Config{Stages: stages}, func(_ int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		for _, r := range req.Reports {
			if r.Token != 2 {
				t.Errorf("report %v", r)
			}
			done()
		}
		if second {
			select {
			case <-again:
			default:
				close(again)
			}
		}
		second = begun.Load() > 0
		if second {
			return &apiv1.PollResponse{Leases: []*apiv1.Lease{workLease(2)}}, nil
		}
		return &apiv1.PollResponse{Leases: []*apiv1.Lease{workLease(1)}}, nil
	})
}

func TestAWorkerIsReadyOnceACoordinatorAnswered(t *testing.T) {
	w, err := New(t.Context(), nil, stores{memory.NewOpener("thalweg")}, slog.New(slog.DiscardHandler), Config{SpecCatalog: catalog.All(), ID: "w", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.listener.Close()
	get := func(path string) int {
		res := httptest.NewRecorder()
		w.handler().ServeHTTP(res, httptest.NewRequest(http.MethodGet, path, nil))
		return res.Code
	}
	if code := get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("before the first answer: %d", code)
	}
	now := time.Now()
	w.answered.Store(&now)
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		if code := get(path); code != http.StatusOK {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// A task for which the disk has no room is another worker's: the report says so, and names
// directory and bytes. This worker takes none of runs until there is more room than there was.
func TestAWorkerWhoseDiskIsFullSaysSoUntilThereIsRoom(t *testing.T) {
	var free atomic.Int64
	free.Store(10 << 20)
	wanted := &thalweg.Error{Op: "train", Kind: thalweg.Exhausted, Subject: "spill directory /spill",
		Err: &disk.FullError{Dir: "/spill", Wanted: 4096, Err: syscall.ENOSPC}}
	cfg := Config{Stages: stageOf(func(context.Context, *Task) error { return wanted }),
		FreeBytes: func(string) (int64, error) { return free.Load(), nil }}
	reported, told := false, 0
	runWith(t, &scripted{}, cfg, func(n int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		switch {
		case !reported && len(req.Reports) == 0: // the task may have found out before it reports
			if n == 1 && req.NoRoom {
				t.Error("it has no room before a disk was full")
			}
			return &apiv1.PollResponse{Leases: []*apiv1.Lease{workLease(1)}}, nil
		case !reported:
			reported = true
			if r := req.Reports[0]; !r.OfWorker || r.Permanent || !strings.Contains(r.Error, "/spill") || !strings.Contains(r.Error, "4096 bytes wanted") {
				t.Errorf("report %v", r)
			}
		case told < 3:
			if told++; !req.NoRoom {
				t.Errorf("it has room with %d bytes free", free.Load())
			}
			free.Add(roomGrowth / 4)
		case told == 3:
			told++
			free.Store(10<<20 + roomGrowth)
		case !req.NoRoom:
			done()
		}
		return &apiv1.PollResponse{Accepted: []string{"r/work@0"}}, nil
	})
}

// A clock that is set says nothing about when a coordinator answered.
func TestTheTimeOfAnAnswerIsOfTheClockThatNobodySets(t *testing.T) {
	c := &scripted{}
	runWith(t, c, Config{}, func(n int, _ *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		if n > 2 {
			done()
		}
		return &apiv1.PollResponse{}, nil
	})
	if last := c.worker.answered.Load(); last == nil || !strings.Contains(last.String(), " m=") {
		t.Errorf("the last answer was at %v", last)
	}
}

// A peer whose connections break is told of by the poll under way's being cut short, and not
// again each time that it is tried.
func TestAPeerThatCannotBeReachedIsToldOfAtOnce(t *testing.T) {
	peer := average.Holder{Worker: "w2", Address: "w2:9"}
	var parked atomic.Bool
	c := &scripted{park: parked.Load}
	told := 0
	runWith(t, c, Config{PollWait: time.Hour}, func(n int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		parked.Store(n == 1)
		if n == 1 {
			for range 100 {
				go c.worker.tasks.unreachable(peer)
			}
		}
		for _, p := range req.Unreachable {
			if told++; p.Worker != "w2" || p.Address != "w2:9" {
				t.Errorf("told of %v", p)
			}
			done()
		}
		return &apiv1.PollResponse{}, nil
	})
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// Training begins no round while its lease says paused.
func TestTrainingIsHeldUpWhileItsLeaseSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held training
		paused := func(paused bool) {
			held.update(&apiv1.Lease{Peers: []*apiv1.Peer{{Worker: "w"}}, Paused: paused})
		}
		paused(true)
		ready := make(chan struct{})
		go func() {
			held.ready(t.Context())
			close(ready)
		}()
		synctest.Wait()
		select {
		case <-ready:
			t.Fatal("it goes on while it is paused")
		default:
		}
		paused(false)
		<-ready
		held.ready(t.Context())
		paused(true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		held.ready(ctx) // the end of its context ends the pause
	})
}
