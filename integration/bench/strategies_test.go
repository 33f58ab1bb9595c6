package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

// strategies are ways to share a training out, by what the spec says of them: of a model
// with a weight for each value, and of one with a weight for each pair of values.
var strategies = map[bool][]struct{ name, trainer string }{
	false: {
		{"average after each step", "optimizer: {type: adam}, epochs: 10, early_stop: 0, distributed: {replicas: 8, sync_every: 1}"},
		{"after 8 steps", "optimizer: {type: adam}, epochs: 10, early_stop: 0, distributed: {replicas: 8, sync_every: 8}"},
		{"auto: after 64 steps", "optimizer: {type: adam}, epochs: 10, early_stop: 0, distributed: {replicas: 8}"},
		{"once an epoch", "optimizer: {type: adam}, epochs: 10, early_stop: 0, distributed: {replicas: 8, sync_every: 100000}"},
		{"once an epoch, outer nesterov", "optimizer: {type: adam}, epochs: 10, early_stop: 0, distributed: {replicas: 8, sync_every: 100000, outer_optimizer: {type: nesterov}}"},
		{"after 64 steps, outer nesterov", "optimizer: {type: adam}, epochs: 10, early_stop: 0, distributed: {replicas: 8, outer_optimizer: {type: nesterov}}"},
		{"L-BFGS (auto)", "distributed: {replicas: 8}"},
	},
	true: {
		{"pairs: after 8 steps", "optimizer: {type: adam}, epochs: 3, early_stop: 0, distributed: {replicas: 8, sync_every: 8}"},
		{"pairs: after 64 steps", "optimizer: {type: adam}, epochs: 3, early_stop: 0, distributed: {replicas: 8, sync_every: 64}"},
		{"pairs: auto", "optimizer: {type: adam}, epochs: 3, early_stop: 0, distributed: {replicas: 8}"},
		{"pairs: once an epoch", "optimizer: {type: adam}, epochs: 3, early_stop: 0, distributed: {replicas: 8, sync_every: 100000}"},
		{"pairs: once an epoch, outer nesterov", "optimizer: {type: adam}, epochs: 3, early_stop: 0, distributed: {replicas: 8, sync_every: 100000, outer_optimizer: {type: nesterov}}"},
		{"pairs: L-BFGS", "optimizer: {type: lbfgs, warm_epochs: 2}, epochs: 30, distributed: {replicas: 8}"},
	},
}

// BenchmarkStrategies trains the flights on two workers in each way, and prints what
// docs/distributed-training.md has: exchanges, bytes that a worker receives, quality.
func BenchmarkStrategies(b *testing.B) {
	var table strings.Builder
	for _, pairs := range []bool{false, true} {
		for _, s := range strategies[pairs] {
			b.Run(s.name, func(b *testing.B) {
				lines := []string{"  trainer: {" + s.trainer + "}"}
				if pairs {
					lines = append(lines, "  crosses: pairs")
				}
				f := open(b, lines...)
				f.fit(b)
				row := ""
				for b.Loop() {
					began := cpu(b)
					a, result, rounds, received := f.shared(b)
					used := (cpu(b) - began).Seconds()
					values := f.evaluate(b, a, result.Params)
					b.ReportMetric(float64(rounds), "exchanges")
					b.ReportMetric(received/1e6, "MB/worker")
					b.ReportMetric(values["roc_auc"], "roc_auc")
					b.ReportMetric(values["log_loss"], "log_loss")
					b.ReportMetric(used, "cpu-s")
					row = fmt.Sprintf("| %s | %d | %d | %.1f | %.4f | %.4f | %.1f |\n", s.name, result.Epochs, rounds, received/1e6, values["roc_auc"], values["log_loss"], used)
				}
				table.WriteString(row)
			})
		}
	}
	fmt.Printf("| strategy | epochs | exchanges | MB a worker | ROC AUC | log loss | CPU s |\n|---|---|---|---|---|---|---|\n%s", table.String())
}

// shared trains on two workers, half of the replicas each, that exchange over loopback,
// and counts the exchanges, and the bytes that a worker receives on average.
func (f *flights) shared(tb testing.TB) (a *artifact.Artifact, result *train.Result, exchanges int, received float64) {
	tb.Helper()
	trainer := artifact.Trainer(f.plan, f.fitted)
	artifacts := make(chan *artifact.Artifact, 2)
	result, c, received := onTwoWorkers(tb, int(trainer.Distributed.Replicas), func() train.Job {
		own, err := artifact.New(f.plan, f.fitted)
		check(tb, err)
		artifacts <- own
		return train.Job{Metrics: metric.Catalog(), Run: "bench", Trainer: trainer, Model: own.Model, Threshold: f.plan.Label.Threshold,
			Shards: len(f.manifest.Shards), Rows: (*trainingRows)(f), Input: "bench"}
	})
	return <-artifacts, result, c.exchanges, received
}

// onTwoWorkers runs a job on two workers that exchange over loopback. It returns what one of them
// had and counted, and the bytes that a worker received on average.
func onTwoWorkers(tb testing.TB, replicas int, job func() train.Job) (result *train.Result, counted *counter, received float64) {
	tb.Helper()
	var bytes atomic.Int64
	servers, assignment := [2]*average.Server{}, make(average.Assignment, replicas)
	for w := range servers {
		servers[w] = average.NewServer()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(tb, err)
		web := &http.Server{Handler: servers[w]}
		go web.Serve(counting{listener, &bytes})
		tb.Cleanup(func() { web.Close() })
		for r := range assignment {
			if r*2/len(assignment) == w {
				assignment[r] = average.Holder{Worker: thalweg.WorkerID(fmt.Sprint("w", w)), Address: listener.Addr().String()}
			}
		}
	}
	var wg sync.WaitGroup
	for w := range servers {
		wg.Go(func() {
			job := job()
			session, err := servers[w].Join(average.Run{ID: "bench", Worker: thalweg.WorkerID(fmt.Sprint("w", w)), Fingerprint: job.Fingerprint()}, fixed(assignment), average.Config{})
			check(tb, err)
			defer session.Leave()
			own := &counter{Exchange: session}
			r, err := train.Run(tb.Context(), job, own, train.Hooks{}, train.Config{Dir: tb.TempDir(), Parallelism: 1})
			check(tb, err)
			if w == 0 {
				result, counted = r, own
			}
		})
	}
	wg.Wait()
	return result, counted, float64(bytes.Load()) / 2
}

// fixed is an assignment that does not change.
type fixed average.Assignment

func (f fixed) Assignment() (average.Assignment, <-chan struct{}) { return average.Assignment(f), nil }

// counter counts exchanges, and the time that a worker is in them after it has offered its own
// contributions: what it could compute in, if averaging overlapped with computing.
type counter struct {
	train.Exchange
	exchanges int
	waited    time.Duration
	began     time.Time // of the first round's exchange, before which rows are read
}

func (c *counter) Collect(ctx context.Context, sequence uint64, reduced kernel.Vector, offered <-chan struct{}) ([][]byte, []byte, error) {
	at := make(chan time.Time, 1)
	go func() { <-offered; at <- time.Now() }()
	notes, newer, err := c.Exchange.Collect(ctx, sequence, reduced, offered)
	if sequence == 0 {
		c.began = time.Now()
	} else if err == nil {
		c.waited += time.Since(<-at)
	}
	return notes, newer, err
}

func (c *counter) Advance(sequence uint64, snapshot func() ([]byte, error)) {
	c.exchanges = int(sequence)
	c.Exchange.Advance(sequence, snapshot)
}

// counting counts the bytes that are written to the connections of a listener.
type counting struct {
	net.Listener
	bytes *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.bytes}, err
}

type countingConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}
