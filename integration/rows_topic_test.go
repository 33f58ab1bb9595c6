//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/kafka/kafkatest"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

const rowsTopic = "flights.scored"

// TestScoredRowsAreInTheirTopicOnce has a stream fill a topic of scored rows while
// its workers are killed and frozen, with files that roll so seldom that rows are in
// the topic long before they are in the table: in the end a reader of committed
// records has seen each row of the table once, in the order of its partition, with
// the same values. Then it says how long after its event a row is there.
func TestScoredRowsAreInTheirTopicOnce(t *testing.T) {
	bus := apache.Start(t, apache.Config{})
	for _, name := range []string{topic, rowsTopic} {
		bus.CreateTopic(t, name, partitions, nil)
	}
	server := minio.Start(t)
	lake := newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server, Kafka: bus, Workers: 3})
	client := c.Client()
	spec := strings.Replace(streamSpec(t, 3*time.Second, ""), "sink: {", "sink: {kafka: {topic: "+rowsTopic+"}, ", 1)
	waitRun(t, c, apply(t, c, spec), "the first model", succeeded)

	f := newFeed(t, bus.Brokers(), topic, partitions)
	stop := f.flow(t)
	loseWorkers(t, c, func() {})
	stop()
	waitStream(t, client, "all to be committed", committedTo(f.ends()))
	verdict := judge(t, client, lake)
	sent := wantRowsInTopic(t, bus, lake)
	if int64(sent) != verdict.Scored {
		t.Errorf("%d rows are in the topic, the table has %d", sent, verdict.Scored)
	}
	t.Logf("two workers killed, one a zombie: %d rows are in the topic once each\n%s", sent, verdict)
	t.Logf("stream status:\n%s", c.Run(t, "stream", "status", flightPipeline))
	for _, rate := range []int{200, 1000} {
		arrival(t, bus, rate, 15*time.Second)
	}
	t.Logf("stream status:\n%s", c.Run(t, "stream", "status", flightPipeline))
}

// wantRowsInTopic holds the committed records of the topic of rows against the live
// rows of the log, and returns how many there are.
func wantRowsInTopic(t *testing.T, bus *apache.Cluster, lake storage.Bucket) (sent int) {
	t.Helper()
	want := make([]map[int64]string, partitions)
	for p := range want {
		want[p] = liveRows(t, lake, p)
	}
	last := make([]int64, partitions)
	for i := range last {
		last[i] = -1
	}
	for _, r := range kafkatest.Committed(t, bus.Brokers(), rowsTopic, partitions) {
		var row struct {
			Partition int   `json:"_partition"`
			Offset    int64 `json:"_offset"`
		}
		if err := json.Unmarshal(r.Value, &row); err != nil {
			t.Fatalf("%v: %s", err, r.Value)
		}
		if row.Offset <= last[row.Partition] {
			t.Errorf("partition %d has offset %d after %d", row.Partition, row.Offset, last[row.Partition])
		}
		last[row.Partition] = row.Offset
		switch text, ok := want[row.Partition][row.Offset]; {
		case !ok:
			t.Errorf("the topic has a row that the table has not: %s", r.Value)
		case text != string(r.Value):
			t.Errorf("the table has %s\nthe topic %s", text, r.Value)
		}
		sent++
	}
	for p := range want {
		sent, have := sent, len(want[p])
		if have == 0 {
			t.Errorf("partition %d has no rows of %d", p, sent)
		}
	}
	return sent
}

// liveRows reads the rows of a partition as JSON, by offset.
func liveRows(t *testing.T, lake storage.Bucket, partition int) map[int64]string {
	t.Helper()
	log, err := commitlog.New(lake, commitlog.Config{Prefix: sinkPrefix, Pipeline: thalweg.PipelineName(flightPipeline), Topic: topic, Partition: partition})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[int64]string)
	for e, err := range commitlog.Live(log.ReadBack(t.Context())) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored {
				continue
			}
			body, _, err := lake.Get(t.Context(), o.Key)
			if err != nil {
				t.Fatal(err)
			}
			for rec, err := range engine.Records(o.Key, body, nil, nil) {
				if err != nil {
					t.Fatal(err)
				}
				offsets := rec.Column(rec.Schema().FieldIndices("_offset")[0]).(*array.Int64)
				for i := range int(rec.NumRows()) {
					rows[offsets.Value(i)] = string(event.AppendJSON(nil, rec, i))
				}
			}
		}
	}
	return rows
}

// arrival sends events at a steady rate and says how long after each its row is read,
// by a reader of committed records.
func arrival(t *testing.T, bus *apache.Cluster, rate int, lasts time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lasts+time.Minute)
	defer cancel()
	reader, err := kgo.NewClient(kgo.SeedBrokers(bus.Brokers()...), kgo.ConsumeTopics(rowsTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(bus.Brokers()...), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	warm, stopWarming := context.WithTimeout(ctx, 3*time.Second)
	for reader.PollFetches(warm); warm.Err() == nil; {
		reader.PollFetches(warm)
	}
	stopWarming()
	total := rate * int(lasts/time.Second)
	began := time.Now()
	go func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for sent, made := 0, 0; sent < total && ctx.Err() == nil; <-tick.C {
			for due := min(total, int(time.Since(began).Seconds()*float64(rate))+1); sent < due; made++ {
				if e := makeFlight(made); !e.poison {
					producer.Produce(ctx, &kgo.Record{Key: fmt.Appendf(nil, "k%d", sent), Value: e.value}, nil)
					sent++
				}
			}
		}
	}()
	var took []float64
	for len(took) < total && ctx.Err() == nil {
		fetched := reader.PollFetches(ctx)
		now := time.Now()
		fetched.EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if h.Key == engine.HeaderTimestamp {
					us, _ := strconv.ParseInt(string(h.Value), 10, 64)
					took = append(took, float64(now.UnixMicro()-us)/1000)
				}
			}
		})
	}
	if len(took) < total {
		t.Errorf("%d of %d rows came", len(took), total)
		return
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))] }
	t.Logf("%d events/s over %d partitions for %v, from the event's timestamp to the row at a reader of committed records: p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms",
		rate, partitions, lasts, at(0.5), at(0.9), at(0.99), at(1))
}
