package worker

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/connectors/registry"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stores is a worker's connections: one store in memory and no Kafka.
type stores struct{ *memory.Opener }

func (s stores) Store(string) (storage.Opener, error)   { return s.Opener, nil }
func (stores) Kafka(string) (kafka.Config, error)       { return kafka.Config{}, nil }
func (stores) Schemas(string) (*registry.Client, error) { return nil, nil }

// scripted is a coordinator that answers each poll by a function.
type scripted struct {
	mu    sync.Mutex
	polls int
	poll  func(n int, req *apiv1.PollRequest) (*apiv1.PollResponse, error)
}

func (s *scripted) Poll(ctx context.Context, req *apiv1.PollRequest) (*apiv1.PollResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, &thalweg.Error{Op: "poll", Kind: thalweg.Canceled, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls++
	return s.poll(s.polls, req)
}

// run runs a worker against script until script is done with it.
func run(t *testing.T, script func(n int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := &scripted{poll: func(n int, req *apiv1.PollRequest) (*apiv1.PollResponse, error) { return script(n, req, cancel) }}
	w, err := New(ctx, c, stores{memory.NewOpener("thalweg")}, slog.New(slog.DiscardHandler),
		Config{SpecCatalog: catalog.All(), ID: "w", Dir: t.TempDir(), PollWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() == context.DeadlineExceeded {
		t.Fatal("the worker never did what the script waits for")
	}
}

// broken is a lease of a task that cannot be begun, so that it reports at once.
func broken(id string, token uint64) *apiv1.Lease {
	return &apiv1.Lease{TaskId: id, Token: token, Kind: "polish"}
}

func TestAReportIsRepeatedUntilItIsAccepted(t *testing.T) {
	seen := 0
	run(t, func(_ int, req *apiv1.PollRequest, done func()) (*apiv1.PollResponse, error) {
		if req.Leaving {
			return &apiv1.PollResponse{}, nil
		}
		res := &apiv1.PollResponse{Leases: []*apiv1.Lease{broken("r/polish@0", 7)}, LeasesHash: "h"}
		for _, r := range req.Reports {
			if r.TaskId != "r/polish@0" || r.Token != 7 || !r.Permanent || r.Error == "" {
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
