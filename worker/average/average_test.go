package average_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ train.Exchange = (*average.Session)(nil)

func TestReductionHasTheSameBitsForAnyWorkers(t *testing.T) {
	const replicas = 5
	for i, elements := range []kernel.Vector{{}, floats, {Float64: []float64{}}, {Int64: []int64{}}} {
		for _, size := range []int{0, 1, 1000, 40_001} {
			if (size == 0) != (i == 0) {
				continue
			}
			for workers := 1; workers <= 4; workers++ {
				for _, segment := range []int{1 << 30, 1} {
					config := quick
					config.SegmentElements = segment
					t.Run(fmt.Sprintf("type %d, %d elements, %d workers, segments from %d", i, size, workers, segment), func(t *testing.T) {
						reduceEverywhere(t, config, elements, replicas, size, workers)
					})
				}
			}
		}
	}
}

// Of many replicas of others a worker does not hold a chunk each, and the mean has the same
// bits. Of integers it never does.
func TestMemoryForReplicasOfOthersIsBounded(t *testing.T) {
	const replicas, size = 400, 50_000
	for _, elements := range []kernel.Vector{floats, {Int64: []int64{}}} {
		a, b := newNode(t, "a"), newNode(t, "b")
		a.elements, b.elements = elements, elements
		g := newGroup(deal(replicas, a, b))
		a.join(t, g, quick)
		b.join(t, g, quick)
		a.offer(0, size)
		b.offer(0, size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := a.zeros(size)
		notes, _, err := a.session.Collect(t.Context(), 0, got, offered())
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
			t.Errorf("%d replicas of others take %d bytes", replicas/2, took)
		}
		checkReduced(t, "a", got, reduced(elements, 0, replicas, size), notes, 0, replicas)
	}
}

// However many replicas a worker has, it sends one vector of integers, and the sum is that of
// those asked for, also of others than before.
func TestIntegersAreSentAsOneSum(t *testing.T) {
	const size = 30_000
	a, b := newNode(t, "a"), newNode(t, "b")
	a.elements, b.elements = kernel.Vector{Int64: []int64{}}, kernel.Vector{Int64: []int64{}}
	g := newGroup(deal(9, a, b))
	a.join(t, g, quick)
	b.join(t, g, quick)
	var sent atomic.Int64
	b.disturb(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(counted{w, &sent}, r)
	})
	collect := func() {
		t.Helper()
		a.offer(0, size)
		got := a.zeros(size)
		notes, _, err := a.session.Collect(t.Context(), 0, got, offered())
		if err != nil {
			t.Fatal(err)
		}
		checkReduced(t, "a", got, reduced(a.elements, 0, 9, size), notes, 0, 9)
	}
	b.offer(0, size)
	collect()
	if n := sent.Load(); n < 8*size || n > 8*size+1000 {
		t.Errorf("%d bytes are sent of %d integers", n, size)
	}
	g.assign(append(slices.Repeat(average.Assignment{a.holder()}, 3), deal(6, b)...))
	b.offer(0, size)
	collect()
}

// A peer is asked before this worker has made its own contribution.
func TestPeersAreAskedEarly(t *testing.T) {
	a, b := newPair(t)
	asked := make(chan struct{}, 10)
	b.disturb(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		next.ServeHTTP(w, r)
	})
	b.offer(0, 5)
	all, done := make(chan struct{}), make(chan error)
	got := a.zeros(5)
	go func() {
		_, _, err := a.session.Collect(t.Context(), 0, got, all)
		done <- err
	}()
	<-asked
	a.offer(0, 5)
	close(all)
	if err := <-done; err != nil || !reflect.DeepEqual(got, mean(0, 2, 5)) {
		t.Errorf("%v, %v", got, err)
	}
}

// counted counts what is written.
type counted struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (w counted) Write(p []byte) (int, error) {
	w.bytes.Add(int64(len(p)))
	return w.ResponseWriter.Write(p)
}

func (w counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// reduceEverywhere makes three exchanges and compares with the reference.
func reduceEverywhere(t *testing.T, config average.Config, elements kernel.Vector, replicas, size, workers int) {
	var nodes []*node
	for i := range workers {
		// Names in another order than the replicas.
		nodes = append(nodes, newNode(t, string(rune('z'-i))))
		nodes[i].elements = elements
	}
	g := newGroup(deal(replicas, nodes...))
	var wg sync.WaitGroup
	for _, n := range nodes {
		n.join(t, g, config)
		wg.Go(func() {
			for sequence := range uint64(3) {
				got, notes, _, err := n.exchange(t.Context(), sequence, size)
				if err != nil {
					t.Error(err)
					return
				}
				checkReduced(t, n.name, got, reduced(elements, sequence, replicas, size), notes, sequence, replicas)
				n.session.Advance(sequence+1, snapshotOf(sequence+1))
			}
			n.session.Finish(t.Context())
		})
	}
	wg.Wait()
}

func TestReplicasOfALostWorkerAreTakenOver(t *testing.T) {
	const replicas, size = 4, 3000
	for _, segmented := range []int{1, 1 << 30} {
		a, b := newNode(t, "a"), newNode(t, "b")
		g := newGroup(deal(replicas, a, b))
		config := quick
		config.SegmentElements = segmented
		a.join(t, g, config)
		// b never joins: it was lost. Its replicas go to nobody, then to a.
		done := make(chan error, 1)
		var got kernel.Vector
		var notes [][]byte
		go func() {
			var err error
			got, notes, _, err = a.exchange(t.Context(), 0, size)
			done <- err
		}()
		lost := g.assignment
		g.assign(average.Assignment{lost[0], {}, lost[2], {}})
		g.assign(deal(replicas, a))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		checkReduced(t, "a", got, mean(0, replicas, size), notes, 0, replicas)
	}
}

func TestWorkerThatLagsAdoptsTheState(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	alone := newGroup(deal(2, a))
	a.join(t, alone, quick)
	for sequence := range uint64(3) {
		if _, _, _, err := a.exchange(t.Context(), sequence, 10); err != nil {
			t.Fatal(err)
		}
		a.session.Advance(sequence+1, snapshotOf(sequence+1))
	}
	both := deal(2, a, b)
	b.join(t, newGroup(both), quick)
	_, _, newer, err := b.exchange(t.Context(), 0, 10)
	if err != nil || string(newer) != "state before 3" {
		t.Fatalf("newer %q, error %v", newer, err)
	}
	// From there both go on together.
	alone.assign(both)
	done := make(chan error, 1)
	go func() {
		_, _, _, err := a.exchange(t.Context(), 3, 10)
		done <- err
	}()
	got, notes, newer, err := b.exchange(t.Context(), 3, 10)
	if err != nil || newer != nil {
		t.Fatalf("newer %q, error %v", newer, err)
	}
	checkReduced(t, "b", got, mean(3, 2, 10), notes, 3, 2)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPeerOneExchangeAheadStillServes(t *testing.T) {
	a, b := newPair(t)
	b.offer(0, 10)
	if _, _, _, err := a.exchange(t.Context(), 0, 10); err != nil {
		t.Fatal(err)
	}
	a.session.Advance(1, snapshotOf(1))
	got, notes, newer, err := b.exchange(t.Context(), 0, 10)
	if err != nil || newer != nil {
		t.Fatalf("newer %q, error %v", newer, err)
	}
	checkReduced(t, "b", got, mean(0, 2, 10), notes, 0, 2)
}

// damage spoils the first n answers of a node whose path has the given end.
func (n *node) damage(times int32, end string, spoil func(body []byte) []byte) *atomic.Int32 {
	var count atomic.Int32
	n.disturb(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, end) {
			next.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		body := recorded.Body.Bytes()
		if recorded.Code == http.StatusOK && count.Add(1) <= times {
			body = spoil(body)
		}
		for name, values := range recorded.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(body)
	})
	return &count
}

func TestDamagedAnswersAreAskedAnew(t *testing.T) {
	const replicas, size = 3, 20_000
	for name, spoil := range map[string]func([]byte) []byte{
		"flipped element": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"flipped head":    func(b []byte) []byte { b[9] ^= 1; return b },
		"flipped sum":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut short":       func(b []byte) []byte { return b[:len(b)-7] },
		"empty":           func(b []byte) []byte { return nil },
	} {
		for _, end := range []string{"/contributions", "/reduced"} {
			t.Run(name+" "+end, func(t *testing.T) {
				a, b := newNode(t, "a"), newNode(t, "b")
				g := newGroup(deal(replicas, a, b))
				config := quick
				config.SegmentElements = 1
				a.join(t, g, config)
				b.join(t, g, config)
				count := b.damage(2, end, spoil)
				done := make(chan error, 1)
				go func() {
					_, _, _, err := b.exchange(t.Context(), 0, size)
					done <- err
				}()
				got, notes, _, err := a.exchange(t.Context(), 0, size)
				if err != nil {
					t.Fatal(err)
				}
				checkReduced(t, "a", got, mean(0, replicas, size), notes, 0, replicas)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if count.Load() < 3 {
					t.Errorf("asked %d times", count.Load())
				}
			})
		}
	}
}

func TestDamagedSnapshotIsAskedAnew(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	a.join(t, newGroup(deal(2, a, b)), quick)
	a.session.Advance(7, snapshotOf(7))
	a.damage(2, "/snapshot", func(b []byte) []byte { b[0] ^= 1; return b })
	b.join(t, newGroup(deal(2, a, b)), quick)
	if _, _, newer, err := b.exchange(t.Context(), 3, 5); err != nil || string(newer) != "state before 7" {
		t.Fatalf("newer %q, error %v", newer, err)
	}
}

func TestDifferentFingerprintsRefuseEachOther(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	g := newGroup(deal(2, a, b))
	a.join(t, g, quick)
	other, err := b.server.Join(average.Run{ID: "run 1/x", Worker: "b", Fingerprint: "other"}, g, quick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Leave)
	if _, _, _, err := a.exchange(t.Context(), 0, 5); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "different data") {
		t.Errorf("error %v", err)
	}
}

// A worker that writes bodies otherwise is refused, not asked again and again.
func TestOtherFormatsOfBodiesRefuseEachOther(t *testing.T) {
	a, b := newPair(t)
	b.offer(0, 5)
	b.disturb(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Thalweg-Fingerprint", strings.Replace(r.Header.Get("Thalweg-Fingerprint"), "TWX4 ", "", 1)) // as one of TWX3 asks
		next.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithTimeout(t.Context(), quick.Stall)
	defer cancel()
	if _, _, _, err := a.exchange(ctx, 0, 5); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "different versions") {
		t.Errorf("error %v", err)
	}
}

func TestPeerThatJoinsLateIsWaitedFor(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	g := newGroup(deal(2, a, b))
	config := quick
	config.PollWait = 10 * time.Millisecond // several polls pass before b is there
	a.join(t, g, config)
	// The peer joins when it has been asked in vain.
	asked := make(chan struct{})
	var once sync.Once
	b.disturb(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		once.Do(func() { close(asked) })
	})
	go func() {
		<-asked
		b.join(t, g, quick)
		b.offer(0, 5)
	}()
	got, notes, _, err := a.exchange(t.Context(), 0, 5)
	if err != nil {
		t.Fatal(err)
	}
	checkReduced(t, "a", got, mean(0, 2, 5), notes, 0, 2)
}

func TestContextEndsACollection(t *testing.T) {
	a, b := newPair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	b.disturb(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		cancel(reason)
		next.ServeHTTP(w, r)
	})
	if _, _, _, err := a.exchange(ctx, 0, 5); !thalweg.Is(err, thalweg.Canceled) || !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
}

func TestFinishWaitsForPeersThatLag(t *testing.T) {
	a, b := newPair(t)
	b.offer(0, 5)
	if _, _, _, err := a.exchange(t.Context(), 0, 5); err != nil {
		t.Fatal(err)
	}
	a.session.Advance(1, snapshotOf(1))
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		a.session.Finish(t.Context())
	}()
	if _, _, _, err := b.exchange(t.Context(), 0, 5); err != nil {
		t.Fatal(err)
	}
	select {
	case <-finished:
		t.Error("finished before the peer had moved on")
	default:
	}
	b.session.Advance(1, snapshotOf(1))
	<-finished
	b.session.Finish(t.Context())
}

func TestFinishDoesNotWaitForeverForTheDead(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	config := quick
	config.FinishWait = 50 * time.Millisecond
	a.join(t, newGroup(deal(2, a, b)), config)
	a.session.Advance(4, snapshotOf(4))
	a.session.Finish(t.Context())
}

func TestSessionThatWasLeftStillServesAndIsTakenUpAgain(t *testing.T) {
	a, b := newPair(t)
	g := newGroup(deal(2, a, b))
	b.offer(0, 5)
	if _, _, _, err := a.exchange(t.Context(), 0, 5); err != nil {
		t.Fatal(err)
	}
	a.session.Advance(1, snapshotOf(1))
	if _, err := a.server.Join(average.Run{ID: "run 1/x", Worker: "a", Fingerprint: "f"}, g, quick); !thalweg.Is(err, thalweg.Exists) {
		t.Errorf("joined twice: %v", err)
	}
	a.session.Leave()
	if _, _, _, err := b.exchange(t.Context(), 0, 5); err != nil {
		t.Fatal(err)
	}
	a.join(t, g, quick)
	if _, _, newer, err := a.exchange(t.Context(), 0, 5); err != nil || string(newer) != "state before 1" {
		t.Errorf("newer %q, error %v", newer, err)
	}
}

func TestLeftSessionsAreForgottenInTurn(t *testing.T) {
	a := newNode(t, "a")
	g := newGroup(deal(1, a))
	leave := func(run thalweg.RunID) {
		s, err := a.server.Join(average.Run{ID: run, Worker: "a", Fingerprint: "f"}, g, quick)
		if err != nil {
			t.Fatal(err)
		}
		s.Advance(1, snapshotOf(1))
		s.Leave()
	}
	for i := range 10 {
		leave(thalweg.RunID(fmt.Sprint("r", i)))
	}
	if got := a.status(t, "r9", "0/snapshot"); got != http.StatusOK {
		t.Errorf("the newest: status %d", got)
	}
	if got := a.status(t, "r0", "0/snapshot"); got != http.StatusNotFound {
		t.Errorf("the oldest: status %d", got)
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	a := newNode(t, "a")
	a.join(t, newGroup(deal(1, a)), quick)
	a.session.Offer(0, 0, 1, floats.Zeros(4), nil)
	for path, want := range map[string]int{
		"0/contributions?replicas=0&from=0&to=4":    http.StatusOK,
		"x/contributions?replicas=0":                http.StatusBadRequest,
		"0/contributions":                           http.StatusBadRequest,
		"0/contributions?replicas=0,0":              http.StatusBadRequest,
		"0/contributions?replicas=-1":               http.StatusBadRequest,
		"0/contributions?replicas=0&from=3&to=2":    http.StatusBadRequest,
		"0/contributions?replicas=0&to=99999999999": http.StatusBadRequest,
		"0/contributions?replicas=0&to=5":           http.StatusBadRequest,
		"0/contributions?replicas=1":                http.StatusNoContent,
		"0/reduced?to=4":                            http.StatusNoContent,
		"0/snapshot":                                http.StatusNoContent,
		"0/secret":                                  http.StatusNotFound,
	} {
		if got := a.status(t, "run 1/x", path); got != want {
			t.Errorf("%s: status %d, want %d", path, got, want)
		}
	}
}

func TestJoinRefusesBadConfig(t *testing.T) {
	s := average.NewServer()
	g := newGroup(nil)
	for _, config := range []average.Config{{PollWait: -1}, {PollWait: time.Hour}, {Stall: -1}, {SegmentElements: -1}} {
		if _, err := s.Join(average.Run{ID: "r", Worker: "a"}, g, config); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%+v: error %v", config, err)
		}
	}
	if _, err := s.Join(average.Run{ID: "r"}, g, average.Config{}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("no worker: error %v", err)
	}
}

// That nobody is at the other end of a connection is told at once, and that a peer is slow
// is not.
func TestABrokenConnectionIsTold(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	told := make(chan average.Holder, 100)
	config := quick
	config.Broken = func(h average.Holder) {
		select {
		case told <- h:
		default:
		}
	}
	a.join(t, newGroup(deal(2, a, b)), config)
	a.offer(0, 5)
	ctx, cancel := context.WithCancel(t.Context())
	var collecting sync.WaitGroup
	collecting.Go(func() { _, _, _ = a.session.Collect(ctx, 0, a.zeros(5), offered()) })
	asked := make(chan struct{}, 100)
	b.disturb(func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.WriteHeader(http.StatusNoContent) // not yet
	})
	for range 3 {
		<-asked
	}
	if n := len(told); n > 0 {
		t.Errorf("%d times told of a peer that answers", n)
	}
	b.http.CloseClientConnections()
	b.http.Listener.Close()
	if h := <-told; h != b.holder() {
		t.Errorf("told of %v, not %v", h, b.holder())
	}
	cancel()
	collecting.Wait()
}
