//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

// flightPipeline is the demo's, and its model.
const flightPipeline = "flight-delays"

// drainWithin is how long a worker may take to end after SIGTERM.
const drainWithin = 10 * time.Second

// streamSpec is flightsSpec with files that roll after a period.
func streamSpec(t *testing.T, period time.Duration, more string) string {
	t.Helper()
	const sink = `sink: {s3:`
	spec := flightsSpec(t, more)
	if !strings.Contains(spec, sink) {
		t.Fatalf("the demo's spec has no %q", sink)
	}
	return strings.Replace(spec, sink, fmt.Sprintf("sink: {rolling: {period: %v}, s3:", period), 1)
}

// waitStream waits until the partitions of the stream, in order, are as fact
// wants them.
func waitStream(t *testing.T, client *api.Client, what string, fact func(partitions []*apiv1.StreamPartition) bool) {
	t.Helper()
	waitStreamFor(t, client, process.Patience, what, fact)
}

// waitStreamFor is waitStream for what takes long because it is much.
func waitStreamFor(t *testing.T, client *api.Client, patience time.Duration, what string, fact func(partitions []*apiv1.StreamPartition) bool) {
	t.Helper()
	process.UntilFor(t, patience, what, func(ctx context.Context) error {
		res, err := client.StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: flightPipeline})
		if err != nil {
			return err
		}
		if !fact(res.Partitions) {
			return fmt.Errorf("%v", res.Partitions)
		}
		return nil
	})
}

// all makes a fact of one about each partition, of which there are n.
func all(n int, fact func(p *apiv1.StreamPartition) bool) func([]*apiv1.StreamPartition) bool {
	return func(partitions []*apiv1.StreamPartition) bool {
		return len(partitions) == n && !slices.ContainsFunc(partitions, func(p *apiv1.StreamPartition) bool { return !fact(p) })
	}
}

// committedTo is the fact that all events before ends are committed.
func committedTo(ends []int64) func([]*apiv1.StreamPartition) bool {
	return all(len(ends), func(p *apiv1.StreamPartition) bool { return p.Committed >= ends[p.Partition] })
}

// someWork waits until a worker holds a partition with rows that it has scored
// and not committed, and returns the worker.
func someWork(t *testing.T, c *cluster) (worker int) {
	t.Helper()
	waitStream(t, c.Client(), "a worker with rows that are not committed", func(partitions []*apiv1.StreamPartition) bool {
		for _, p := range partitions {
			if p.Scored > p.Committed && p.Committed > 0 {
				_, err := fmt.Sscanf(p.Worker, "w%d", &worker)
				return err == nil
			}
		}
		return false
	})
	return worker
}

// heldBy is the fact that a worker holds a partition.
func heldBy(worker int) func(p *apiv1.StreamPartition) bool {
	name := fmt.Sprintf("w%d", worker)
	return func(p *apiv1.StreamPartition) bool { return p.Worker == name }
}

func heldByOther(worker int) func(p *apiv1.StreamPartition) bool {
	held := heldBy(worker)
	return func(p *apiv1.StreamPartition) bool { return p.Worker != "" && !held(p) }
}

// loseWorkers kills two workers that have work, one after the other, which come back, and
// freezes a third until others have its partitions and thaw has returned.
func loseWorkers(t *testing.T, c *cluster, thaw func()) {
	t.Helper()
	waitStream(t, c.Client(), "all partitions to be committed", all(partitions, func(p *apiv1.StreamPartition) bool { return p.Committed > 0 }))
	for range 2 {
		victim := someWork(t, c)
		c.KillWorker(victim)
		waitStream(t, c.Client(), "the killed worker's partitions to be taken over", all(partitions, heldByOther(victim)))
		c.RestartWorker(t, victim)
	}
	zombie := someWork(t, c)
	c.SignalWorker(t, zombie, syscall.SIGSTOP)
	waitStream(t, c.Client(), "the frozen worker's partitions to be taken over", all(partitions, heldByOther(zombie)))
	thaw()
	c.SignalWorker(t, zombie, syscall.SIGCONT)
}

// models returns the registered versions as fsck wants them.
func models(t *testing.T, client *api.Client) (registered []fsck.Model) {
	t.Helper()
	res, err := client.ListModels(t.Context(), &apiv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range res.Models {
		for _, v := range m.Versions {
			ref, err := thalweg.ParseObjectRef(v.Checkpoint)
			if err != nil {
				t.Fatal(err)
			}
			registered = append(registered, fsck.Model{Name: m.Name, Version: v.Version, Checkpoint: ref, RegisteredAtUS: v.RegisteredAtUnixMs * 1000})
		}
	}
	return registered
}

// judge runs fsck on the stream's results; a violation fails the test.
func judge(t *testing.T, client *api.Client, lake storage.Bucket) *fsck.Verdict {
	t.Helper()
	verdict, err := fsck.Run(t.Context(), lake, flightPipeline, sinkPrefix, models(t, client))
	if err != nil {
		t.Fatal(err)
	}
	if !verdict.OK() {
		t.Fatalf("fsck:\n%s", verdict)
	}
	return verdict
}

// judgeByCommand does the same by the verb.
func judgeByCommand(t *testing.T, run func(t testing.TB, args ...string) string) *fsck.Verdict {
	t.Helper()
	var verdict fsck.Verdict
	if err := json.Unmarshal([]byte(run(t, "fsck", flightPipeline, "-o", "json")), &verdict); err != nil {
		t.Fatal(err)
	}
	if !verdict.OK() {
		t.Fatalf("thalweg fsck:\n%s", &verdict)
	}
	return &verdict
}

// startStream starts everything that a stream of flights needs, with a model
// registered.
func startStream(t *testing.T, workers int) (*cluster, *apache.Cluster, storage.Bucket, *minio.Server) {
	t.Helper()
	kafka := apache.Start(t, apache.Config{})
	kafka.CreateTopic(t, topic, partitions, nil)
	server := minio.Start(t)
	lake := newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server, Kafka: kafka, Workers: workers})
	waitRun(t, c, apply(t, c, streamSpec(t, 500*time.Millisecond, "")), "the first model", succeeded)
	return c, kafka, lake, server
}

// TestStreamLosesNothingWhileItNeverRests scores a stream on real processes
// while events never cease to come, and kills, freezes and replaces the
// processes and the model under it. In the end each event, the unreadable ones
// included, is in exactly one row or dead letter.
func TestStreamLosesNothingWhileItNeverRests(t *testing.T) {
	c, kafka, lake, _ := startStream(t, 3)
	client := c.Client()
	f := newFeed(t, kafka.Brokers(), topic, partitions)
	stop := f.flow(t)
	waitStream(t, client, "all partitions to be scored", all(partitions, func(p *apiv1.StreamPartition) bool { return p.Committed > 0 }))

	// A worker dies. Others take its partitions over with what it had begun.
	began := time.Now()
	victim := someWork(t, c)
	c.KillWorker(victim)
	waitStream(t, client, "the killed worker's partitions to be taken over", all(partitions, heldByOther(victim)))
	waitStream(t, client, "what came before a worker was killed", committedTo(f.ends()))
	c.RestartWorker(t, victim)
	waitStream(t, client, "the worker to be used again", func(p []*apiv1.StreamPartition) bool { return slices.ContainsFunc(p, heldBy(victim)) })
	t.Logf("a worker was killed and replaced in %v", time.Since(began))

	// The leader dies. Workers go on by what they were told.
	began = time.Now()
	leader := c.Leader(t)
	c.KillCoordinator(leader)
	waitStream(t, client, "what came before the leader was killed", committedTo(f.ends()))
	c.RestartCoordinator(t, leader)
	process.Until(t, "the killed coordinator to follow", func(ctx context.Context) error {
		res, err := client.Status(ctx, &apiv1.StatusRequest{})
		if err == nil && slices.ContainsFunc(res.Nodes, func(n *apiv1.Node) bool { return n.State == "unreachable" }) {
			err = fmt.Errorf("%v", res.Nodes)
		}
		return err
	})
	t.Logf("the leader was killed and came back in %v", time.Since(began))

	// A worker freezes until its partitions are another's, and wakes up believing
	// that they are still its own.
	began = time.Now()
	zombie := someWork(t, c)
	c.SignalWorker(t, zombie, syscall.SIGSTOP)
	waitStream(t, client, "the frozen worker's partitions to be taken over", all(partitions, heldByOther(zombie)))
	waitStream(t, client, "what came before a worker froze", committedTo(f.ends()))
	c.SignalWorker(t, zombie, syscall.SIGCONT)
	waitStream(t, client, "the zombie to be a worker again", func(p []*apiv1.StreamPartition) bool { return slices.ContainsFunc(p, heldBy(zombie)) })
	waitStream(t, client, "what came before it woke", committedTo(f.ends()))
	judge(t, client, lake)
	t.Logf("a worker was a zombie and recovered in %v", time.Since(began))

	// A new generation, whose files stay open for long, trains a second version
	// that takes over under load; then the first is put back.
	began = time.Now()
	second := apply(t, c, streamSpec(t, 10*time.Minute, "  trainer: {optimizer: {type: momentum, learning_rate: 0.1}, seed: 7}\n"))
	waitRun(t, c, second, "the second model", succeeded)
	serves := func(version uint64) func(*apiv1.StreamPartition) bool {
		return func(p *apiv1.StreamPartition) bool { return p.ModelVersion == version && p.Scored > p.Committed }
	}
	waitStream(t, client, "version 2 to score", all(partitions, serves(2)))
	c.Run(t, "models", "rollback", flightPipeline)
	waitStream(t, client, "version 1 to score again", all(partitions, serves(1)))
	stop()
	t.Logf("models changed under load in %v", time.Since(began))

	// A worker is asked to end, with files that would stay open for long. It
	// commits what it has scored.
	ends := f.ends()
	waitStream(t, client, "every event to be scored", all(partitions, func(p *apiv1.StreamPartition) bool {
		return p.Scored == ends[p.Partition] && p.Committed < p.Scored
	}))
	leaving := someWork(t, c)
	var its []bool
	waitStream(t, client, "its partitions", func(p []*apiv1.StreamPartition) bool {
		for _, p := range p {
			its = append(its, heldBy(leaving)(p))
		}
		return true
	})
	began = time.Now()
	if code := c.StopWorker(t, leaving); code != 0 {
		t.Errorf("the worker ended with exit code %d", code)
	}
	if took := time.Since(began); took > drainWithin {
		t.Errorf("the worker took %v to end", took)
	} else {
		t.Logf("the worker ended within %v of SIGTERM", took)
	}
	for i, p := range judge(t, client, lake).Partitions {
		if its[i] != (p.To == ends[i]) {
			t.Errorf("partition %s is committed to %d of %d; the worker that ended held it: %v", p.Partition, p.To, ends[i], its[i])
		}
	}

	// The others go on with its partitions; pausing commits what is scored.
	if err := f.write(t.Context(), 100*partitions); err != nil {
		t.Fatal(err)
	}
	ends = f.ends()
	waitStream(t, client, "what came after the worker ended", all(partitions, func(p *apiv1.StreamPartition) bool {
		return heldByOther(leaving)(p) && p.Scored == ends[p.Partition]
	}))
	c.Run(t, "stream", "pause", flightPipeline)
	waitStream(t, client, "all to be committed", committedTo(ends))
	sent, poison := f.flights()
	for name, verdict := range map[string]*fsck.Verdict{"fsck": judge(t, client, lake), "thalweg fsck": judgeByCommand(t, c.Run)} {
		if verdict.Dead != int64(poison) || verdict.Scored != int64(len(sent)-poison) || verdict.Absent+verdict.Dropped != 0 {
			t.Errorf("%s: %d scored, %d dead letters; sent were %d events, %d of them poison:\n%s", name, verdict.Scored, verdict.Dead, len(sent), poison, verdict)
		}
		t.Logf("%s:\n%s", name, verdict)
	}
	if rows := f.wantEachOnce(t, lake, sinkPrefix); rows[1] == 0 || rows[2] == 0 {
		t.Errorf("rows by model version: %v, want some of both", rows)
	}
	wantGroupOffsets(t, kafka, ends)
}

// wantGroupOffsets waits until the group's offsets in Kafka, where dashboards
// look, are those that are committed.
func wantGroupOffsets(t *testing.T, cluster *apache.Cluster, ends []int64) {
	t.Helper()
	client := newFranz(t, cluster, topic)
	wanted := kmsg.NewOffsetFetchRequestGroupTopic()
	wanted.Topic = topic
	for p := range ends {
		wanted.Partitions = append(wanted.Partitions, int32(p))
	}
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = "thalweg-"+flightPipeline, append(group.Topics, wanted)
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Groups = append(request.Groups, group)
	process.Until(t, "the group's offsets", func(ctx context.Context) error {
		res, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		for _, p := range res.Groups[0].Topics[0].Partitions {
			if p.Offset != ends[p.Partition] || p.ErrorCode != 0 {
				return fmt.Errorf("partition %d: offset %d (error code %d), want %d", p.Partition, p.Offset, p.ErrorCode, ends[p.Partition])
			}
		}
		return nil
	})
}
