//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/process"
)

// TestKafka runs against one broker; each case has a topic of its own. The other
// side is franz-go, a client that shares no code with ours.
func TestKafka(t *testing.T) {
	cluster := apache.Start(t, apache.Config{Properties: map[string]string{"log.cleaner.backoff.ms": "200"}})
	for _, c := range []struct {
		name string
		run  func(t *testing.T, cluster *apache.Cluster, topic string)
	}{
		{"what others write is read in every codec", readsEveryCodec},
		{"what the producer writes is read by others", producerIsRead},
		{"timestamps, nulls and the end are told", tellsRecords},
		{"aborted transactions are not events", abortedTransactions},
		{"deleted records are lost by name", deletedRecords},
		{"a compacted log has gaps and no dead end", compactedLog},
		{"the group's offset is written", commitsOffset},
		{"a missing topic is not found until it is there", missingTopic},
		{"a group of messages is delivered once", deliversOnce},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, cluster, strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(c.name))
		})
	}
}

func newSource(t *testing.T, cluster *apache.Cluster, topic, isolation string) *kafka.Source {
	t.Helper()
	s, err := kafka.New(kafka.Config{Brokers: cluster.Brokers(), Topic: topic, Group: topic + "-group", IsolationLevel: isolation})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newFranz returns a client that writes to the partition that a record names.
func newFranz(t *testing.T, cluster *apache.Cluster, topic string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(cluster.Brokers()...), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// franzWrites writes values to partition 0, in batches of at most 50.
func franzWrites(t *testing.T, client *kgo.Client, values ...string) {
	t.Helper()
	for batch := range slices.Chunk(values, 50) {
		var records []*kgo.Record
		for _, v := range batch {
			records = append(records, kgo.StringRecord(v))
		}
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(prefix string, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf(`{"%s":%d}`, prefix, i)
	}
	return values
}

// record is one record as a Source gave it.
type record struct {
	Offset int64
	Value  string
}

// fetchAll reads a partition from an offset until Next has reached end.
func fetchAll(t *testing.T, s connectors.Source, partition int, from, end int64, maxBytes int) []record {
	t.Helper()
	var all []record
	var batch connectors.Records
	for from < end {
		if err := s.Fetch(t.Context(), partition, from, time.Second, maxBytes, &batch); err != nil {
			t.Fatalf("fetch partition %d at %d: %v", partition, from, err)
		}
		for i, offset := range batch.Offsets {
			all = append(all, record{offset, string(batch.Value(i))})
		}
		from = batch.Next
	}
	return all
}

func wantValues(t *testing.T, got []record, first int64, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i, r := range got {
		if r.Offset != first+int64(i) || r.Value != want[i] {
			t.Fatalf("record %d is %q at offset %d, want %q at %d", i, r.Value, r.Offset, want[i], first+int64(i))
		}
	}
}

func readsEveryCodec(t *testing.T, cluster *apache.Cluster, topic string) {
	cluster.CreateTopic(t, topic, 1, nil)
	var want []string
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		values := numbered(name, 120)
		franzWrites(t, newFranz(t, cluster, topic, kgo.ProducerBatchCompression(codec)), values...)
		want = append(want, values...)
	}
	source := newSource(t, cluster, topic, "")
	for _, maxBytes := range []int{1, 1000, 1 << 20} {
		wantValues(t, fetchAll(t, source, 0, 0, int64(len(want)), maxBytes), 0, want)
	}
	wantValues(t, fetchAll(t, source, 0, 77, int64(len(want)), 1<<20), 77, want[77:]) // inside a batch
}

func producerIsRead(t *testing.T, cluster *apache.Cluster, topic string) {
	const partitions, perCodec = 3, 1000
	sent := map[string]bool{}
	for i, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		producer, err := kafka.NewProducer(kafka.Config{Brokers: cluster.Brokers(), Topic: topic}, kafka.ProducerConfig{Compression: codec, BatchBytes: 4096})
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		if i == 0 {
			if err := producer.CreateTopic(t.Context(), partitions); err != nil {
				t.Fatal(err)
			}
			if err := producer.CreateTopic(t.Context(), partitions); !thalweg.Is(err, thalweg.Exists) {
				t.Errorf("creating the topic again: %v", err)
			}
		}
		var messages []kafka.Message
		for _, v := range numbered(codec, perCodec) {
			messages = append(messages, kafka.Message{Value: []byte(v)})
			sent[v] = true
		}
		if err := producer.Produce(t.Context(), messages); err != nil {
			t.Fatal(err)
		}
	}
	reader := newFranz(t, cluster, topic, kgo.ConsumeTopics(topic))
	for read := 0; read < len(sent); {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			read++
			if !sent[string(r.Value)] {
				t.Errorf("read %q, which was not sent or was read before", r.Value)
			}
			sent[string(r.Value)] = false
		})
	}
	source, total := newSource(t, cluster, topic, ""), int64(0)
	if topic, err := source.Topic(t.Context()); topic.Partitions != partitions || err != nil {
		t.Fatalf("%+v, %v", topic, err)
	}
	for p := range partitions {
		first, next, err := source.Bounds(t.Context(), p)
		if err != nil || first != 0 || next == 0 {
			t.Errorf("partition %d: bounds %d to %d, %v: messages without a key are spread", p, first, next, err)
		}
		total += int64(len(fetchAll(t, source, p, 0, next, 1<<20)))
	}
	if total != 5*perCodec {
		t.Errorf("%d records in all, want %d", total, 5*perCodec)
	}
}

func tellsRecords(t *testing.T, cluster *apache.Cluster, topic string) {
	cluster.CreateTopic(t, topic, 1, nil)
	at := time.UnixMilli(1_700_000_000_123)
	err := newFranz(t, cluster, topic).ProduceSync(t.Context(),
		&kgo.Record{Value: []byte("a"), Timestamp: at},
		&kgo.Record{Key: []byte("k"), Timestamp: at.Add(time.Second)},
		&kgo.Record{Value: []byte{}, Timestamp: at.Add(time.Minute), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	var r connectors.Records
	if err := newSource(t, cluster, topic, "").Fetch(t.Context(), 0, 0, time.Second, 1<<20, &r); err != nil {
		t.Fatal(err)
	}
	if want := []int64{1_700_000_000_123_000, 1_700_000_001_123_000, 1_700_000_060_123_000}; !slices.Equal(r.Timestamps, want) {
		t.Errorf("timestamps %d, want %d", r.Timestamps, want)
	}
	if want := []bool{false, true, false}; !slices.Equal(r.Null, want) {
		t.Errorf("null %v, want %v", r.Null, want)
	}
	if r.Next != 3 || r.End != 3 {
		t.Errorf("next %d, end %d, want 3", r.Next, r.End)
	}
}

func abortedTransactions(t *testing.T, cluster *apache.Cluster, topic string) {
	cluster.CreateTopic(t, topic, 1, nil)
	client := newFranz(t, cluster, topic, kgo.TransactionalID(topic))
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		franzWrites(t, client, numbered(fmt.Sprint("transaction", i), 60)...)
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	const end = 3 * (60 + 1) // with the markers
	values := func(records []record) (v []string) {
		for _, r := range records {
			v = append(v, r.Value)
		}
		return v
	}
	committed := slices.Concat(numbered("transaction0", 60), numbered("transaction2", 60))
	if got := values(fetchAll(t, newSource(t, cluster, topic, kafka.ReadCommitted), 0, 0, end, 500)); !slices.Equal(got, committed) {
		t.Errorf("read committed gives %d records: %.200q", len(got), got)
	}
	all := slices.Concat(numbered("transaction0", 60), numbered("transaction1", 60), numbered("transaction2", 60))
	if got := values(fetchAll(t, newSource(t, cluster, topic, kafka.ReadUncommitted), 0, 0, end, 500)); !slices.Equal(got, all) {
		t.Errorf("read uncommitted gives %d records: %.200q", len(got), got)
	}
}

func deletedRecords(t *testing.T, cluster *apache.Cluster, topic string) {
	cluster.CreateTopic(t, topic, 1, nil)
	client := newFranz(t, cluster, topic)
	values := numbered("n", 100)
	franzWrites(t, client, values...)
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Offset = 40
	deletion := kmsg.NewDeleteRecordsRequestTopic()
	deletion.Topic, deletion.Partitions = topic, append(deletion.Partitions, part)
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.Topics = append(request.Topics, deletion)
	if res, err := request.RequestWith(t.Context(), client); err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("delete records: %+v, %v", res, err)
	}
	source := newSource(t, cluster, topic, "")
	if first, next, err := source.Bounds(t.Context(), 0); first != 40 || next != 100 || err != nil {
		t.Errorf("bounds %d to %d, %v", first, next, err)
	}
	var r connectors.Records
	err := source.Fetch(t.Context(), 0, 7, time.Second, 1<<20, &r)
	var missing *connectors.MissingRange
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) {
		t.Fatalf("fetch of deleted records: %v", err)
	}
	if want := (connectors.MissingRange{Topic: topic, From: 7, To: 40, First: 40, Next: 100}); *missing != want {
		t.Errorf("missing %+v, want %+v", *missing, want)
	}
	wantValues(t, fetchAll(t, source, 0, 40, 100, 1<<20), 40, values[40:])
}

func compactedLog(t *testing.T, cluster *apache.Cluster, topic string) {
	cluster.CreateTopic(t, topic, 1, map[string]string{
		"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "100",
	})
	client := newFranz(t, cluster, topic)
	source := newSource(t, cluster, topic, "")
	written := int64(0)
	var left []record
	// Only segments that are rolled are compacted, and each write rolls one.
	process.Until(t, "compaction", func(ctx context.Context) error {
		for range 10 {
			r := &kgo.Record{Key: []byte("k"), Value: fmt.Append(nil, written)}
			if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
				return err
			}
			written++
		}
		if left = fetchAll(t, source, 0, 0, written, 1<<20); len(left) == int(written) {
			return errors.New("every record is still there")
		}
		return nil
	})
	for i, r := range left {
		if r.Value != fmt.Sprint(r.Offset) || i > 0 && r.Offset <= left[i-1].Offset {
			t.Errorf("record %d is %q at offset %d", i, r.Value, r.Offset)
		}
	}
	if last := left[len(left)-1]; last.Offset != written-1 {
		t.Errorf("the last record is at %d, want %d", last.Offset, written-1)
	}
	if err := source.CheckKept(t.Context()); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("streams take a compacted topic: %v", err)
	}
}

func commitsOffset(t *testing.T, cluster *apache.Cluster, topic string) {
	cluster.CreateTopic(t, topic, 2, nil)
	source := newSource(t, cluster, topic, "")
	if err := source.Commit(t.Context(), 1, 42); err != nil {
		t.Fatal(err)
	}
	wanted := kmsg.NewOffsetFetchRequestGroupTopic()
	wanted.Topic, wanted.Partitions = topic, []int32{1}
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = topic+"-group", append(group.Topics, wanted)
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Groups = append(request.Groups, group)
	res, err := request.RequestWith(t.Context(), newFranz(t, cluster, topic))
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Groups[0].Topics[0].Partitions[0]; got.Offset != 42 || got.ErrorCode != 0 {
		t.Errorf("the group's offset is %d (error code %d), want 42", got.Offset, got.ErrorCode)
	}
}

func missingTopic(t *testing.T, cluster *apache.Cluster, topic string) {
	source := newSource(t, cluster, topic, "")
	if _, err := source.Topic(t.Context()); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("partitions of a missing topic: %v", err)
	}
	cluster.CreateTopic(t, topic, 2, nil)
	process.Until(t, "the topic to be seen", func(ctx context.Context) error {
		topic, err := source.Topic(ctx)
		if err == nil && topic.Partitions != 2 {
			t.Errorf("%+v", topic)
		}
		return err
	})
}

func TestSourceAndProducerOutliveTheLossOfABroker(t *testing.T) {
	cluster := apache.Start(t, apache.Config{Nodes: 3, Properties: map[string]string{"min.insync.replicas": "2"}})
	const topic, partitions = "flights", 3
	cluster.CreateTopic(t, topic, partitions, nil)
	producer, err := kafka.NewProducer(kafka.Config{Brokers: cluster.Brokers(), Topic: topic}, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	source := newSource(t, cluster, topic, "")

	written := 0 // values acknowledged; each is one message of a call of 30
	write := func() {
		var messages []kafka.Message
		for i := range 30 {
			messages = append(messages, kafka.Message{Value: fmt.Append(nil, written+i)})
		}
		process.Until(t, "the producer to write", func(ctx context.Context) error {
			err := producer.Produce(ctx, messages)
			if err != nil && !thalweg.Is(err, thalweg.Unavailable) {
				return fmt.Errorf("%w: %w", process.ErrHopeless, err)
			}
			return err
		})
		written += 30
	}
	// read fetches all partitions anew and returns how often each value is there.
	read := func() map[string]int {
		seen := map[string]int{}
		for p := range partitions {
			next := int64(0)
			process.Until(t, "the source to read", func(ctx context.Context) error {
				_, end, err := source.Bounds(ctx, p)
				var r connectors.Records
				for err == nil && next < end {
					if err = source.Fetch(ctx, p, next, time.Second, 1<<20, &r); err == nil {
						for i := range r.Offsets {
							seen[string(r.Value(i))]++
						}
						next = r.Next
					}
				}
				if err != nil && !thalweg.Is(err, thalweg.Unavailable) {
					return fmt.Errorf("%w: %w", process.ErrHopeless, err)
				}
				return err
			})
		}
		return seen
	}
	check := func(when string) {
		t.Helper()
		seen := read()
		for i := range written {
			if seen[fmt.Sprint(i)] == 0 {
				t.Errorf("%s: message %d was acknowledged and is not there", when, i)
			}
		}
	}
	write()
	check("before")
	for node := range 3 {
		cluster.Kill(node)
		write()
		check(fmt.Sprintf("without node %d", node))
		cluster.Restart(t, node)
		cluster.WaitReady(t)
		write()
		check(fmt.Sprintf("with node %d back", node))
	}
}
