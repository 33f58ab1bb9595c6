//go:build integration && linux

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/network"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
)

// The network of TestRunsAndStreamsEndRightWhateverIsCut.
const (
	netDelay   = 20 * time.Millisecond // each way
	netLoss    = 1                     // of 100 packets, at each node
	netWorkers = 4
)

// netTrainer takes some 140 rounds.
const netTrainer = `  trainer: {optimizer: {type: adam}, epochs: 2, early_stop: 100, batch_size: 64, distributed: {replicas: 4, sync_every: 12}}
  schedule: {cron: "0 0 1 1 *"}
`

// networked is a cluster of which each process has a network namespace of its own.
type networked struct {
	*cluster
	net    *network.Network
	lake   storage.Bucket
	feed   *feed
	rng    *rand.Rand
	run    string // that trains now
	model  string // what each run has to register
	runs   int    // that did
	paused bool   // of the schedule, as it was acknowledged last
	began  time.Time
}

// startNetworked starts everything, with a model registered and nothing wrong yet.
func startNetworked(t *testing.T, seed uint64) *networked {
	t.Helper()
	names := []string{"c0", "c1", "c2"}
	for w := range netWorkers {
		names = append(names, fmt.Sprintf("w%d", w))
	}
	n := &networked{net: network.New(t, names...), began: time.Now(), rng: rand.New(rand.NewPCG(seed, 11))}
	home := func() string {
		_, port, err := net.SplitHostPort(process.FreeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		return net.JoinHostPort(n.net.Address(network.Home), port)
	}
	server := minio.StartAt(t, home())
	n.lake = newLake(t, server)
	broker := home()
	kafka := apache.Start(t, apache.Config{Proxied: []apache.Listener{{Address: broker, Advertised: broker}}})
	kafka.CreateTopic(t, topic, partitions, nil)
	n.feed = newFeed(t, kafka.Brokers(), topic, partitions)
	n.cluster = startCluster(t, clusterConfig{S3: server, Kafka: kafka, Workers: netWorkers, Host: n.net.Address,
		Env:   func(string) []string { return []string{"THALWEG_KAFKA=" + broker} },
		Enter: func(member string, cmd *exec.Cmd) { n.net.Enter(t, member, cmd) }})
	n.run = apply(t, n.cluster, streamSpec(t, 500*time.Millisecond, netTrainer))
	first := waitRun(t, n.cluster, n.run, "the undisturbed run", succeeded)
	n.model = modelOf(t, n.cluster, first)
	t.Logf("%.1f s later all is there, after an undisturbed run of %v rounds", time.Since(n.began).Seconds(), first.Metrics["train.rounds"])
	return n
}

// TestRunsAndStreamsEndRightWhateverIsCut trains and scores on three coordinators and four
// workers, each in a network namespace of its own, over a network that loses one packet of a
// hundred and takes 20 ms each way, while parts of it are cut off from each other in ways
// that a seed draws. Each run registers the model of an undisturbed one, each event is in
// exactly one row or dead letter, and what was acknowledged is there.
//
// NETWORK_SEED plays a seed again.
func TestRunsAndStreamsEndRightWhateverIsCut(t *testing.T) {
	if !network.Inside(t) {
		return
	}
	seed := number(t, "NETWORK_SEED", int(time.Now().UnixMicro()%1_000_000_000))
	t.Logf("again: NETWORK_SEED=%d make integration RUN=%s", seed, t.Name())
	n := startNetworked(t, uint64(seed))
	n.net.SetDelay(netDelay)
	n.net.Lose(t, netLoss)
	stop := n.feed.flow(t)
	waitStream(t, n.Client(), "all partitions to be scored", all(partitions, func(p *apiv1.StreamPartition) bool { return p.Committed > 0 }))
	n.run = startRun(t, n.cluster, flightPipeline)

	faults := []func(*networked, *testing.T){(*networked).cutLeader, (*networked).cutWorker, (*networked).cutMinority, (*networked).cutWorkers, (*networked).deafen}
	n.rng.Shuffle(len(faults), func(i, k int) { faults[i], faults[k] = faults[k], faults[i] })
	for _, fault := range faults {
		n.train(t)
		began := time.Now()
		lost := n.lostWorkers()
		var took []string
		tell := func(what string) {
			took = append(took, fmt.Sprintf("%s after %.1f s", what, time.Since(began).Seconds()))
		}
		fault(n, t)
		tell("work moved on")
		n.change(t)
		tell("a change was acknowledged")
		n.net.Heal(t)
		n.whole(t)
		tell("all nodes were there")
		waitStream(t, n.Client(), "what came before the network was whole", committedTo(n.feed.ends()))
		tell("the stream was up to date")
		t.Logf("%s; %d workers lost their leases", strings.Join(took, ", "), n.lostWorkers()-lost)
	}
	t.Logf("%.1f s later the faults are over", time.Since(n.began).Seconds())
	stop()
	waitStream(t, n.Client(), "every event to be committed", committedTo(n.feed.ends()))
	n.ended(t, waitRun(t, n.cluster, n.run, "the last run", succeeded))
	n.judge(t)
}

// lostWorkers is how often leaders have ended the leases of a worker.
func (n *networked) lostWorkers() (times int) {
	for _, line := range n.CoordinatorOutput() {
		if strings.Contains(line, "worker is lost") {
			times++
		}
	}
	return times
}

// train waits until a run is in the midst of its rounds. One that has ended is followed
// by the next.
func (n *networked) train(t *testing.T) {
	t.Helper()
	run := waitRun(t, n.cluster, n.run, "rounds", func(r *apiv1.Run, stages map[string]*apiv1.Stage) bool {
		return training(r, stages) || succeeded(r, stages)
	})
	if run.State == "succeeded" {
		n.ended(t, run)
		n.run = startRun(t, n.cluster, flightPipeline)
		n.train(t)
	}
}

// ended checks the model of a run.
func (n *networked) ended(t *testing.T, run *apiv1.Run) {
	t.Helper()
	n.runs++
	if got := modelOf(t, n.cluster, run); got != n.model {
		t.Errorf("run %s registered model %s, undisturbed %s", run.Id, got, n.model)
	}
}

// cutLeader cuts the leader off from everybody, until another leads and knows all workers.
func (n *networked) cutLeader(t *testing.T) {
	leader := n.coordinators[n.Leader(t)].name
	t.Logf("the leader %s is cut off", leader)
	n.net.Cut(t, []string{leader}, n.net.Others(leader))
	process.Until(t, "another leader", func(ctx context.Context) error {
		res, err := n.Client().Status(ctx, &apiv1.StatusRequest{})
		if err == nil && (res.Leader == "" || res.Leader == leader || alive(res) < netWorkers) {
			err = fmt.Errorf("leader %q, workers %v", res.Leader, res.Workers)
		}
		return err
	})
}

// alive is how many workers are.
func alive(status *apiv1.StatusResponse) (n int) {
	for _, w := range status.Workers {
		if w.State == "alive" {
			n++
		}
	}
	return n
}

// cutWorker cuts a worker that scores off from everybody, until others do its work.
func (n *networked) cutWorker(t *testing.T) {
	w := someWork(t, n.cluster)
	name := n.workers[w].name
	t.Logf("%s is cut off", name)
	n.net.Cut(t, []string{name}, n.net.Others(name))
	waitStream(t, n.Client(), "its partitions to be taken over", all(partitions, heldByOther(w)))
}

// cutMinority leaves a coordinator and half of the workers to themselves. They reach the
// store and Kafka all the time, as the others do, and so does the test.
func (n *networked) cutMinority(t *testing.T) {
	alone := []string{n.coordinators[n.rng.IntN(len(n.coordinators))].name}
	var lost []func(*apiv1.StreamPartition) bool
	for _, w := range n.rng.Perm(netWorkers)[:netWorkers/2] {
		alone, lost = append(alone, n.workers[w].name), append(lost, heldByOther(w))
	}
	t.Logf("%s are cut off, but not from the store and Kafka", strings.Join(alone, ", "))
	n.net.Cut(t, alone, slices.DeleteFunc(n.net.Others(alone...), func(name string) bool { return name == network.Home }))
	waitStream(t, n.Client(), "their partitions to be taken over", all(partitions, func(p *apiv1.StreamPartition) bool {
		return lost[0](p) && lost[1](p)
	}))
}

// cutWorkers cuts workers off from each other, half from half. All reach everything else,
// so nobody is lost; what they have to tell each other waits.
func (n *networked) cutWorkers(t *testing.T) {
	var half []string
	for _, w := range n.rng.Perm(netWorkers)[:netWorkers/2] {
		half = append(half, n.workers[w].name)
	}
	t.Logf("%s are cut off from the other workers", strings.Join(half, ", "))
	n.net.Cut(t, half, slices.DeleteFunc(n.net.Others(half...), func(name string) bool { return !strings.HasPrefix(name, "w") }))
	waitStream(t, n.Client(), "the stream to go on", committedTo(n.feed.ends()))
}

// deafen lets nobody hear a worker that scores, while it hears all.
func (n *networked) deafen(t *testing.T) {
	w := someWork(t, n.cluster)
	name := n.workers[w].name
	t.Logf("nobody hears %s", name)
	n.net.Deafen(t, n.net.Others(name), []string{name})
	waitStream(t, n.Client(), "its partitions to be taken over", all(partitions, heldByOther(w)))
}

// change has a change acknowledged.
func (n *networked) change(t *testing.T) {
	t.Helper()
	n.paused = !n.paused
	process.Until(t, "a change to be acknowledged", func(ctx context.Context) error {
		_, err := n.Client().SetSchedule(ctx, &apiv1.SetScheduleRequest{Pipeline: flightPipeline, Paused: n.paused})
		return err
	})
	n.acknowledged(t)
}

// acknowledged checks that the last change is there.
func (n *networked) acknowledged(t *testing.T) {
	t.Helper()
	process.Until(t, "an answer", func(ctx context.Context) error {
		res, err := n.Client().GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: flightPipeline})
		if err == nil && res.Pipeline.Timetable.Paused != n.paused {
			err = fmt.Errorf("%w: a change that was acknowledged is gone", process.ErrHopeless)
		}
		return err
	})
}

// whole waits until all nodes are there again, and what was changed meanwhile.
func (n *networked) whole(t *testing.T) {
	t.Helper()
	process.Until(t, "all nodes to be there", func(ctx context.Context) error {
		res, err := n.Client().Status(ctx, &apiv1.StatusRequest{})
		if err != nil {
			return err
		}
		if alive(res) != netWorkers || len(res.Nodes) != len(n.coordinators) || slices.ContainsFunc(res.Nodes, func(n *apiv1.Node) bool { return n.State == "unreachable" }) {
			return fmt.Errorf("%v, %v", res.Nodes, res.Workers)
		}
		return nil
	})
	n.acknowledged(t)
}

// judge checks that each event is in exactly one place, that nothing ended that should
// not have, and that the network was as bad as it was to be.
func (n *networked) judge(t *testing.T) {
	t.Helper()
	sent, poison := n.feed.flights()
	verdict := judge(t, n.Client(), n.lake)
	if verdict.Dead != int64(poison) || verdict.Scored != int64(len(sent)-poison) || verdict.Absent+verdict.Dropped != 0 {
		t.Errorf("%d events were sent, %d of them poison:\n%s", len(sent), poison, verdict)
	}
	n.feed.wantEachOnce(t, n.lake, sinkPrefix)
	for _, m := range slices.Concat(n.coordinators, n.workers) {
		select {
		case <-m.process.Done():
			t.Errorf("%s ended: %s", m.name, m.process.Tail())
		default:
		}
	}
	cut, lost := n.net.Dropped(t)
	if cut == 0 || lost == 0 {
		t.Errorf("%d packets were cut off and %d lost: the network was good", cut, lost)
	}
	t.Logf("%.1f s in all: %d events, %d of them poison, %d runs; %d packets were cut off and %d lost", time.Since(n.began).Seconds(), len(sent), poison, n.runs, cut, lost)
}
