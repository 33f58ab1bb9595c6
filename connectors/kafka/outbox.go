package kafka

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// Bounds of an Outbox.
const (
	// outboxBatch is the size of the records of a batch.
	outboxBatch = 256 << 10
	// largestMessage and smallestMessage are between what messages are cut to for a
	// topic that takes no larger ones.
	largestMessage  = 2 << 20
	smallestMessage = 1 << 10
	// transactionTimeout is after how long brokers abort a transaction whose owner
	// is silent. It delays readers of committed records, not the next owner.
	transactionTimeout = time.Minute
	// maxFenced is how often a delivery begins anew because another process has
	// taken the line over; one that does so more often is left to it, and the caller
	// tries again later.
	maxFenced = 3
	// trustedAge is how old a group may be when the brokers remember nothing of its
	// line: they forget a group's offsets after offsets.retention.minutes, a week by
	// default.
	trustedAge = 24 * time.Hour
)

// OutboxConfig says who delivers, and to where in the topic.
type OutboxConfig struct {
	// Name is what transactional ids and groups begin with. All who deliver the same
	// lines must have the same.
	Name string
	// Partition of the topic that messages go to, modulo the number that it has.
	Partition int
}

// Outbox is a connectors.Outbox into Config.Topic by transactions. The number
// of the last group of a line is committed in the transaction of its messages,
// as an offset of a consumer group of that line: both are there or neither.
// Whoever begins fences all who did before (InitProducerID aborts what they
// left open), and then asks for the number; so a group that was delivered is
// known to be, whoever delivered it, and one that was not is in no open
// transaction either.
type Outbox struct {
	cluster *cluster
	cfg     OutboxConfig
	builder batchBuilder
	limit   int              // of a message; halved when the topic takes no larger one
	now     func() time.Time // for tests

	mu        sync.Mutex // held by the call that is under way
	line      string     // that the rest is of, "" if nothing is open
	producer  int64
	epoch     int16
	sequence  int32
	partition int
	next      int64 // group number after the last that was delivered, -1: none known
}

var _ connectors.Outbox = (*Outbox)(nil)

// NewOutbox returns an Outbox into cfg.Topic. It does not connect.
func NewOutbox(cfg Config, oc OutboxConfig) (*Outbox, error) {
	if oc.Name == "" || oc.Partition < 0 {
		return nil, &thalweg.Error{Op: "configure outbox", Kind: thalweg.Invalid, Subject: fmt.Sprintf("name %q, partition %d", oc.Name, oc.Partition)}
	}
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	return &Outbox{cluster: c, cfg: oc, limit: largestMessage, now: time.Now}, nil
}

// Deliver implements connectors.Outbox. A message that the topic does not take is
// cut until it does, and says so in TruncatedHeader and LeftOutHeader. NotFound: there is no such
// topic; Invalid: the brokers do not permit it; Lost: it cannot be told whether
// the group was delivered long ago.
func (o *Outbox) Deliver(ctx context.Context, g connectors.Group, messages iter.Seq2[connectors.Message, error]) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for fenced := 0; ; {
		if o.line != g.Line {
			if err := o.open(ctx, g.Line); err != nil {
				return err
			}
		}
		if o.next > int64(g.Seq) {
			return nil
		}
		if age := o.now().Sub(time.UnixMicro(g.BegunAtUS)); o.next < 0 && g.Seq > 0 && age > trustedAge {
			return &thalweg.Error{Op: "deliver", Kind: thalweg.Lost, Subject: fmt.Sprintf("%s, group %d (%s)", o.cluster.cfg.Topic, g.Seq, g.ID),
				Hint: fmt.Sprintf("it was begun %v ago, and the brokers have forgotten (offsets.retention.minutes) whether it was delivered: look for %s in the topic; "+
					"then set the offset of group %s in partition 0 of the topic to %d if it is there, to %d if not", age.Round(time.Hour), g.ID, o.id(g.Line), g.Seq+1, g.Seq)}
		}
		err := o.transact(ctx, g, messages)
		if err == nil {
			o.next = int64(g.Seq) + 1
			return nil
		}
		o.line = "" // whatever happened, the next beginning aborts it or finds it done
		switch {
		case tooLarge(err) && o.limit > smallestMessage:
			o.limit /= 2
		case thalweg.Is(err, thalweg.Fenced) && fenced < maxFenced:
			fenced++
		default:
			return err
		}
	}
}

// tooLarge reports whether the topic refused a batch for its size.
func tooLarge(err error) bool {
	var code kafkago.Error
	return errors.As(err, &code) && (code == kafkago.MessageSizeTooLarge || code == kafkago.RecordListTooLarge)
}

// id returns the transactional id of a line, which is its consumer group too.
func (o *Outbox) id(line string) string { return o.cfg.Name + "-" + line[:min(len(line), 16)] }

// open fences whoever delivered the line before and learns how far they got.
func (o *Outbox) open(ctx context.Context, line string) error {
	c := o.cluster
	n, err := c.partitions(ctx)
	if err != nil {
		return err
	}
	id := o.id(line)
	err = c.do(ctx, "begin transactions", id, 0, func(ctx context.Context) error {
		res, err := c.client.InitProducerID(ctx, &kafkago.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: int(transactionTimeout.Milliseconds()),
			ProducerID: -1, ProducerEpoch: -1})
		if err != nil {
			return err
		}
		if res.Error != nil {
			return res.Error
		}
		o.producer, o.epoch = int64(res.Producer.ProducerID), int16(res.Producer.ProducerEpoch)
		return nil
	})
	if err != nil {
		return err
	}
	next, err := c.committed(ctx, id, 0)
	if err != nil {
		return err
	}
	o.line, o.next, o.sequence, o.partition = line, next, 0, o.cfg.Partition%n
	return nil
}

// transact writes the messages and the number after the group's in one
// transaction.
func (o *Outbox) transact(ctx context.Context, g connectors.Group, messages iter.Seq2[connectors.Message, error]) error {
	c, id := o.cluster, o.id(g.Line)
	subject := fmt.Sprintf("%s/%d", c.cfg.Topic, o.partition)
	err := c.do(ctx, "add partition to transaction", subject, 0, func(ctx context.Context) error {
		res, err := c.client.AddPartitionsToTxn(ctx, &kafkago.AddPartitionsToTxnRequest{TransactionalID: id, ProducerID: int(o.producer), ProducerEpoch: int(o.epoch),
			Topics: map[string][]kafkago.AddPartitionToTxn{c.cfg.Topic: {{Partition: o.partition}}}})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[c.cfg.Topic] {
			if p.Error != nil {
				return p.Error
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := o.produce(ctx, id, messages); err != nil {
		return err
	}
	err = c.do(ctx, "add group to transaction", id, 0, func(ctx context.Context) error {
		res, err := c.client.AddOffsetsToTxn(ctx, &kafkago.AddOffsetsToTxnRequest{TransactionalID: id, ProducerID: int(o.producer), ProducerEpoch: int(o.epoch), GroupID: id})
		if err != nil {
			return err
		}
		return res.Error
	})
	if err != nil {
		return err
	}
	err = c.do(ctx, "commit group number", id, 0, func(ctx context.Context) error {
		res, err := c.client.TxnOffsetCommit(ctx, &kafkago.TxnOffsetCommitRequest{TransactionalID: id, GroupID: id, ProducerID: int(o.producer), ProducerEpoch: int(o.epoch),
			GenerationID: -1, Topics: map[string][]kafkago.TxnOffsetCommit{c.cfg.Topic: {{Partition: 0, Offset: int64(g.Seq) + 1, Metadata: g.ID}}}})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[c.cfg.Topic] {
			if p.Error != nil {
				return p.Error
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.do(ctx, "commit transaction", subject, 0, func(ctx context.Context) error {
		res, err := c.client.EndTxn(ctx, &kafkago.EndTxnRequest{TransactionalID: id, ProducerID: int(o.producer), ProducerEpoch: int(o.epoch), Committed: true})
		if err != nil {
			return err
		}
		return res.Error
	})
}

// produce writes the messages, batch after batch.
func (o *Outbox) produce(ctx context.Context, id string, messages iter.Seq2[connectors.Message, error]) error {
	now := o.now().UnixMilli()
	o.builder.reset()
	for m, err := range messages {
		if err != nil {
			return err
		}
		m = fit(m, o.limit)
		if o.builder.count > 0 && len(o.builder.records)+sizeOf(m) > min(outboxBatch, o.limit) {
			if err := o.send(ctx, id); err != nil {
				return err
			}
		}
		o.builder.add(m.Key, m.Value, now, m.Headers)
	}
	if o.builder.count == 0 {
		return nil
	}
	return o.send(ctx, id)
}

// send writes the batch.
func (o *Outbox) send(ctx context.Context, id string) error {
	o.builder.transactional = true
	batch, err := o.builder.finish(compress.None, o.producer, o.epoch, o.sequence)
	if err != nil {
		return err
	}
	err = o.cluster.write(ctx, id, o.partition, batch)
	if err == nil {
		o.sequence = after(o.sequence, o.builder.count)
		o.builder.reset()
	}
	return err
}

// Close ends the connections.
func (o *Outbox) Close() error {
	o.cluster.close()
	return nil
}
