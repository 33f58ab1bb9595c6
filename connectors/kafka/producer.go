package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

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
	codec   compress.Compression
	mu      struct {
		sync.Mutex
		open     bool // producer, epoch and lanes are valid
		producer int64
		epoch    int16
		lanes    []lane // by partition
		turn     int
	}
}

// lane is the state of one partition.
type lane struct {
	builder  batchBuilder
	sequence int32
	index    []int // of the messages to write now
	failed   []*BatchError
}

// NewProducer returns a Producer for cfg.Topic. It does not connect.
func NewProducer(cfg Config, pc ProducerConfig) (*Producer, error) {
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	pc.BatchBytes = orDefault(pc.BatchBytes, 256<<10)
	p := &Producer{cluster: c, cfg: pc}
	if err := p.codec.UnmarshalText([]byte(orDefault(pc.Compression, "none"))); err != nil || p.codec < compress.None || p.codec > compress.Zstd {
		return nil, &thalweg.Error{Op: "configure producer", Kind: thalweg.Invalid, Subject: "compression " + pc.Compression,
			Hint: "one of none, gzip, snappy, lz4, zstd"}
	}
	return p, nil
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
		res, err := c.client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{
			Topic: c.cfg.Topic, NumPartitions: partitions, ReplicationFactor: -1,
		}}})
		if err != nil {
			return err
		}
		return res.Errors[c.cfg.Topic]
	})
}

// Partitions returns the number of partitions; NotFound if there is no such
// topic.
func (p *Producer) Partitions(ctx context.Context) (int, error) { return p.cluster.partitions(ctx) }

// Produce writes messages and returns when every replica has them. The error
// joins one *BatchError for each batch that could not be written; where its
// kind is Unavailable or Canceled the batch may be there all the same.
func (p *Producer) Produce(ctx context.Context, messages []Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.openLocked(ctx); err != nil {
		return err
	}
	p.assignLocked(messages)
	var wait sync.WaitGroup
	for i := range p.mu.lanes {
		if l := &p.mu.lanes[i]; len(l.index) > 0 {
			wait.Go(func() { p.write(ctx, i, l, messages) })
		}
	}
	wait.Wait()
	var failed []error
	for i := range p.mu.lanes {
		for _, e := range p.mu.lanes[i].failed {
			failed = append(failed, e)
		}
		p.mu.lanes[i].failed = nil
	}
	if len(failed) > 0 {
		// Sequences beyond a batch whose fate is unknown cannot be told apart from
		// a gap: begin anew under another producer id.
		p.mu.open = false
	}
	return errors.Join(failed...)
}

// openLocked learns the partitions, and gets a producer id where none is held.
func (p *Producer) openLocked(ctx context.Context) error {
	c := p.cluster
	n, err := c.partitions(ctx)
	if err != nil {
		return err
	}
	if !p.mu.open {
		err := c.do(ctx, "get producer id", c.cfg.Topic, 0, func(ctx context.Context) error {
			res, err := c.client.InitProducerID(ctx, &kafkago.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1})
			if err != nil {
				return err
			}
			if res.Error != nil {
				return res.Error
			}
			p.mu.producer, p.mu.epoch = int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch)
			return nil
		})
		if err != nil {
			return err
		}
		p.mu.open = true
		for i := range p.mu.lanes {
			p.mu.lanes[i].sequence = 0
		}
	}
	for len(p.mu.lanes) < n {
		p.mu.lanes = append(p.mu.lanes, lane{})
	}
	return nil
}

// assignLocked gives each message its partition: by the key's murmur2 hash, as
// the Java client does, or in turn.
func (p *Producer) assignLocked(messages []Message) {
	partitions := make([]int, len(p.mu.lanes))
	for i := range partitions {
		partitions[i] = i
		p.mu.lanes[i].index = p.mu.lanes[i].index[:0]
	}
	keyed := kafkago.Murmur2Balancer{Consistent: true}
	for i, m := range messages {
		at := p.mu.turn
		if m.Key != nil {
			at = keyed.Balance(kafkago.Message{Key: m.Key}, partitions...)
		} else {
			p.mu.turn = (p.mu.turn + 1) % len(partitions)
		}
		p.mu.lanes[at].index = append(p.mu.lanes[at].index, i)
	}
}

// write sends the messages of one partition, batch after batch. After a batch
// that failed the rest is not sent: it would be out of order.
func (p *Producer) write(ctx context.Context, partition int, l *lane, messages []Message) {
	first, now := 0, time.Now()
	l.builder.reset()
	for n, i := range l.index {
		m := messages[i]
		at := m.Time
		if at.IsZero() {
			at = now
		}
		l.builder.add(m.Key, m.Value, at.UnixMilli(), m.Headers)
		if len(l.builder.records) < p.cfg.BatchBytes && n+1 < len(l.index) {
			continue
		}
		if err := p.send(ctx, partition, l); err != nil {
			l.failed = append(l.failed, &BatchError{Partition: partition, Index: slices.Clone(l.index[first : n+1]), Err: err})
			if n+1 < len(l.index) {
				l.failed = append(l.failed, &BatchError{Partition: partition, Index: slices.Clone(l.index[n+1:]),
					Err: &thalweg.Error{Op: "produce", Kind: thalweg.Canceled, Subject: p.cluster.cfg.Topic, Hint: "not sent after the batch before it failed"}})
			}
			return
		}
		first = n + 1
		l.builder.reset()
	}
}

// send writes the lane's batch.
func (p *Producer) send(ctx context.Context, partition int, l *lane) error {
	batch, err := l.builder.finish(p.codec, p.mu.producer, p.mu.epoch, l.sequence)
	if err != nil {
		return &thalweg.Error{Op: "compress batch", Subject: p.cluster.cfg.Topic, Err: err}
	}
	err = p.cluster.write(ctx, "", partition, batch)
	if err == nil {
		l.sequence = after(l.sequence, l.builder.count)
	}
	return err
}

// Close ends the connections.
func (p *Producer) Close() error {
	p.cluster.close()
	return nil
}
