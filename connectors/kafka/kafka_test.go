package kafka_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "events"

// newCluster starts a broker that has the topic.
func newCluster(t testing.TB, partitions int32, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// config is for tests: quick to give up.
func config(c *kfake.Cluster) kafka.Config {
	return kafka.Config{Brokers: c.ListenAddrs(), Topic: topic, RequestTimeout: 5 * time.Second, DialTimeout: 2 * time.Second}
}

func newSource(t testing.TB, cfg kafka.Config) *kafka.Source {
	t.Helper()
	s, err := kafka.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newProducer(t testing.TB, cfg kafka.Config, pc kafka.ProducerConfig) *kafka.Producer {
	t.Helper()
	p, err := kafka.NewProducer(cfg, pc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// newFranz returns an independent client: what it writes, we must read.
func newFranz(t testing.TB, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func produceSync(t testing.TB, cl *kgo.Client, partition int32, values ...string) {
	t.Helper()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Partition: partition, Value: []byte(v)})
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// event is one record as read.
type event struct {
	Offset int64
	Value  string
}

// readAll reads partition from offset until want records have come or a fetch
// at the end of the log gives none.
func readAll(t testing.TB, s connectors.Source, partition int, offset int64, maxBytes int) (events []event, next int64) {
	t.Helper()
	var r connectors.Records
	for {
		if err := s.Fetch(t.Context(), partition, offset, 10*time.Millisecond, maxBytes, &r); err != nil {
			t.Fatal(err)
		}
		for i := range r.Len() {
			events = append(events, event{r.Offsets[i], string(r.Value(i))})
		}
		if r.Next == offset {
			return events, offset
		}
		offset = r.Next
	}
}

func numbered(from, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf(`{"n":%d}`, from+i)
	}
	return values
}

// committed returns the offset of a group by another client.
func committed(ctx context.Context, c *kfake.Cluster, group string, partition int) (int64, error) {
	tr := &kafkago.Transport{}
	defer tr.CloseIdleConnections()
	cl := &kafkago.Client{Addr: kafkago.TCP(c.ListenAddrs()...), Transport: tr}
	res, err := cl.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {partition}}})
	if err != nil {
		return 0, err
	}
	return res.Topics[topic][0].CommittedOffset, res.Topics[topic][0].Error
}
