package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

func TestFetchGivesEveryRecordWithItsOffset(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			cl := newFranz(t, c, kgo.ProducerBatchCompression(codec))
			want := numbered(0, 500)
			for chunk := range slices.Chunk(want, 70) {
				produceSync(t, cl, 0, chunk...)
			}
			for _, maxBytes := range []int{1, 600, 1 << 20} {
				events, next := readAll(t, newSource(t, config(c)), 0, 0, maxBytes)
				if next != 500 || len(events) != 500 {
					t.Fatalf("maxBytes %d: %d records, next %d", maxBytes, len(events), next)
				}
				for i, e := range events {
					if e.Offset != int64(i) || e.Value != want[i] {
						t.Fatalf("maxBytes %d: record %d is %d %q", maxBytes, i, e.Offset, e.Value)
					}
				}
			}
		})
	}
}

func TestFetchBeginsInsideABatch(t *testing.T) {
	c := newCluster(t, 1)
	produceSync(t, newFranz(t, c), 0, numbered(0, 100)...)
	events, _ := readAll(t, newSource(t, config(c)), 0, 42, 1<<20)
	if len(events) != 58 || events[0].Offset != 42 || events[0].Value != `{"n":42}` {
		t.Errorf("%d records from %+v", len(events), events[0])
	}
}

func TestFetchTellsTimestampsNullsAndTheEnd(t *testing.T) {
	c := newCluster(t, 1)
	cl := newFranz(t, c)
	at := time.UnixMilli(1700000000123)
	err := cl.ProduceSync(t.Context(), &kgo.Record{Value: []byte("a"), Timestamp: at}, &kgo.Record{Value: nil, Key: []byte("k"), Timestamp: at.Add(-time.Second)},
		&kgo.Record{Value: []byte{}, Timestamp: at.Add(5 * time.Hour), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	var r connectors.Records
	if err := newSource(t, config(c)).Fetch(t.Context(), 0, 0, time.Second, 1<<20, &r); err != nil {
		t.Fatal(err)
	}
	if want := []int64{1700000000123000, 1699999999123000, 1700018000123000}; !slices.Equal(r.Timestamps, want) {
		t.Errorf("timestamps %d, want %d", r.Timestamps, want)
	}
	if want := []bool{false, true, false}; !slices.Equal(r.Null, want) {
		t.Errorf("null %v, want %v", r.Null, want)
	}
	if r.End != 3 || r.Next != 3 {
		t.Errorf("end %d, next %d, want 3", r.End, r.Next)
	}
}

func TestFetchAtTheEndWaitsForTheNextRecord(t *testing.T) {
	c := newCluster(t, 1)
	s := newSource(t, config(c))
	var r connectors.Records
	if err := s.Fetch(t.Context(), 0, 0, time.Millisecond, 1<<20, &r); err != nil || r.Len() != 0 || r.Next != 0 {
		t.Fatalf("empty topic: %v, %d records, next %d", err, r.Len(), r.Next)
	}
	cl := newFranz(t, c)
	fetched := make(chan error)
	go func() { fetched <- s.Fetch(t.Context(), 0, 0, 10*time.Second, 1<<20, &r) }()
	produceSync(t, cl, 0, "x")
	if err := <-fetched; err != nil || r.Len() != 1 {
		t.Errorf("%v, %d records", err, r.Len())
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	c := newCluster(t, 1)
	s := newSource(t, config(c))
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	c.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { close(asked); return nil, nil, false })
	go func() { <-asked; cancel() }()
	var r connectors.Records
	if err := s.Fetch(ctx, 0, 0, time.Minute, 1<<20, &r); !thalweg.Is(err, thalweg.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}

func TestControlRecordsAreNotEvents(t *testing.T) {
	for _, level := range []string{kafka.ReadUncommitted, kafka.ReadCommitted, ""} {
		t.Run(level, func(t *testing.T) {
			c := newCluster(t, 1)
			cl := newFranz(t, c, kgo.TransactionalID("tx"))
			transaction := func(end kgo.TransactionEndTry, values ...string) {
				t.Helper()
				if err := cl.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				produceSync(t, cl, 0, values...)
				if err := cl.EndTransaction(t.Context(), end); err != nil {
					t.Fatal(err)
				}
			}
			transaction(kgo.TryCommit, "a", "b")
			transaction(kgo.TryAbort, "dropped", "dropped too")
			transaction(kgo.TryCommit, "c")
			produceSync(t, newFranz(t, c), 0, "plain")

			cfg := config(c)
			cfg.IsolationLevel = level
			want := []event{{0, "a"}, {1, "b"}, {3, "dropped"}, {4, "dropped too"}, {6, "c"}, {8, "plain"}}
			if level != kafka.ReadUncommitted { // the default too
				want = slices.DeleteFunc(want, func(e event) bool { return strings.HasPrefix(e.Value, "dropped") })
			}
			for from := range int64(9) {
				for _, maxBytes := range []int{1, 1 << 20} {
					expect := slices.DeleteFunc(slices.Clone(want), func(e event) bool { return e.Offset < from })
					if got, next := readAll(t, newSource(t, cfg), 0, from, maxBytes); !slices.Equal(got, expect) || next != 9 {
						t.Errorf("from %d: %v up to %d, want %v up to 9", from, got, next, expect)
					}
				}
			}
		})
	}
}

func TestCommittedReaderStopsBeforeAnOpenTransaction(t *testing.T) {
	c := newCluster(t, 1)
	produceSync(t, newFranz(t, c), 0, "before")
	cl := newFranz(t, c, kgo.TransactionalID("tx"))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produceSync(t, cl, 0, "pending")
	cfg := config(c)
	cfg.IsolationLevel = kafka.ReadCommitted
	s := newSource(t, cfg)
	if got, next := readAll(t, s, 0, 0, 1<<20); len(got) != 1 || next != 1 {
		t.Errorf("%v up to %d, want one record", got, next)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got, _ := readAll(t, s, 0, 1, 1<<20); len(got) != 1 || got[0].Value != "pending" {
		t.Errorf("after the commit: %v", got)
	}
}

func TestCompactedOffsetsAreGapsAndNoDeadEnd(t *testing.T) {
	c := newCluster(t, 1)
	if err := c.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "0", "segment.bytes": "100"}); err != nil {
		t.Fatal(err)
	}
	cl := newFranz(t, c, kgo.DefaultProduceTopic("compacted"))
	for i := range 20 {
		key := fmt.Appendf(nil, "k%d", i%2)
		if i == 0 {
			key = []byte("kept") // kfake moves the log's start when its first record is compacted, Kafka does not
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Key: key, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c.Compact()
	cfg := config(c)
	cfg.Topic = "compacted"
	got, next := readAll(t, newSource(t, cfg), 0, 0, 1<<20)
	if len(got) >= 20 || next != 20 {
		t.Fatalf("%d records up to %d: want gaps, and the end reached", len(got), next)
	}
	for _, e := range got {
		if e.Value != fmt.Sprint(e.Offset) {
			t.Errorf("offset %d has the value of %s", e.Offset, e.Value)
		}
	}
}

func TestDeletedRecordsAreLostByName(t *testing.T) {
	c := newCluster(t, 1)
	produceSync(t, newFranz(t, c), 0, numbered(0, 10)...)
	s := newSource(t, config(c))
	if _, next := readAll(t, s, 0, 0, 1<<20); next != 10 {
		t.Fatal(next)
	}
	if err := c.DeleteRecords(topic, 0, 6); err != nil {
		t.Fatal(err)
	}
	var r connectors.Records
	err := s.Fetch(t.Context(), 0, 2, time.Second, 1<<20, &r)
	var missing *connectors.MissingRange
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) {
		t.Fatalf("%v, want lost", err)
	}
	if want := (connectors.MissingRange{Topic: topic, Partition: 0, From: 2, To: 6, First: 6, Next: 10}); *missing != want {
		t.Errorf("%+v, want %+v", *missing, want)
	}
	if r.Len() != 0 {
		t.Errorf("%d records beside the error", r.Len())
	}
	if got, _ := readAll(t, s, 0, 6, 1<<20); len(got) != 4 {
		t.Errorf("from the first record kept: %v", got)
	}
}

func TestOffsetBeyondTheEndIsLost(t *testing.T) {
	c := newCluster(t, 1)
	produceSync(t, newFranz(t, c), 0, "a")
	var r connectors.Records
	err := newSource(t, config(c)).Fetch(t.Context(), 0, 7, time.Second, 1<<20, &r)
	var missing *connectors.MissingRange
	if !errors.As(err, &missing) || missing.From != 1 || missing.To != 7 {
		t.Errorf("%v, want offsets 1 to 7 missing", err)
	}
}

func TestBoundsAndPartitions(t *testing.T) {
	c := newCluster(t, 3)
	produceSync(t, newFranz(t, c), 1, numbered(0, 5)...)
	if err := c.DeleteRecords(topic, 1, 2); err != nil {
		t.Fatal(err)
	}
	s := newSource(t, config(c))
	if topic, err := s.Topic(t.Context()); topic.Partitions != 3 || err != nil {
		t.Errorf("%+v, %v", topic, err)
	}
	if first, next, err := s.Bounds(t.Context(), 1); first != 2 || next != 5 || err != nil {
		t.Errorf("bounds %d, %d, %v", first, next, err)
	}
	if _, _, err := s.Bounds(t.Context(), 9); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("bounds of a partition that is not there: %v", err)
	}
}

func TestCommitWritesTheGroupsOffset(t *testing.T) {
	c := newCluster(t, 2)
	cfg := config(c)
	cfg.Group = "lag"
	if err := newSource(t, cfg).Commit(t.Context(), 1, 17); err != nil {
		t.Fatal(err)
	}
	if offset, err := committed(t.Context(), c, "lag", 1); offset != 17 || err != nil {
		t.Errorf("%d, %v", offset, err)
	}
	cfg.Group = ""
	if err := newSource(t, cfg).Commit(t.Context(), 1, 18); err != nil {
		t.Error(err)
	}
}

func TestMissingTopicIsNotFoundUntilItIsThere(t *testing.T) {
	c := newCluster(t, 1)
	cfg := config(c)
	cfg.Topic = "later"
	s := newSource(t, cfg)
	if _, err := s.Topic(t.Context()); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("partitions: %v, want not found", err)
	}
	var r connectors.Records
	if err := s.Fetch(t.Context(), 0, 0, time.Second, 1<<20, &r); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("fetch: %v, want not found", err)
	}
	if err := c.CreateTopic("later", 2, nil); err != nil {
		t.Fatal(err)
	}
	if topic, err := s.Topic(t.Context()); topic.Partitions != 2 || err != nil {
		t.Errorf("%+v, %v", topic, err)
	}
}

func TestFetchFollowsTheLeader(t *testing.T) {
	c := newCluster(t, 1, kfake.NumBrokers(3))
	cl := newFranz(t, c)
	s := newSource(t, config(c))
	var next int64
	for round := range 6 {
		produceSync(t, cl, 0, numbered(10*round, 10)...)
		if err := c.MoveTopicPartition(topic, 0, (c.LeaderFor(topic, 0)+1)%3); err != nil {
			t.Fatal(err)
		}
		got, end := readAll(t, s, 0, next, 1<<20)
		if len(got) != 10 || end != next+10 {
			t.Fatalf("round %d: %d records up to %d", round, len(got), end)
		}
		next = end
	}
}

func TestFetchOutlivesARestartOfTheBroker(t *testing.T) {
	dir := t.TempDir()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic), kfake.DataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	produceSync(t, newFranz(t, c), 0, numbered(0, 10)...)
	cfg := config(c)
	cfg.Attempts = 20
	s := newSource(t, cfg)
	if _, next := readAll(t, s, 0, 0, 1<<20); next != 10 {
		t.Fatal(next)
	}
	var port int
	fmt.Sscanf(cfg.Brokers[0], "127.0.0.1:%d", &port)
	c.Close()
	restarted := make(chan error, 1)
	go func() {
		c, err := kfake.NewCluster(kfake.Ports(port), kfake.DataDir(dir))
		if err == nil {
			t.Cleanup(c.Close)
		}
		restarted <- err
	}()
	if got, next := readAll(t, s, 0, 4, 1<<20); len(got) != 6 || next != 10 {
		t.Errorf("%d records up to %d", len(got), next)
	}
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
}

func TestNobodyThereIsUnavailable(t *testing.T) {
	cfg := kafka.Config{Brokers: []string{"127.0.0.1:1"}, Topic: topic, Attempts: 2, DialTimeout: time.Second, RequestTimeout: time.Second}
	_, err := newSource(t, cfg).Topic(t.Context())
	if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v, want unavailable naming the broker", err)
	}
}

func TestOversizedResponseIsRefused(t *testing.T) {
	c := newCluster(t, 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "4000000"}))
	produceSync(t, newFranz(t, c, kgo.ProducerBatchMaxBytes(4_000_000), kgo.ProducerBatchCompression(kgo.NoCompression())), 0, strings.Repeat("x", 3_000_000))
	cfg := config(c)
	cfg.MaxResponseBytes = 1000
	var r connectors.Records
	if err := newSource(t, cfg).Fetch(t.Context(), 0, 0, time.Second, 1<<20, &r); !thalweg.Is(err, thalweg.Exhausted) {
		t.Errorf("%v, want exhausted", err)
	}
	cfg.MaxResponseBytes = 4_000_000
	if err := newSource(t, cfg).Fetch(t.Context(), 0, 0, time.Second, 1<<20, &r); err != nil || r.Len() != 1 {
		t.Errorf("with a larger bound: %v, %d records", err, r.Len())
	}
}

func TestRecordsBeyondTheInflationBoundAreNamedNotRead(t *testing.T) {
	c := newCluster(t, 1)
	cl := newFranz(t, c, kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerLinger(50*time.Millisecond))
	bomb := strings.Repeat(" ", 200_000)
	produceSync(t, cl, 0, "first", bomb, bomb, bomb, "last")
	produceSync(t, cl, 0, "after")
	cfg := config(c)
	cfg.MaxBatchBytes = 250_000
	s := newSource(t, cfg)
	var r connectors.Records
	if err := s.Fetch(t.Context(), 0, 0, time.Second, 16<<20, &r); err != nil {
		t.Fatal(err)
	}
	if want := []int64{0, 1, 2, 3, 4, 5}; !slices.Equal(r.Offsets, want) {
		t.Fatalf("offsets %d, want %d", r.Offsets, want)
	}
	for i := range r.Len() {
		_, bad := r.Unreadable[i]
		if want := i >= 2 && i <= 4; bad != want {
			t.Errorf("record %d unreadable: %v, want %v (%q)", i, bad, want, r.Unreadable[i])
		}
	}
	if string(r.Value(0)) != "first" || string(r.Value(5)) != "after" || len(r.Value(3)) != 0 {
		t.Error("values are not those of their records")
	}
}
