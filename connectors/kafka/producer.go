package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// ProducerConfig says how a Producer cuts and compresses batches. The zero
// value is ready to use.
type ProducerConfig struct {
	// BatchBytes is the size of the records of a batch, before compression, at
	// which the next is begun. Brokers refuse batches beyond 1 MiB unless told
	// otherwise. Default 256 KiB.
	BatchBytes int
	// Compression of batches: none, gzip, snappy, lz4 or zstd. Default none.
	Compression string
}

// Message is one record to write.
type Message struct {
	Key   []byte    // decides the partition; nil: partitions take turns
	Value []byte    // nil is a null
	Time  time.Time // zero: the time of the call
	// Headers are kept in order; names may repeat.
	Headers []connectors.Header
}

// BatchError says which messages of a Produce call were not written: those at
// Index of the slice it was given, all of one partition and in one batch.
type BatchError struct {
	Partition int
	Index     []int
	Err       error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("partition %d: %d messages: %v", e.Partition, len(e.Index), e.Err)
}

// Unwrap returns the cause.
func (e *BatchError) Unwrap() error { return e.Err }

// Producer writes messages to one topic: acknowledged by all replicas, and
// numbered so that a broker drops the second copy which a retry may send. The
// messages of one partition keep their order. It may be used by several
// goroutines; their calls take turns.
type Producer struct {
	cluster *cluster
	cfg     ProducerConfig
	byKey   kgo.TopicPartitioner
	mu      struct {
		sync.Mutex
		turn int
	}
}

// NewProducer returns a Producer for cfg.Topic. It does not connect.
func NewProducer(cfg Config, pc ProducerConfig) (*Producer, error) {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	codec, known := codecs[cmp.Or(pc.Compression, "none")]
	if !known {
		return nil, &thalweg.Error{Op: "configure producer", Kind: thalweg.Invalid, Subject: "compression " + pc.Compression,
			Hint: "one of none, gzip, snappy, lz4, zstd"}
	}
	pc.BatchBytes = cmp.Or(pc.BatchBytes, 256<<10)
	c, err := newCluster(cfg, append(producerOptions(cfg), kgo.ProducerBatchCompression(codec),
		// A call ends by itself, also while the fate of a batch is unknown.
		kgo.AllowIdempotentProduceCancellation())...)
	if err != nil {
		return nil, err
	}
	return &Producer{cluster: c, cfg: pc, byKey: kgo.StickyKeyPartitioner(nil).ForTopic(cfg.Topic)}, nil
}

// maxRecordBytes bounds a record that a broker is asked to take; brokers have
// lower bounds, which decide.
const maxRecordBytes = 64 << 20

// gatherTime is how long franz-go may wait for the rest of a batch. It waits no
// longer than until all records of a call are there.
const gatherTime = 5 * time.Millisecond

// producerOptions are those of Producer and Outbox, which both choose partitions
// and cut batches themselves.
func producerOptions(cfg Config) []kgo.Opt {
	cfg = cfg.withDefaults()
	return []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(gatherTime),
		kgo.ProducerBatchMaxBytes(maxRecordBytes),
		kgo.ProduceRequestTimeout(cfg.RequestTimeout / 2),
		kgo.RecordRetries(cfg.Attempts - 1),
	}
}

// CreateTopic makes the topic with so many partitions, or as many as the
// broker's default for 0, and waits until it can be used; Exists if it is
// there already.
func (p *Producer) CreateTopic(ctx context.Context, partitions int) error {
	c := p.cluster
	if partitions == 0 {
		partitions = -1
	}
	return c.do(ctx, "create topic", c.cfg.Topic, 0, func(ctx context.Context) error {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = c.cfg.Topic, int32(partitions), -1
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Topics = append(req.Topics, topic)
		res, err := req.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		if len(res.Topics) != 1 {
			return corruptResponse("%d topics made, asked for one", len(res.Topics))
		}
		return kerr.ErrorForCode(res.Topics[0].ErrorCode)
	})
}

// Partitions returns the number of partitions; NotFound if there is no such
// topic.
func (p *Producer) Partitions(ctx context.Context) (int, error) {
	topic, err := p.cluster.topic(ctx)
	return topic.Partitions, err
}

// Produce writes messages and returns when every replica has them. The error
// joins one *BatchError for each batch that could not be written; where its
// kind is Unavailable or Canceled the batch may be there all the same.
func (p *Producer) Produce(ctx context.Context, messages []Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.Partitions(ctx)
	if err != nil {
		return err
	}
	// franz-go would give the messages up at the first broker that is still making
	// producer ids.
	c := p.cluster
	err = c.do(ctx, "begin to produce", c.cfg.Topic, 0, func(ctx context.Context) error {
		_, _, err := c.client.ProducerID(ctx)
		return err
	})
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	failed := make([]error, n)
	for partition, index := range p.assignLocked(messages, n) {
		if len(index) > 0 {
			wait.Go(func() { failed[partition] = p.write(ctx, partition, index, messages) })
		}
	}
	wait.Wait()
	return errors.Join(failed...)
}

// assignLocked returns the messages of each partition: by the key's murmur2
// hash, as the Java client does, or in turn.
func (p *Producer) assignLocked(messages []Message, partitions int) [][]int {
	index := make([][]int, partitions)
	for i, m := range messages {
		at := p.mu.turn % partitions
		if m.Key != nil {
			at = p.byKey.Partition(&kgo.Record{Key: m.Key}, partitions)
		} else {
			p.mu.turn = (at + 1) % partitions
		}
		index[at] = append(index[at], i)
	}
	return index
}

// write sends the messages of one partition, batch after batch. After a batch
// that failed the rest is not sent: it would be out of order.
func (p *Producer) write(ctx context.Context, partition int, index []int, messages []Message) error {
	topic := p.cluster.cfg.Topic
	subject := fmt.Sprintf("%s/%d", topic, partition)
	now := time.Now()
	memory := make([]kgo.Record, len(index))
	records := make([]*kgo.Record, 0, len(index))
	size, first := 0, 0
	for n, i := range index {
		m := messages[i]
		at := m.Time
		if at.IsZero() {
			at = now
		}
		memory[n] = record(topic, partition, m.Key, m.Value, at, m.Headers)
		records = append(records, &memory[n])
		if size += len(m.Key) + len(m.Value); size < p.cfg.BatchBytes && n+1 < len(index) {
			continue
		}
		results := p.cluster.produce(ctx, subject, records)
		if err := results.FirstErr(); err != nil {
			refused := &BatchError{Partition: partition, Err: err}
			for _, r := range results {
				if r.Err != nil {
					refused.Index = append(refused.Index, index[first+slices.Index(records, r.Record)])
				}
			}
			slices.Sort(refused.Index)
			failed := []error{refused}
			if n+1 < len(index) {
				failed = append(failed, &BatchError{Partition: partition, Index: index[n+1:],
					Err: &thalweg.Error{Op: "produce", Kind: thalweg.Canceled, Subject: topic, Hint: "not sent after the batch before it failed"}})
			}
			return errors.Join(failed...)
		}
		records, size, first = records[:0], 0, n+1
	}
	return nil
}

// Close ends the connections.
func (p *Producer) Close() error {
	p.cluster.close()
	return nil
}
