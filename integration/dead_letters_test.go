//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/connectors/kafka/kafkatest"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
)

// deliversOnce: wherever a deliverer dies, before or after the broker did what
// it was asked, another goes on, the first wakes up as a zombie, and a reader of
// committed records sees each message once.
func deliversOnce(t *testing.T, cluster *apache.Cluster, topic string) {
	cluster.CreateTopic(t, topic, 2, nil)
	outbox := func(dial func(context.Context, string, string) (net.Conn, error), name string) *kafka.Outbox {
		o, err := kafka.NewOutbox(kafka.Config{Brokers: cluster.Brokers(), Topic: topic, Dial: dial}, kafka.OutboxConfig{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { o.Close() })
		return o
	}
	var want []string
	requests := kafkatest.Transaction()
	for i, key := range requests {
		for j, applied := range []bool{false, true} {
			line := fmt.Sprintf("%016x%016x", 2*i+j, 7)
			deliver := func(ctx context.Context, o *kafka.Outbox, seq uint64, n int) error {
				return o.Deliver(ctx, connectors.Group{Line: line, Seq: seq, ID: line, BegunAtUS: time.Now().UnixMicro()}, func(yield func(connectors.Message, error) bool) {
					for k := range n {
						if !yield(connectors.Message{Key: fmt.Appendf(nil, "%s-%d-%d", line, seq, k), Value: bytes.Repeat([]byte("x"), 1000)}, nil) {
							return
						}
					}
				})
			}
			zombie := outbox(nil, "test")
			if err := deliver(t.Context(), zombie, 0, 2); err != nil {
				t.Fatal(err)
			}
			ctx, die := context.WithCancel(t.Context())
			m := &kafkatest.Mortal{Key: key, Applied: applied, Die: die}
			if err := deliver(ctx, outbox(m.Dial, "test"), 1, 700); err == nil || !m.Dead() {
				t.Fatalf("%s applied=%v: delivered although it was to die (dead %v): %v", key.Name(), applied, m.Dead(), err)
			}
			second := outbox(nil, "test")
			for _, o := range []*kafka.Outbox{second, zombie, second} {
				if err := deliver(t.Context(), o, 1, 700); err != nil {
					t.Fatalf("%s applied=%v: %v", key.Name(), applied, err)
				}
			}
			for k := range 2 {
				want = append(want, fmt.Sprintf("%s-0-%d", line, k))
			}
			for k := range 700 {
				want = append(want, fmt.Sprintf("%s-1-%d", line, k))
			}
		}
	}
	slices.Sort(want)
	got := committedKeys(t, cluster, topic, 2)
	if !slices.Equal(got, want) {
		t.Errorf("%d messages are in the topic, %d of them different; %d were delivered", len(got), len(slices.Compact(slices.Clone(got))), len(want))
	}
	t.Logf("%d deaths of deliverers, %d messages in the topic once each", 2*len(requests), len(got))
}

// committedKeys returns the keys of a topic's committed records in order.
func committedKeys(t *testing.T, cluster *apache.Cluster, topic string, partitions int) (keys []string) {
	t.Helper()
	for _, r := range kafkatest.Committed(t, cluster.Brokers(), topic, partitions) {
		keys = append(keys, string(r.Key))
	}
	slices.Sort(keys)
	return keys
}

// letter is a line of a dead-letter object.
type letter struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Stage     string `json:"stage"`
}

func (l letter) key() string { return fmt.Sprintf("%s/%d/%d", l.Topic, l.Partition, l.Offset) }

// letters reads the objects of dead letters that the stream itself has left.
func letters(t *testing.T, lake storage.Bucket) (all []letter) {
	t.Helper()
	for key, body := range objectsUnder(t, lake, sinkPrefix+"_dead/") {
		if strings.Contains(key, "-replay/") {
			continue
		}
		for line := range bytes.Lines(body) {
			var l letter
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			all = append(all, l)
		}
	}
	return all
}

// farFilter is a step by which flights that are far become dead letters.
const farFilter = `    clean: [{filter: {expression: "distance == null || distance < 2400", apply_to: [training, scoring]}}]
    split:`

// TestDeadLetters has a stream fill a topic of dead letters, each once, while
// its workers are killed and frozen; lets the events turn bad, so that the whole
// stream pauses instead of draining the topic, whoever dies; and replays what
// another model can score, however often that is killed.
func TestDeadLetters(t *testing.T) {
	bus := apache.Start(t, apache.Config{})
	bus.CreateTopic(t, topic, partitions, nil)
	server := minio.Start(t)
	lake := newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server, Kafka: bus, Workers: 3})
	client := c.Client()
	strict := strings.Replace(streamSpec(t, 300*time.Millisecond, "    dead_letter: {kafka: {topic: flights.dlq}, max_rate: 25%}\n"), "    split:", farFilter, 1)
	waitRun(t, c, apply(t, c, strict), "the first model", succeeded)

	// There is no topic of dead letters: the stream waits, and says so.
	f := newFeed(t, bus.Brokers(), topic, partitions)
	stop := f.flow(t)
	waitStream(t, client, "the stream to wait for its topic of dead letters", func(all []*apiv1.StreamPartition) bool {
		return slices.ContainsFunc(all, func(p *apiv1.StreamPartition) bool { return strings.Contains(p.Message, "flights.dlq") })
	})
	bus.CreateTopic(t, "flights.dlq", 3, nil)
	loseWorkers(t, c, func() { waitStream(t, client, "what came before it froze", committedTo(f.ends())) })
	stop()
	waitStream(t, client, "all to be committed", committedTo(f.ends()))
	verdict := judge(t, client, lake)
	wantInTopic(t, bus, lake, verdict.Dead)
	t.Logf("two workers killed, one a zombie:\n%s", verdict)

	// The verbs.
	var list struct {
		Events  int64
		Reasons []struct {
			Stage  string
			Events int64
		}
	}
	fromJSON(t, c.Run(t, "dlq", "list", flightPipeline, "-o", "json"), &list)
	far := 0
	for _, l := range letters(t, lake) {
		if l.Stage == "1 filter" {
			far++
		}
	}
	if list.Events != verdict.Dead || len(list.Reasons) < 5 || far == 0 {
		t.Errorf("dlq list: %+v; fsck has %d dead letters, %d of them far", list, verdict.Dead, far)
	}
	t.Logf("dlq list:\n%s", c.Run(t, "dlq", "list", flightPipeline))
	shown := strings.Split(strings.TrimSpace(c.Run(t, "dlq", "show", flightPipeline, "--where", "stage == '1 filter' && partition == 2", "--limit", "3", "-o", "json")), "\n")
	for _, line := range shown {
		var l letter
		fromJSON(t, line, &l)
		if l.Stage != "1 filter" || l.Partition != 2 || len(shown) != 3 {
			t.Errorf("dlq show: %s", line)
		}
	}

	// The events turn bad.
	const bad = 40_000
	producer := newFranz(t, bus, topic)
	var poison []*kgo.Record
	for i := range bad {
		poison = append(poison, &kgo.Record{Partition: int32(i % partitions), Value: fmt.Appendf(nil, "a flight without a number, %d", i)})
	}
	if err := producer.ProduceSync(t.Context(), poison...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	paused := all(partitions, func(p *apiv1.StreamPartition) bool {
		return p.State == "paused" && strings.Contains(p.Message, "max_rate 25%")
	})
	waitStream(t, client, "the stream to pause", paused)
	t.Logf("stream status:\n%s", c.Run(t, "stream", "status", flightPipeline))
	c.KillCoordinator(c.Leader(t))
	for w := range 3 {
		c.KillWorker(w)
		c.RestartWorker(t, w)
	}
	waitStream(t, client, "others to know it", func(p []*apiv1.StreamPartition) bool {
		return paused(p) && all(partitions, func(p *apiv1.StreamPartition) bool { return p.Worker != "" })(p)
	})
	tripped := judge(t, client, lake)
	// A window beyond the trip for each partition, and as much for a takeover.
	if drained := tripped.Dead - verdict.Dead; drained == 0 || drained > 2*partitions*2200 {
		t.Errorf("%d of %d bad events became dead letters", drained, bad)
	} else {
		t.Logf("%d of %d bad events became dead letters before the stream paused", drained, bad)
	}

	// Another generation has no such bound and no such step; the operator resumes.
	lenient := streamSpec(t, 300*time.Millisecond, "    dead_letter: {kafka: {topic: flights.dlq}}\n  trainer: {seed: 7}\n")
	waitRun(t, c, apply(t, c, lenient), "the second model", succeeded)
	waitStream(t, client, "the pause to outlive a generation", paused)
	c.Run(t, "stream", "resume", flightPipeline)
	ends := f.ends()
	for i := range ends {
		ends[i] += bad / partitions
	}
	waitStream(t, client, "the rest", committedTo(ends))
	drained := judge(t, client, lake)
	if drained.Dead != verdict.Dead+bad {
		t.Errorf("%d dead letters, want %d", drained.Dead, verdict.Dead+bad)
	}
	wantInTopic(t, bus, lake, drained.Dead)

	// The second model can score what was far. Whoever asks for that is killed once there
	// are so many objects of replays, and the worker that replays if it still does, and its job
	// goes on; then two ask at once.
	where := []string{"dlq", "replay", flightPipeline, "--where", "stage == '1 filter'", "-o", "json"}
	killed := 0
	for objects := range 4 {
		cmd := c.Command(where...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		process.Until(t, "the replay to get on", func(context.Context) error {
			n := 0
			for p := range partitions {
				n += len(objectsUnder(t, lake, fmt.Sprintf("%s_log/%s/%05d-replay/", sinkPrefix, topic, p)))
			}
			if n <= objects {
				return fmt.Errorf("%d objects", n)
			}
			return nil
		})
		if err := errors.Join(cmd.Process.Kill(), cmd.Wait()); err == nil {
			t.Error("who asked for the replay was not killed")
		}
		if c.KillJob(t, "dlq-replay") {
			killed++
		}
		t.Logf("a replay was killed:\n%s", judge(t, client, lake))
	}
	if killed == 0 {
		t.Error("no replay was killed")
	}
	var people sync.WaitGroup
	sums := make([]string, 2)
	for i := range sums {
		people.Go(func() {
			out, err := c.Command(where...).Output()
			if sums[i] = string(out); err != nil {
				t.Errorf("dlq replay: %v", err)
			}
		})
	}
	people.Wait()
	replayed := judge(t, client, lake)
	if replayed.Replayed != int64(far) {
		t.Errorf("%d dead letters were replayed, %d are far: %s", replayed.Replayed, far, sums)
	}
	again := c.Run(t, "dlq", "replay", flightPipeline)
	t.Logf("two replays at once:\n%s%s\nand of all that is left:\n%s\n%s", sums[0], sums[1], again, judgeByCommand(t, c.Run))
	fromJSON(t, c.Run(t, "dlq", "list", flightPipeline, "-o", "json"), &list)
	if list.Events != drained.Dead-int64(far) {
		t.Errorf("%d dead letters are left, want %d", list.Events, drained.Dead-int64(far))
	}
	t.Logf("dlq list:\n%s", c.Run(t, "dlq", "list", flightPipeline, "--limit", "5"))
}

// wantInTopic fails the test unless each dead letter of the objects is in the
// topic once.
func wantInTopic(t *testing.T, bus *apache.Cluster, lake storage.Bucket, n int64) {
	t.Helper()
	var want []string
	for _, l := range letters(t, lake) {
		want = append(want, l.key())
	}
	slices.Sort(want)
	if got := committedKeys(t, bus, "flights.dlq", 3); int64(len(want)) != n || !slices.Equal(got, want) {
		t.Errorf("%d dead letters are in the topic, %d of them different; the objects have %d, fsck %d", len(got), len(slices.Compact(slices.Clone(got))), len(want), n)
	} else {
		t.Logf("%d dead letters are in the topic once each", len(got))
	}
}

func fromJSON(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
