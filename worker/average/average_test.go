package average_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ train.Exchange = (*average.Session)(nil)

// group is an assignment that a test changes.
type group struct {
	mu         sync.Mutex
	assignment average.Assignment
	changed    chan struct{}
}

func newGroup(a average.Assignment) *group {
	return &group{assignment: a, changed: make(chan struct{})}
}

func (g *group) Assignment() (average.Assignment, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.assignment, g.changed
}

func (g *group) assign(a average.Assignment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.assignment = a
	close(g.changed)
	g.changed = make(chan struct{})
}

// node is one worker: a server on loopback and its session.
type node struct {
	name    thalweg.WorkerID
	server  *average.Server
	http    *httptest.Server
	session *average.Session
	// answer wraps the server's handler where a test wants to disturb it.
	answer atomic.Pointer[func(next http.Handler, w http.ResponseWriter, r *http.Request)]
}

func (n *node) holder() average.Holder {
	return average.Holder{Worker: n.name, Address: strings.TrimPrefix(n.http.URL, "http://")}
}

// quick are bounds for tests on loopback.
var quick = average.Config{PollWait: 200 * time.Millisecond, Stall: 5 * time.Second, FinishWait: 5 * time.Second}

// newNode starts a worker without a session.
func newNode(t testing.TB, name string) *node {
	n := &node{name: thalweg.WorkerID(name), server: average.NewServer()}
	n.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := n.answer.Load(); f != nil {
			(*f)(n.server, w, r)
			return
		}
		n.server.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		n.http.CloseClientConnections()
		n.http.Close()
	})
	return n
}

func (n *node) join(t testing.TB, g average.Group, config average.Config) {
	t.Helper()
	session, err := n.server.Join(average.Run{ID: "run 1/x", Worker: n.name, Fingerprint: "f"}, g, config)
	if err != nil {
		t.Fatal(err)
	}
	n.session = session
	t.Cleanup(session.Leave)
}

// deal assigns replicas to nodes in turn.
func deal(replicas int, nodes ...*node) average.Assignment {
	var a average.Assignment
	for r := range replicas {
		a = append(a, nodes[r%len(nodes)].holder())
	}
	return a
}

// given is what replica r contributes to an exchange of vectors of a size.
func given(sequence uint64, r, size int) (weight float64, vector []float32, note []byte) {
	random := rand.New(rand.NewPCG(sequence, uint64(r)))
	if size > 0 {
		vector = make([]float32, size)
		for i := range vector {
			vector[i] = float32(random.NormFloat64())
		}
		weight = float64(1 + random.IntN(1000))
	}
	return weight, vector, fmt.Appendf(nil, "note of %d to %d", r, sequence)
}

// mean is the reference: sums in replica order, in float64.
func mean(sequence uint64, replicas, size int) []float32 {
	sums := make([]float64, size)
	var total float64
	for r := range replicas {
		w, v, _ := given(sequence, r, size)
		for i, x := range v {
			sums[i] += w * float64(x)
		}
		total += w
	}
	out := make([]float32, size)
	for i, sum := range sums {
		out[i] = float32(sum * (1 / total))
	}
	return out
}

// offer gives what a node's replicas owe to an exchange.
func (n *node) offer(sequence uint64, size int) {
	held, _ := n.session.Held()
	for _, r := range held {
		w, v, note := given(sequence, r, size)
		n.session.Offer(sequence, r, w, v, note)
	}
}

// exchange is one turn of a node: offer and collect until it succeeds.
func (n *node) exchange(ctx context.Context, sequence uint64, size int) ([]float32, [][]byte, []byte, error) {
	for {
		n.offer(sequence, size)
		average, notes, newer, err := n.session.Collect(ctx, sequence, size)
		if thalweg.Is(err, thalweg.Conflict) {
			continue
		}
		return average, notes, newer, err
	}
}

func snapshotOf(sequence uint64) func() ([]byte, error) {
	return func() ([]byte, error) { return fmt.Appendf(nil, "state before %d", sequence), nil }
}

func checkAverage(t *testing.T, who thalweg.WorkerID, got, want []float32, notes [][]byte, sequence uint64, replicas int) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
		t.Errorf("worker %s, exchange %d: the average has other bits", who, sequence)
	}
	if len(notes) != replicas {
		t.Errorf("worker %s, exchange %d: %d notes", who, sequence, len(notes))
	}
	for r, note := range notes {
		if _, _, want := given(sequence, r, 0); !bytes.Equal(note, want) {
			t.Errorf("worker %s, exchange %d: note %d is %q", who, sequence, r, note)
		}
	}
}

func TestAverageHasTheSameBitsForAnyWorkers(t *testing.T) {
	const replicas = 5
	for _, size := range []int{0, 1, 1000, 40_001} {
		want := mean(0, replicas, size)
		for workers := 1; workers <= 4; workers++ {
			for _, segmented := range []bool{false, true} {
				config := quick
				config.SegmentFloats = 1 << 30
				if segmented {
					config.SegmentFloats = 1
				}
				t.Run(fmt.Sprintf("%d floats, %d workers, segmented %v", size, workers, segmented), func(t *testing.T) {
					var nodes []*node
					for i := range workers {
						// Names in another order than the replicas.
						nodes = append(nodes, newNode(t, string(rune('z'-i))))
					}
					g := newGroup(deal(replicas, nodes...))
					var wg sync.WaitGroup
					for _, n := range nodes {
						n.join(t, g, config)
						wg.Go(func() {
							for sequence := range uint64(3) {
								want := want
								if sequence > 0 {
									want = mean(sequence, replicas, size)
								}
								got, notes, _, err := n.exchange(t.Context(), sequence, size)
								if err != nil {
									t.Error(err)
									return
								}
								checkAverage(t, n.name, got, want, notes, sequence, replicas)
								n.session.Advance(sequence+1, snapshotOf(sequence+1))
							}
							if err := n.session.Finish(t.Context()); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
				})
			}
		}
	}
}

func TestReplicasOfALostWorkerAreTakenOver(t *testing.T) {
	const replicas, size = 4, 3000
	for _, segmented := range []int{1, 1 << 30} {
		a, b := newNode(t, "a"), newNode(t, "b")
		g := newGroup(deal(replicas, a, b))
		config := quick
		config.SegmentFloats = segmented
		a.join(t, g, config)
		// b never joins: it was lost. Its replicas go to nobody, then to a.
		done := make(chan error, 1)
		var got []float32
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
		checkAverage(t, "a", got, mean(0, replicas, size), notes, 0, replicas)
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
	checkAverage(t, "b", got, mean(3, 2, 10), notes, 3, 2)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPeerOneExchangeAheadStillServes(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	g := newGroup(deal(2, a, b))
	a.join(t, g, quick)
	b.join(t, g, quick)
	b.offer(0, 10)
	if _, _, _, err := a.exchange(t.Context(), 0, 10); err != nil {
		t.Fatal(err)
	}
	a.session.Advance(1, snapshotOf(1))
	got, notes, newer, err := b.exchange(t.Context(), 0, 10)
	if err != nil || newer != nil {
		t.Fatalf("newer %q, error %v", newer, err)
	}
	checkAverage(t, "b", got, mean(0, 2, 10), notes, 0, 2)
}

// damage spoils the first n answers of a node whose path has the given end.
func (n *node) damage(times int32, end string, spoil func(body []byte) []byte) *atomic.Int32 {
	var count atomic.Int32
	f := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
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
	}
	n.answer.Store(&f)
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
		for _, end := range []string{"/contributions", "/average"} {
			t.Run(name+" "+end, func(t *testing.T) {
				a, b := newNode(t, "a"), newNode(t, "b")
				g := newGroup(deal(replicas, a, b))
				config := quick
				config.SegmentFloats = 1
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
				checkAverage(t, "a", got, mean(0, replicas, size), notes, 0, replicas)
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

func TestPeerThatJoinsLateIsWaitedFor(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	g := newGroup(deal(2, a, b))
	config := quick
	config.PollWait = 10 * time.Millisecond // several polls pass before b is there
	a.join(t, g, config)
	// The peer joins when it has been asked in vain.
	asked := make(chan struct{})
	var once sync.Once
	f := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		once.Do(func() { close(asked) })
	}
	b.answer.Store(&f)
	go func() {
		<-asked
		b.join(t, g, quick)
		b.offer(0, 5)
	}()
	got, notes, _, err := a.exchange(t.Context(), 0, 5)
	if err != nil {
		t.Fatal(err)
	}
	checkAverage(t, "a", got, mean(0, 2, 5), notes, 0, 2)
}

func TestContextEndsACollection(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	g := newGroup(deal(2, a, b))
	a.join(t, g, quick)
	b.join(t, g, quick)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	f := func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		cancel(reason)
		next.ServeHTTP(w, r)
	}
	b.answer.Store(&f)
	if _, _, _, err := a.exchange(ctx, 0, 5); !thalweg.Is(err, thalweg.Canceled) || !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
}

func TestFinishWaitsForPeersThatLag(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	g := newGroup(deal(2, a, b))
	a.join(t, g, quick)
	b.join(t, g, quick)
	b.offer(0, 5)
	if _, _, _, err := a.exchange(t.Context(), 0, 5); err != nil {
		t.Fatal(err)
	}
	a.session.Advance(1, snapshotOf(1))
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		_ = a.session.Finish(t.Context())
	}()
	if _, _, _, err := b.exchange(t.Context(), 0, 5); err != nil {
		t.Fatal(err)
	}
	<-finished
	// b has asked a for everything, and a has not asked b: b must find out.
	b.session.Advance(1, snapshotOf(1))
	if err := b.session.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFinishDoesNotWaitForeverForTheDead(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	config := quick
	config.FinishWait = 50 * time.Millisecond
	a.join(t, newGroup(deal(2, a, b)), config)
	a.session.Advance(4, snapshotOf(4))
	if err := a.session.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSessionThatWasLeftStillServesAndIsTakenUpAgain(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	g := newGroup(deal(2, a, b))
	a.join(t, g, quick)
	b.join(t, g, quick)
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
	status := func(run string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.http.URL+"/exchange/"+run+"/0/snapshot", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Thalweg-Wait", "0")
		request.Header.Set("Thalweg-Fingerprint", "f")
		response, err := a.http.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := status("r9"); got != http.StatusOK {
		t.Errorf("the newest: status %d", got)
	}
	if got := status("r0"); got != http.StatusNotFound {
		t.Errorf("the oldest: status %d", got)
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	a := newNode(t, "a")
	a.join(t, newGroup(deal(1, a)), quick)
	a.session.Offer(0, 0, 1, make([]float32, 4), nil)
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
		"0/average?to=4":                            http.StatusNoContent,
		"0/snapshot":                                http.StatusNoContent,
		"0/secret":                                  http.StatusNotFound,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.http.URL+"/exchange/run%201%2Fx/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Thalweg-Wait", "0")
		request.Header.Set("Thalweg-Fingerprint", "f")
		response, err := a.http.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, response.StatusCode, want)
		}
	}
}

func TestJoinRefusesBadConfig(t *testing.T) {
	s := average.NewServer()
	g := newGroup(nil)
	for _, config := range []average.Config{{Scheme: "ftp"}, {PollWait: -1}, {PollWait: time.Hour}, {Stall: -1}, {SegmentFloats: -1}} {
		if _, err := s.Join(average.Run{ID: "r", Worker: "a"}, g, config); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%+v: error %v", config, err)
		}
	}
	if _, err := s.Join(average.Run{ID: "r"}, g, average.Config{}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("no worker: error %v", err)
	}
}
