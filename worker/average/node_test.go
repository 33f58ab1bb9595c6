package average_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/worker/average"
)

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
	// elements is of the type that it exchanges; float32s where it is nil.
	elements kernel.Vector
	// answer is what disturb has set.
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

// newPair starts two workers that have joined a group, of one replica each.
func newPair(t testing.TB) (a, b *node) {
	t.Helper()
	a, b = newNode(t, "a"), newNode(t, "b")
	g := newGroup(deal(2, a, b))
	a.join(t, g, quick)
	b.join(t, g, quick)
	return a, b
}

// disturb has f answer in place of the server's handler, which is next.
func (n *node) disturb(f func(next http.Handler, w http.ResponseWriter, r *http.Request)) {
	n.answer.Store(&f)
}

// status returns how a node answers a request of a path within a run.
func (n *node) status(t testing.TB, run, path string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.http.URL+"/exchange/"+url.PathEscape(run)+"/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Thalweg-Wait", "0")
	request.Header.Set("Thalweg-Fingerprint", "TWX4 f")
	response, err := n.http.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// deal assigns replicas to nodes in turn.
func deal(replicas int, nodes ...*node) average.Assignment {
	var a average.Assignment
	for r := range replicas {
		a = append(a, nodes[r%len(nodes)].holder())
	}
	return a
}

// floats is of the type that most tests exchange.
var floats = kernel.Vector{Float32: []float32{}}

// given is what replica r contributes to an exchange of vectors of a size.
func given(elements kernel.Vector, sequence uint64, r, size int) (weight float64, vector kernel.Vector, note []byte) {
	random := rand.New(rand.NewPCG(sequence, uint64(r)))
	if size > 0 {
		vector = elements.Zeros(size)
		for i := range vector.Float32 {
			vector.Float32[i] = float32(random.NormFloat64())
		}
		for i := range vector.Float64 {
			vector.Float64[i] = random.NormFloat64()
		}
		for i := range vector.Int64 {
			vector.Int64[i] = random.Int64()
		}
		weight = float64(1 + random.IntN(1000))
	}
	return weight, vector, fmt.Appendf(nil, "note of %d to %d", r, sequence)
}

// reduced is the reference: sums in replica order.
func reduced(elements kernel.Vector, sequence uint64, replicas, size int) kernel.Vector {
	if size == 0 {
		return kernel.Vector{}
	}
	out, sums := elements.Zeros(size), make([]float64, size)
	var total float64
	for r := range replicas {
		w, v, _ := given(elements, sequence, r, size)
		for i, x := range v.Float32 {
			sums[i] += w * float64(x)
		}
		for i, x := range v.Float64 {
			out.Float64[i] += x
		}
		for i, x := range v.Int64 {
			out.Int64[i] += x
		}
		total += w
	}
	for i := range out.Float32 {
		out.Float32[i] = float32(sums[i] * (1 / total))
	}
	return out
}

// mean is the reference of the weighted mean.
func mean(sequence uint64, replicas, size int) kernel.Vector {
	return reduced(floats, sequence, replicas, size)
}

// zeros returns what its exchanges of a size are reduced into.
func (n *node) zeros(size int) kernel.Vector {
	switch {
	case size == 0:
		return kernel.Vector{}
	case n.elements.Zeros(1).Len() == 0:
		return floats.Zeros(size)
	}
	return n.elements.Zeros(size)
}

// offer gives what a node's replicas owe to an exchange.
func (n *node) offer(sequence uint64, size int) {
	held, _ := n.session.Held()
	for _, r := range held {
		w, v, note := given(n.zeros(size), sequence, r, size)
		n.session.Offer(sequence, r, w, v, note)
	}
}

// exchange is one turn of a node: offer and collect until it succeeds.
func (n *node) exchange(ctx context.Context, sequence uint64, size int) (kernel.Vector, [][]byte, []byte, error) {
	for {
		n.offer(sequence, size)
		reduced := n.zeros(size)
		notes, newer, err := n.session.Collect(ctx, sequence, reduced, offered())
		if thalweg.Is(err, thalweg.Conflict) {
			continue
		}
		return reduced, notes, newer, err
	}
}

// offered returns a channel that is closed: all was offered before.
func offered() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func snapshotOf(sequence uint64) func() ([]byte, error) {
	return func() ([]byte, error) { return fmt.Appendf(nil, "state before %d", sequence), nil }
}

func checkReduced(t *testing.T, who thalweg.WorkerID, got, want kernel.Vector, notes [][]byte, sequence uint64, replicas int) {
	t.Helper()
	if !reflect.DeepEqual(got, want) { // no element is NaN or 0
		t.Errorf("worker %s, exchange %d: the reduced vector has other bits", who, sequence)
	}
	if len(notes) != replicas {
		t.Errorf("worker %s, exchange %d: %d notes", who, sequence, len(notes))
	}
	for r, note := range notes {
		if _, _, want := given(floats, sequence, r, 0); !bytes.Equal(note, want) {
			t.Errorf("worker %s, exchange %d: note %d is %q", who, sequence, r, note)
		}
	}
}
