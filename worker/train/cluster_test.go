package train_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dataset is generated rows: two numbers and two categories with known weights,
// and a label that follows them.
type dataset struct {
	shards, rows int // rows of a shard
	label        string
	seed         uint64
	batch        int // rows of a batch; any number must do
	terms        int // ids of a term slot
	// before is called before each batch.
	before func(shard int) error
}

// shape is that of the rows.
func (d dataset) shape() kernel.Shape {
	shape := dataShape
	if d.terms > 0 {
		shape.Terms, shape.TermNames = []int{d.terms}, []string{"words"}
	}
	return shape
}

// termsOf returns the terms of a row, of many rows none.
func (d dataset) termsOf(shard, row int) (out []kernel.Term) {
	random := rand.New(rand.NewPCG(uint64(shard), uint64(row)))
	step := uint32(1 + d.terms/(1+random.IntN(20)))
	for id := random.Uint32N(step); id < uint32(d.terms) && row%5 > 0; id += 1 + random.Uint32N(step) {
		out = append(out, kernel.Term{ID: id, Weight: random.Float32()})
	}
	return out
}

var dataShape = kernel.Shape{Numbers: 2, NumberNames: []string{"x", "y"}, Cardinalities: []int{5, 300}, CategoryNames: []string{"few", "many"}}

// truth returns the weight of a category's id.
func truth(slot int, id uint32) float64 { return math.Sin(float64(id)*2.3 + float64(slot)) }

func (d dataset) Read(_ context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) { d.read(shard, yield) }
}

func (d dataset) read(shard int, yield func(*train.Batch, error) bool) {
	random := rand.New(rand.NewPCG(d.seed, uint64(shard)))
	size := d.batch
	if size == 0 {
		size = 700
	}
	for from := 0; from < d.rows; from += size {
		if d.before != nil {
			if err := d.before(shard); err != nil {
				yield(nil, err)
				return
			}
		}
		n := min(size, d.rows-from)
		b := &kernel.Block{Rows: n, Numbers: [][]float32{make([]float32, n), make([]float32, n)},
			Categories: [][]uint32{make([]uint32, n), make([]uint32, n)}, Labels: make([]float32, n)}
		if d.terms > 0 {
			b.Terms = [][][]kernel.Term{make([][]kernel.Term, n)}
		}
		batch := &train.Batch{Block: b, Split: make([]uint8, n), Row: make([]int64, n)}
		for i := range n {
			x, y := random.NormFloat64(), random.NormFloat64()
			few, many := random.Uint32N(5), min(uint32(random.ExpFloat64()*40), 299)
			z := 0.7*x - 1.2*y + truth(0, few) + truth(1, many) - 0.5
			if d.terms > 0 {
				b.Terms[0][i] = d.termsOf(shard, from+i)
				for _, term := range b.Terms[0][i] {
					z += truth(2, term.ID) * float64(term.Weight)
				}
			}
			b.Numbers[0][i], b.Numbers[1][i], b.Categories[0][i], b.Categories[1][i] = float32(x), float32(y), few, many
			switch d.label {
			case "binary":
				if random.Float64() < 1/(1+math.Exp(-z)) {
					b.Labels[i] = 1
				}
			case "category":
				b.Labels[i] = float32(min(max(math.Round(z+random.NormFloat64()+1), 0), 2))
			default:
				b.Labels[i] = float32(5000 + 200*(z+random.NormFloat64()*0.1))
			}
			switch u := random.Float64(); {
			case u < 0.15:
				batch.Split[i] = train.Validation
			case u < 0.30:
				batch.Split[i] = 2
			case u < 0.31:
				batch.Split[i] = train.Unused
				b.Labels[i] = float32(math.NaN())
			}
			batch.Row[i] = int64(3 * (from + i)) // cleaning left gaps
		}
		if !yield(batch, nil) {
			return
		}
	}
}

// training counts the rows of the training split.
func (d dataset) training(t testing.TB) (rows float64) {
	t.Helper()
	d.before = nil
	for shard := range d.shards {
		for b, err := range d.Read(t.Context(), shard) {
			if err != nil {
				t.Fatal(err)
			}
			for _, split := range b.Split {
				if split == train.Training {
					rows++
				}
			}
		}
	}
	return rows
}

// lossOf returns the loss of a type of label.
func lossOf(label string) pipeline.Choice {
	if label != model.Number {
		bound, err := model.Bind(pipeline.Choice{Name: "cross_entropy", Options: new(model.CrossEntropy)},
			model.Labels{Type: label, Classes: []string{"a", "b", "c"}, Counts: []int64{5, 3, 2}})
		if err != nil {
			panic(err)
		}
		return bound
	}
	return pipeline.Choice{Name: "squared", Options: new(model.Squared)}
}

// newJob returns a job over d with small rounds.
func newJob(t testing.TB, d dataset, replicas int) train.Job {
	t.Helper()
	m, err := model.New(pipeline.Choice{Name: "linear", Options: new(model.Linear)}, lossOf(d.label), d.shape())
	if err != nil {
		t.Fatal(err)
	}
	measure := "log_loss"
	if d.label == "number" {
		measure = "mse"
	}
	return train.Job{
		Metrics: metric.Catalog(),
		Run:     "flights-1-1", Model: m, Threshold: 0.5, Shards: d.shards, Rows: d, Input: "generated",
		Trainer: pipeline.Trainer{Seed: 42, BatchSize: 64, Epochs: 3, EarlyStop: 3, ValidationMetric: measure,
			Optimizer:      pipeline.Choice{Name: "adam", Options: &optim.Adam{LearningRate: 0.01, Betas: []float64{0.9, 0.999}, Epsilon: 1e-8}},
			Regularization: pipeline.Regularization{L2: 1e-5 * d.training(t)},
			Distributed:    pipeline.DistributedSpec{Replicas: pipeline.Count(replicas), SyncEvery: 4}},
	}
}

// summary is everything about a result that must not depend on how it came
// about.
func summary(r *train.Result) string {
	h := sha256.New()
	for _, part := range slices.Sorted(maps.Keys(r.Parts)) {
		h.Write(r.Parts[part])
	}
	return fmt.Sprintf("%s, %x, best epoch %d, %d epochs, %d rounds, %s, %v", parametersHash(r), h.Sum(nil), r.BestEpoch, r.Epochs, r.Rounds, r.Stopped, r.Metrics)
}

// parametersHash returns the sha256 of a result's parameters.
func parametersHash(r *train.Result) string {
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, r.Params)
	return hex.EncodeToString(h.Sum(nil))
}

// cluster is workers that share the replicas of a run, over HTTP on loopback.
type cluster struct {
	t        testing.TB
	replicas int
	segment  int // average.Config.SegmentElements

	mu         sync.Mutex
	workers    []*worker
	assignment average.Assignment
	changed    chan struct{}
}

type worker struct {
	name   thalweg.WorkerID
	server *average.Server
	http   *httptest.Server
	config train.Config
	kill   context.CancelCauseFunc
	dead   bool
	wrap   func(train.Exchange) train.Exchange // of its sessions; nil: none
	resume func() map[string][]byte            // the checkpoint that it begins with; nil: the job's
}

// newCluster starts n workers and deals the replicas out.
func newCluster(t testing.TB, replicas, n int) *cluster {
	c := &cluster{t: t, replicas: replicas, changed: make(chan struct{})}
	for i := range n {
		c.add(fmt.Sprint("w", i))
	}
	for r := range replicas {
		c.assignment = append(c.assignment, c.workers[r%n].holder())
	}
	return c
}

func (c *cluster) add(name string) *worker {
	w := &worker{name: thalweg.WorkerID(name), server: average.NewServer(), config: train.Config{Dir: c.t.TempDir(), Parallelism: 2}}
	w.http = httptest.NewServer(w.server)
	c.t.Cleanup(func() {
		w.http.CloseClientConnections()
		w.http.Close()
	})
	c.workers = append(c.workers, w)
	return w
}

func (w *worker) holder() average.Holder {
	return average.Holder{Worker: w.name, Address: strings.TrimPrefix(w.http.URL, "http://")}
}

// Assignment implements average.Group.
func (c *cluster) Assignment() (average.Assignment, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.assignment, c.changed
}

// move gives replicas to new holders: change is called with a copy.
func (c *cluster) move(change func(average.Assignment)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assignment = slices.Clone(c.assignment)
	change(c.assignment)
	close(c.changed)
	c.changed = make(chan struct{})
}

// strike ends a worker for good, whether it has begun or not, and cuts its
// connections.
func (c *cluster) strike(w *worker) {
	c.mu.Lock()
	w.dead = true
	if w.kill != nil {
		w.kill(errKilled)
	}
	c.mu.Unlock()
	w.http.CloseClientConnections()
}

// run lets one worker train until it ends or is killed.
func (c *cluster) run(w *worker, job train.Job, hooks train.Hooks) (*train.Result, error) {
	ctx, kill := context.WithCancelCause(c.t.Context())
	defer kill(nil)
	c.mu.Lock()
	w.kill = kill
	dead := w.dead
	c.mu.Unlock()
	if dead {
		return nil, errKilled
	}
	session, err := w.server.Join(average.Run{ID: job.Run, Worker: w.name, Fingerprint: job.Fingerprint()}, c,
		average.Config{PollWait: 200 * time.Millisecond, SegmentElements: c.segment})
	if err != nil {
		return nil, err
	}
	defer session.Leave()
	if w.resume != nil {
		job.Resume = w.resume()
	}
	exchange := train.Exchange(session)
	if w.wrap != nil {
		exchange = w.wrap(exchange)
	}
	return train.Run(ctx, job, exchange, hooks, w.config)
}

// runAll lets every worker train and returns the one summary that all that
// were not killed agree on.
func (c *cluster) runAll(job train.Job, hooks func(w *worker) train.Hooks) string {
	c.t.Helper()
	var wg sync.WaitGroup
	got := make([]string, len(c.workers))
	finished := make(chan struct{})
	var once sync.Once
	for i, w := range c.workers {
		wg.Go(func() {
			for c.holds(w, finished) {
				result, err := c.run(w, job, hooks(w))
				if thalweg.Is(err, thalweg.Fenced) {
					continue // until it is given a replica again
				}
				switch {
				case errors.Is(err, errKilled):
				case err != nil:
					c.t.Errorf("worker %s: %v", w.name, err)
				default:
					checkLedger(c.t, result)
					got[i] = summary(result)
					once.Do(func() { close(finished) })
				}
				return
			}
		})
	}
	wg.Wait()
	got = slices.DeleteFunc(got, func(s string) bool { return s == "" })
	if len(got) == 0 {
		c.t.Fatal("no worker finished")
	}
	for _, s := range got[1:] {
		if s != got[0] {
			c.t.Errorf("workers disagree:\n%s\n%s", s, got[0])
		}
	}
	return got[0]
}

// holds waits until a worker holds a replica, or the run has finished.
func (c *cluster) holds(w *worker, finished <-chan struct{}) bool {
	for {
		assignment, changed := c.Assignment()
		if slices.ContainsFunc(assignment, func(h average.Holder) bool { return h.Worker == w.name }) {
			return true
		}
		select {
		case <-changed:
		case <-finished:
			return false
		case <-c.t.Context().Done():
			return false
		}
	}
}

var errKilled = errors.New("killed by the test")

func noHooks(*worker) train.Hooks { return train.Hooks{} }

// alone trains on one worker that holds all replicas.
func alone(t testing.TB, job train.Job) string {
	t.Helper()
	return newCluster(t, int(job.Trainer.Distributed.Replicas), 1).runAll(job, noHooks)
}

func checkLedger(t testing.TB, r *train.Result) {
	t.Helper()
	if len(r.Ledger.Epochs) != r.Epochs || r.Ledger.Expected.Rows == 0 {
		t.Errorf("the ledger has %d epochs of %d, %d rows", len(r.Ledger.Epochs), r.Epochs, r.Ledger.Expected.Rows)
	}
	for epoch, used := range r.Ledger.Epochs {
		want := train.RowSet{Rows: r.Ledger.Expected.Rows * int64(r.Ledger.Passes), Digest: r.Ledger.Expected.Digest * train.Digest(r.Ledger.Passes)}
		if used != want {
			t.Errorf("epoch %d used %+v of %+v", epoch+1, used, want)
		}
	}
}
