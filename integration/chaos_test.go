//go:build integration

package integration

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

// The size of a chaos.
const (
	chaosRuns       = 6 // unless CHAOS_RUNS says otherwise
	chaosWorkers    = 2
	chaosPartitions = 3
	chaosFlow       = 3 * time.Second // how long events come at least
	chaosWatch      = 50 * time.Millisecond
)

// chaos is a cluster whose workers reach everything through proxies, and runs
// that disturb it.
type chaos struct {
	t       *testing.T // of all runs: what is started again lasts beyond a run
	kafka   *apache.Cluster
	store   *minio.Server
	cluster *cluster
	lake    storage.Bucket
	proxies map[string]*proxy // "w0 to s3" → what lies between
	workers [chaosWorkers]victim
}

// victim is what is known of a worker.
type victim struct {
	plan    string    // THALWEG_CRASH of its next start
	hold    time.Time // it is left alone until then
	stopped bool      // it was seen to have stopped, or was stopped
}

// links are what a worker's connections lead to.
var links = []string{"s3", "kafka", "coordinator"}

func startChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{t: t, proxies: make(map[string]*proxy)}
	server := minio.Start(t)
	var listeners []apache.Listener
	for w := range chaosWorkers {
		broker := process.FreeAddress(t)
		p := startProxy(t, broker)
		c.proxies[link(w, "kafka")] = p
		listeners = append(listeners, apache.Listener{Address: broker, Advertised: p.Address})
		c.proxies[link(w, "s3")] = startProxy(t, server.Address)
	}
	c.kafka = apache.Start(t, apache.Config{Proxied: listeners})
	c.store, c.lake = server, newLake(t, server)
	coordinator := process.FreeAddress(t)
	for w := range chaosWorkers {
		c.proxies[link(w, "coordinator")] = startProxy(t, coordinator)
	}
	c.cluster = startCluster(t, clusterConfig{S3: server, Kafka: c.kafka, Coordinators: 1, Workers: chaosWorkers, Tags: "chaos",
		CoordinatorAddress: coordinator, Env: c.env})
	return c
}

func link(worker int, to string) string { return fmt.Sprintf("w%d to %s", worker, to) }

// env is what differs from process to process.
func (c *chaos) env(member string) []string {
	w, err := strconv.Atoi(strings.TrimPrefix(member, "w"))
	if err != nil {
		return nil // a coordinator
	}
	return []string{
		"THALWEG_STORE=http://" + c.proxies[link(w, "s3")].Address,
		"THALWEG_KAFKA=" + c.proxies[link(w, "kafka")].Address,
		"THALWEG_COORDINATOR=" + c.proxies[link(w, "coordinator")].Address,
		"THALWEG_CRASH=" + c.workers[w].plan,
	}
}

// TestChaos disturbs real processes on real servers in ways that a seed draws:
// workers, the coordinator and the store are killed, workers are stopped until others have
// taken over and wake as zombies, networks are cut, frozen, muted and slowed,
// and workers crash at chosen steps. Each run has a topic and a sink of its own;
// in the end fsck judges it, and each event that was sent must be in exactly one
// row or dead letter.
//
// CHAOS_RUNS says how many runs; CHAOS_SEED the seed of the first, the next has
// the next: CHAOS_RUNS=1 CHAOS_SEED=n plays run n again.
func TestChaos(t *testing.T) {
	runs, seed := number(t, "CHAOS_RUNS", chaosRuns), number(t, "CHAOS_SEED", int(time.Now().UnixMicro()%1_000_000_000))
	c := startChaos(t)
	first := apply(t, c.cluster, c.spec(t, "none-yet", "chaos/none/", chaosFeatures{}))
	waitRun(t, c.cluster, first, "the first model", succeeded)
	table := newChaosTable(t)
	for n := range runs {
		r := &chaosRun{chaos: c, seed: seed + n, rng: rand.New(rand.NewPCG(uint64(seed+n), 3))}
		ok := t.Run(fmt.Sprintf("seed=%d", r.seed), r.play)
		table.add(t, n, r, ok)
		if !ok {
			t.Logf("again: CHAOS_RUNS=1 CHAOS_SEED=%d make chaos", r.seed)
			c.mend(t) // the next run shall not suffer from this one
		}
	}
}

func number(t *testing.T, name string, fallback int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(fallback)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// spec is the demo's, with a topic and a sink of a run's own, small files, and a
// training that is soon over.
func (c *chaos) spec(t *testing.T, topic, prefix string, features chaosFeatures) string {
	t.Helper()
	spec := streamSpec(t, 300*time.Millisecond, "  trainer: {epochs: 2}\n")
	for old, replacement := range map[string]string{"topic: flights}": "topic: " + topic + "}", "s3://lake/scored/flight-delays/": "s3://lake/" + prefix} {
		if !strings.Contains(spec, old) {
			t.Fatalf("the demo's spec has no %q", old)
		}
		spec = strings.Replace(spec, old, replacement, 1)
	}
	return features.in(t, spec)
}

// mend ends all trouble: networks pass, and every process runs.
func (c *chaos) mend(t *testing.T) {
	t.Helper()
	for _, p := range c.proxies {
		p.Set(proxyPass)
	}
	for w := range chaosWorkers {
		c.workers[w].hold = time.Time{}
		c.wake(t, w)
	}
	select {
	case <-c.cluster.Coordinator(0).Done():
		c.cluster.RestartCoordinator(c.t, 0)
	default:
	}
}

// chaosRun is one run, and what is told of it.
type chaosRun struct {
	*chaos
	seed     int
	rng      *rand.Rand
	topic    string
	prefix   string
	features chaosFeatures
	faults   []string // as they happened
	crashes  []planned
	began    time.Time
	took     time.Duration
	events   int
	verdict  *fsck.Verdict
}

// planned is a worker that was to crash.
type planned struct {
	process *process.Process
	plan    string
}

func (r *chaosRun) play(t *testing.T) {
	r.began = time.Now()
	defer func() { r.took = time.Since(r.began) }()
	r.topic, r.prefix = fmt.Sprintf("chaos-%d", r.seed), fmt.Sprintf("chaos/%d/", r.seed)
	r.kafka.CreateTopic(t, r.topic, chaosPartitions, nil)
	f := newFeed(t, r.kafka.Brokers(), r.topic, chaosPartitions)
	r.cluster.Leader(t)
	r.drawFeatures(t)
	run := apply(t, r.cluster, r.spec(t, r.topic, r.prefix, r.features))
	trains := r.rng.IntN(4) == 0 // a new version is promoted into the midst of it
	switch {
	case trains:
		r.tell("a version is trained")
		if run == "" {
			startRun(t, r.cluster, flightPipeline)
		}
	case run != "": // another column to partition by trains
		if _, err := r.cluster.Client().CancelRun(t.Context(), &apiv1.CancelRunRequest{RunId: run}); err != nil {
			t.Fatal(err)
		}
	}
	stop := f.flow(t)
	r.disturb(t)
	r.mend(t)
	if err := f.write(t.Context(), 10*chaosPartitions); err != nil { // so that there is something after the trouble
		t.Fatal(err)
	}
	stop()
	r.finish(t, f)
	for _, p := range r.crashes {
		if slices.ContainsFunc(p.process.Output(), func(line string) bool { return strings.HasSuffix(line, "carried out: "+p.plan) }) {
			r.tell("%s came about", p.plan)
		}
	}
	r.judge(t, f)
}

// finish waits until all is committed. Workers that crash at a step yet to come
// are started again.
func (r *chaosRun) finish(t *testing.T, f *feed) {
	t.Helper()
	ends := f.ends()
	fact := committedTo(ends)
	process.Until(t, "every event to be committed", func(ctx context.Context) error {
		for w := range chaosWorkers {
			r.wake(t, w)
		}
		res, err := r.cluster.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: flightPipeline})
		if err != nil {
			return err
		}
		for _, p := range res.Partitions {
			if p.Topic != r.topic {
				return fmt.Errorf("%v", res.Partitions)
			}
		}
		if !fact(res.Partitions) {
			return fmt.Errorf("of %v: %v", ends, res.Partitions)
		}
		return nil
	})
}

func (r *chaosRun) judge(t *testing.T, f *feed) {
	t.Helper()
	var err error
	if r.verdict, err = fsck.Run(t.Context(), r.lake, flightPipeline, r.prefix, models(t, r.cluster.Client())); err != nil {
		t.Fatal(err)
	}
	sent, poison := f.flights()
	r.events = len(sent)
	if v := r.verdict; !v.OK() || v.Scored != int64(len(sent)-poison) || v.Dead != int64(poison) || v.Absent+v.Dropped != 0 {
		t.Errorf("%d events were sent, %d of them poison; fsck:\n%s", len(sent), poison, v)
	}
	f.wantEachOnce(t, r.visible(t), r.prefix)
	r.wantLetters(t, f)
}

// chaosTable is a file with a line for each run.
type chaosTable struct{ path string }

func newChaosTable(t *testing.T) *chaosTable {
	t.Helper()
	table := &chaosTable{filepath.Join(process.Root(t), ".cache", "chaos.tsv")}
	if err := os.WriteFile(table.path, []byte("run\tseed\tverdict\tevents\trows\tdead\tslots\tseconds\tfaults\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return table
}

func (c *chaosTable) add(t *testing.T, n int, r *chaosRun, ok bool) {
	t.Helper()
	verdict, slots := map[bool]string{true: "ok", false: "FAILED"}[ok], 0
	if r.verdict == nil {
		r.verdict = &fsck.Verdict{}
	}
	for _, p := range r.verdict.Partitions {
		slots += p.Slots
	}
	line := fmt.Sprintf("%d\t%d\t%s\t%d\t%d\t%d\t%d\t%.1f\t%s\n", n+1, r.seed, verdict, r.events, r.verdict.Scored, r.verdict.Dead, slots, r.took.Seconds(), strings.Join(r.faults, "; "))
	file, err := os.OpenFile(c.path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = file.WriteString(line)
		file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("run %d: %s", n+1, strings.TrimSpace(line))
}
