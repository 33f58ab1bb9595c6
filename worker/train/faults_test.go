package train_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

// faults are what befalls a worker at some report of another's: its process ends; it stands
// still, its answers to peers too, while its replicas move and others go on with them; each of
// its rounds takes longer than anybody else's; or another worker comes and gets half of its
// replicas.
var faults = []string{"kill", "pause", "slow", "add"}

const (
	faultReplicas = 8 // so that each of eight workers has one
	sampledFaults = 101
)

// TestTrainingUnderFaults lets one fault befall any algorithm on one to eight workers: the
// model, its metrics and its ledger are those of the undisturbed run, and no round but the
// current one is computed twice, nor the next where the victim was ahead of its peers by one.
// Where the only worker is gone, those since the newest checkpoint are.
func TestTrainingUnderFaults(t *testing.T) {
	all := jobs(t)
	n := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		job, want := all[name], ""
		job.Trainer.Distributed.Replicas = faultReplicas
		job.Trainer.StepsPerCheckpoint = 4
		for workers := 1; workers <= faultReplicas; workers++ {
			for _, fault := range faults {
				if n++; !effort.Takes(n, sampledFaults) {
					continue
				}
				if want == "" {
					want = alone(t, job)
				}
				f := newFaulted(t, job, workers, fault, uint64(n))
				if got := f.run(); got != want {
					t.Errorf("%s, case %d (%s): %s\nundisturbed: %s", name, n, f, got, want)
				}
				if again := f.repeated(); (len(again) > 2 || len(again) == 2 && again[1] != again[0]+1) && !f.resumed() {
					t.Errorf("%s, case %d (%s): exchanges %v were computed twice", name, n, f, again)
				}
			}
		}
	}
	t.Logf("%d cases, one of %d tried", n, map[bool]int{true: 1, false: sampledFaults}[effort.Full()])
}

// faulted is a cluster that trains a job while one fault befalls a worker.
type faulted struct {
	*cluster
	job              train.Job
	fault            string
	victim           *worker
	witness, report  int // the fault comes at this report of this worker
	random           *rand.Rand
	once, releasing  sync.Once
	released, closed chan struct{} // a paused victim goes on; the run is over

	counts struct {
		sync.Mutex
		struck   bool
		offers   map[[2]uint64]int  // by exchange and replica
		reached  map[*worker]uint64 // exchanges
		progress chan struct{}      // closed when one is reached
		goesOn   uint64             // a paused victim does when another has come to this exchange
		saved    map[string][]byte  // the newest checkpoint
	}
}

func newFaulted(t *testing.T, job train.Job, workers int, fault string, seed uint64) *faulted {
	f := &faulted{cluster: newCluster(t, faultReplicas, workers), job: job, fault: fault,
		random: rand.New(rand.NewPCG(seed, 7)), released: make(chan struct{}), closed: make(chan struct{})}
	f.counts.offers, f.counts.reached, f.counts.progress = make(map[[2]uint64]int), make(map[*worker]uint64), make(chan struct{})
	f.segment = []int{1, 1 << 30}[f.random.IntN(2)]
	f.victim = f.workers[f.random.IntN(workers)]
	f.witness, f.report = f.random.IntN(workers), 2+f.random.IntN(12)
	if workers == 1 || fault == "add" {
		fresh := f.add("fresh")
		fresh.resume = func() map[string][]byte {
			f.counts.Lock()
			defer f.counts.Unlock()
			return f.counts.saved
		}
	}
	for _, w := range f.workers {
		w.wrap = f.counted
		w.http.Config.Handler = f.gated(w, w.http.Config.Handler)
	}
	return f
}

func (f *faulted) String() string {
	return fmt.Sprintf("%s %s of %d workers at report %d of w%d", f.fault, f.victim.name, len(f.workers), f.report, f.witness)
}

// resumed reports whether nobody but the newest checkpoint knew what was learnt before.
func (f *faulted) resumed() bool {
	return len(f.workers) == 2 && f.workers[1].name == "fresh" && (f.fault == "kill" || f.fault == "pause")
}

// counted counts what is offered to an exchange.
func (f *faulted) counted(e train.Exchange) train.Exchange { return &countedExchange{e, f} }

type countedExchange struct {
	train.Exchange
	f *faulted
}

// Offer implements train.Exchange.
func (e *countedExchange) Offer(sequence uint64, replica int, weight float64, vector kernel.Vector, note []byte) {
	e.f.counts.Lock()
	e.f.counts.offers[[2]uint64{sequence, uint64(replica)}]++
	e.f.counts.Unlock()
	e.Exchange.Offer(sequence, replica, weight, vector, note)
}

// Finish implements train.Exchange: whoever stands still sees the end too.
func (e *countedExchange) Finish(ctx context.Context) {
	e.f.release()
	e.Exchange.Finish(ctx)
}

// release lets a victim that stands still go on.
func (f *faulted) release() { f.releasing.Do(func() { close(f.released) }) }

// gated answers peers unless the worker stands still.
func (f *faulted) gated(w *worker, next http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if f.standsStill(w) {
			select {
			case <-f.released:
			case <-f.closed:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(out, r)
	})
}

func (f *faulted) standsStill(w *worker) bool {
	f.counts.Lock()
	defer f.counts.Unlock()
	return f.fault == "pause" && w == f.victim && f.counts.struck
}

// strikeNow is what happens at the fault.
func (f *faulted) strikeNow() {
	f.counts.Lock()
	f.counts.struck = true
	for _, at := range f.counts.reached {
		f.counts.goesOn = max(f.counts.goesOn, at+2)
	}
	f.counts.Unlock()
	others := slices.DeleteFunc(slices.Clone(f.workers), func(w *worker) bool { return w == f.victim })
	elsewhere := func(of func(nth int) bool) {
		nth := 0
		f.move(func(a average.Assignment) {
			for r := range a {
				if a[r].Worker != f.victim.name {
					continue
				}
				if nth++; of(nth) {
					a[r] = others[f.random.IntN(len(others))].holder()
				}
			}
		})
	}
	switch f.fault {
	case "kill":
		f.strike(f.victim)
		elsewhere(func(int) bool { return true })
	case "pause": // its leases end, and it comes back
		elsewhere(func(int) bool { return true })
	case "add":
		others = f.workers[len(f.workers)-1:]
		elsewhere(func(nth int) bool { return nth%2 == 0 })
	}
}

// ready holds a worker up as the fault has it.
func (f *faulted) ready(ctx context.Context, w *worker) {
	if f.standsStill(w) {
		select {
		case <-f.released:
		case <-ctx.Done():
		}
	}
	for f.fault == "slow" && w == f.victim {
		f.counts.Lock()
		own, ahead, alone := f.counts.reached[w], false, !f.counts.struck || len(f.counts.reached) < 2
		for other, at := range f.counts.reached {
			ahead = ahead || other != w && at >= own
		}
		next := f.counts.progress
		f.counts.Unlock()
		if ahead || alone {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// run trains, and returns what all workers that are left agree on.
func (f *faulted) run() string {
	defer close(f.closed)
	return f.runAll(f.job, func(w *worker) train.Hooks {
		reports := 0
		return train.Hooks{
			Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
				f.counts.Lock()
				defer f.counts.Unlock()
				f.counts.saved = k.Parts
				return nil
			},
			Ready: func(ctx context.Context) { f.ready(ctx, w) },
			Progress: func(p train.Progress) {
				f.counts.Lock()
				f.counts.reached[w] = cmp.Or(p.Exchange, f.counts.reached[w])
				close(f.counts.progress)
				f.counts.progress = make(chan struct{})
				over := f.counts.struck && w != f.victim && p.Exchange >= f.counts.goesOn
				f.counts.Unlock()
				if over {
					f.release()
				}
				if reports++; w == f.workers[f.witness] && reports == f.report {
					f.once.Do(f.strikeNow)
				}
			},
		}
	})
}

// repeated returns the exchanges of rounds that a replica contributed to twice.
func (f *faulted) repeated() (again []uint64) {
	f.counts.Lock()
	defer f.counts.Unlock()
	for of, n := range f.counts.offers {
		if of[0] > 0 && n > 1 && !slices.Contains(again, of[0]) {
			again = append(again, of[0])
		}
	}
	slices.Sort(again)
	return again
}
