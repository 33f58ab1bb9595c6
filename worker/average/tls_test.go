package average_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/worker/average"
)

// secured are workers whose exchange is within TLS.
type secured struct {
	authority *pki.Authority
	dir       string
}

func newSecured(t testing.TB) *secured {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.Create(filepath.Join(dir, "ca"), "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &secured{authority, dir}
}

func (s *secured) credentials(t testing.TB, name string) *pki.Credentials {
	t.Helper()
	dir := filepath.Join(s.dir, name)
	if err := s.authority.Issue(dir, pki.Worker, name, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	c, err := pki.Open(slog.New(slog.DiscardHandler), dir, pki.Worker)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// peer is a worker of such an exchange.
type peer struct {
	holder  average.Holder
	server  *average.Server
	tls     *tls.Config
	session *average.Session
}

func (s *secured) peer(t testing.TB, name string) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{server: average.NewServer(), holder: average.Holder{Worker: thalweg.WorkerID(name), Address: l.Addr().String()}}
	server := &http.Server{Handler: p.server, ReadHeaderTimeout: 10 * time.Second}
	if s != nil {
		certs := s.credentials(t, name)
		p.tls, server.Handler, server.TLSConfig = certs.Client(pki.Worker, ""), pki.Require(p.server, pki.Worker), certs.Server()
		go func() { _ = server.ServeTLS(l, "", "") }()
	} else {
		go func() { _ = server.Serve(l) }()
	}
	t.Cleanup(func() { server.Close() })
	return p
}

// join joins all to a run of so many replicas.
func join(t testing.TB, replicas int, peers ...*peer) {
	t.Helper()
	assignment := make(average.Assignment, replicas)
	for r := range assignment {
		assignment[r] = peers[r*len(peers)/replicas].holder
	}
	g := newGroup(assignment)
	for _, p := range peers {
		var err error
		if p.session, err = p.server.Join(average.Run{ID: "r", Worker: p.holder.Worker, Fingerprint: "f"}, g, average.Config{PollWait: 10 * time.Second, TLS: p.tls}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.session.Leave)
	}
}

// round is one exchange, in which all offer the vectors.
func round(t testing.TB, sequence uint64, vectors, into []kernel.Vector, peers ...*peer) {
	t.Helper()
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			held, _ := p.session.Held()
			for _, r := range held {
				p.session.Offer(sequence, r, 1, vectors[r], nil)
			}
			if _, _, err := p.session.Collect(t.Context(), sequence, into[i], offered()); err != nil {
				t.Error(err)
			}
			p.session.Advance(sequence+1, snapshotOf(sequence+1))
		})
	}
	wg.Wait()
}

func TestWorkersExchangeWithinTLS(t *testing.T) {
	s := newSecured(t)
	a, b := s.peer(t, "a"), s.peer(t, "b")
	join(t, 2, a, b)
	vectors := []kernel.Vector{{Float32: []float32{1, 2}}, {Float32: []float32{3, 6}}}
	into := []kernel.Vector{floats.Zeros(2), floats.Zeros(2)}
	round(t, 0, vectors, into, a, b)
	for i, got := range into {
		if got.Float32[0] != 2 || got.Float32[1] != 4 {
			t.Errorf("worker %d has %v, want the mean", i, got.Float32)
		}
	}
}

// BenchmarkTLS is an exchange between two workers of two replicas each within TLS,
// beside the same without: x-plain is the ratio of processor time.
func BenchmarkTLS(b *testing.B) {
	for _, size := range []int{1500, 1 << 20} {
		b.Run(fmt.Sprint(size, " floats"), func(b *testing.B) {
			vectors, into := make([]kernel.Vector, 4), []kernel.Vector{floats.Zeros(size), floats.Zeros(size)}
			for r := range vectors {
				_, vectors[r], _ = given(floats, 0, r, size)
			}
			pairs := make([][]*peer, 2)
			for i, s := range []*secured{newSecured(b), nil} {
				pairs[i] = []*peer{s.peer(b, "a"), s.peer(b, "b")}
				join(b, 4, pairs[i]...)
			}
			took := make([][]float64, 2)
			for sequence := uint64(0); b.Loop(); sequence++ {
				for i, pair := range pairs {
					before := cpuSeconds(b)
					round(b, sequence, vectors, into, pair...)
					took[i] = append(took[i], cpuSeconds(b)-before)
				}
			}
			b.ReportMetric(median(took[0])/median(took[1]), "x-plain")
			b.ReportMetric((median(took[0])-median(took[1]))*1e6, "cpu-µs-more")
		})
	}
}
