package kafka

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

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
	cfg     OutboxConfig
	brokers Config           // with defaults
	limit   int              // of a message; halved when the topic takes no larger one
	now     func() time.Time // for tests

	mu        sync.Mutex // held by the call that is under way
	line      string     // that the rest is of, "" if nothing is open
	cluster   *cluster   // of the line's transactional id
	partition int
	position  connectors.Position // Next is the group number after the last that was delivered
}

var _ connectors.Outbox = (*Outbox)(nil)

// NewOutbox returns an Outbox into cfg.Topic. It does not connect.
func NewOutbox(cfg Config, oc OutboxConfig) (*Outbox, error) {
	if oc.Name == "" || oc.Partition < 0 {
		return nil, &thalweg.Error{Op: "configure outbox", Kind: thalweg.Invalid, Subject: fmt.Sprintf("name %q, partition %d", oc.Name, oc.Partition)}
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Outbox{cfg: oc, brokers: cfg.withDefaults(), limit: largestMessage, now: time.Now}, nil
}

// Deliver implements connectors.Outbox. A message that the topic does not take is
// cut until it does, and says so in TruncatedHeader and LeftOutHeader. NotFound: there is no such
// topic; Invalid: the brokers do not permit it; Lost: it cannot be told whether
// the group was delivered long ago.
func (o *Outbox) Deliver(ctx context.Context, g connectors.Group, messages iter.Seq2[connectors.Message, error]) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for fenced, attempt := 0, 1; ; {
		if o.line != g.Line {
			if err := o.open(ctx, g.Line); err != nil {
				return err
			}
		}
		if o.position.Next > int64(g.Seq) {
			return nil
		}
		if age := o.now().Sub(time.UnixMicro(g.BegunAtUS)); o.position.Next < 0 && g.Seq > 0 && age > trustedAge {
			return &thalweg.Error{Op: "deliver", Kind: thalweg.Lost, Subject: fmt.Sprintf("%s, group %d (%s)", o.brokers.Topic, g.Seq, g.ID),
				Hint: fmt.Sprintf("it was begun %v ago, and the brokers have forgotten (offsets.retention.minutes) whether it was delivered: look for %s in the topic; "+
					"then set the offset of group %s in partition 0 of the topic to %d if it is there, to %d if not", age.Round(time.Hour), g.ID, o.id(g.Line), g.Seq+1, g.Seq)}
		}
		err := o.transact(ctx, connectors.Position{Next: int64(g.Seq) + 1, Note: g.ID}, false, messages)
		if err == nil {
			return nil
		}
		o.line = "" // whatever happened, the next beginning aborts it or finds it done
		switch {
		case tooLarge(err) && o.limit > smallestMessage:
			o.limit /= 2
		case thalweg.Is(err, thalweg.Fenced) && fenced < maxFenced:
			fenced++
		case thalweg.IsTransient(err) && attempt < o.brokers.Attempts && o.brokers.Throttle.MayRepeat() && patience().Wait(ctx, attempt) == nil:
			attempt++
		default:
			return err
		}
	}
}

// tooLarge reports whether the topic refused a batch for its size.
func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// id returns the transactional id of a line, which is its consumer group too.
func (o *Outbox) id(line string) string { return o.cfg.Name + "-" + line[:min(len(line), 16)] }

// open fences whoever delivered the line before and learns how far they got. A
// client of its own begins what one of unknown state left.
func (o *Outbox) open(ctx context.Context, line string) error {
	o.end()
	id := o.id(line)
	c, err := newCluster(o.brokers, append(producerOptions(o.brokers), kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout),
		kgo.MinVersions(stableOffsets()), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	if err != nil {
		return err
	}
	c.transactional = true
	o.cluster = c
	topic, err := c.topic(ctx)
	if err != nil {
		return err
	}
	err = c.do(ctx, "begin transactions", id, 0, func(ctx context.Context) error {
		_, _, err := c.client.ProducerID(ctx)
		return err
	})
	if err != nil {
		return err
	}
	o.position, err = c.committed(ctx, id)
	if err != nil {
		return err
	}
	o.line, o.partition = line, o.cfg.Partition%topic.Partitions
	return nil
}

// stableOffsets are the versions of brokers that can wait for what transactions
// have committed (Kafka 2.5): others would answer without.
func stableOffsets() *kversion.Versions {
	v := new(kversion.Versions)
	v.SetMaxKeyVersion(kmsg.OffsetFetch.Int16(), 7)
	return v
}

// committed returns a group's offset in partition 0 of the topic and what was
// noted with it. There is no answer while a transaction that commits another is
// being ended.
func (c *cluster) committed(ctx context.Context, group string) (at connectors.Position, err error) {
	err = c.do(ctx, "read committed offset", fmt.Sprintf("%s/0 of group %s", c.cfg.Topic, group), 0, func(ctx context.Context) error {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group, req.RequireStable = group, true
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: c.cfg.Topic, Partitions: []int32{0}}}
		res, err := req.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		switch err := kerr.ErrorForCode(res.ErrorCode); {
		case errors.Is(err, kerr.GroupIDNotFound):
			at = connectors.Position{Next: -1}
			return nil
		case err != nil:
			return err
		case len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1:
			return corruptResponse("not the partition that was asked for")
		}
		p := &res.Topics[0].Partitions[0]
		if at = (connectors.Position{Next: p.Offset}); p.Metadata != nil {
			at.Note = *p.Metadata
		}
		return kerr.ErrorForCode(p.ErrorCode)
	})
	return at, err
}

// transact writes the messages and the position that they lead to in one
// transaction. Without messages there is nothing to be known later, unless always
// says so.
func (o *Outbox) transact(ctx context.Context, to connectors.Position, always bool, messages iter.Seq2[connectors.Message, error]) error {
	c, id := o.cluster, o.id(o.line)
	if err := c.client.BeginTransaction(); err != nil {
		return c.translate(ctx, "begin transaction", id, err)
	}
	n, err := o.produce(ctx, messages)
	if err == nil && (n > 0 || always) {
		err = o.commitPosition(ctx, to)
	}
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	if err := c.client.EndTransaction(limited, kgo.TryCommit); err != nil {
		return c.translate(ctx, "commit transaction", fmt.Sprintf("%s/%d", c.cfg.Topic, o.partition), err)
	}
	if n == 0 && always {
		if err := o.commitAlone(ctx); err != nil {
			return err
		}
	}
	o.position = to
	return nil
}

// commitPosition adds the position to the transaction, as an offset of the line's
// group: franz-go does that for members of a group only.
func (o *Outbox) commitPosition(ctx context.Context, to connectors.Position) error {
	c, id := o.cluster, o.id(o.line)
	producer, epoch, err := c.client.ProducerID(ctx)
	if err != nil {
		return c.translate(ctx, "commit position", id, err)
	}
	err = c.do(ctx, "add group to transaction", id, 0, func(ctx context.Context) error {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = id, producer, epoch, id
		res, err := req.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(res.ErrorCode)
	})
	if err != nil {
		return err
	}
	return c.do(ctx, "commit position", id, 0, func(ctx context.Context) error {
		number := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		number.Offset, number.Metadata = to.Next, &to.Note
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = id, producer, epoch, id
		req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: c.cfg.Topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{number}}}
		res, err := req.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		for _, t := range res.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// commitAlone ends a transaction in which nothing was produced: to franz-go it is
// none, and it would be left open.
func (o *Outbox) commitAlone(ctx context.Context) error {
	c, id := o.cluster, o.id(o.line)
	producer, epoch, err := c.client.ProducerID(ctx)
	if err != nil {
		return c.translate(ctx, "commit transaction", id, err)
	}
	return c.do(ctx, "commit transaction", id, 0, func(ctx context.Context) error {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = id, producer, epoch, true
		res, err := req.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(res.ErrorCode)
	})
}

// produce writes the messages, batch after batch, and returns their number.
func (o *Outbox) produce(ctx context.Context, messages iter.Seq2[connectors.Message, error]) (n int, err error) {
	now := o.now()
	var batch []*kgo.Record
	size := 0
	for m, err := range messages {
		if err != nil {
			return n, err
		}
		m = fit(m, o.limit)
		if size > 0 && size+sizeOf(m) > min(outboxBatch, o.limit) {
			if err := o.send(ctx, batch); err != nil {
				return n, err
			}
			batch, size = batch[:0], 0
		}
		r := record(o.brokers.Topic, o.partition, m.Key, m.Value, now, m.Headers)
		batch = append(batch, &r)
		size += sizeOf(m)
		n++
	}
	if n == 0 {
		return 0, nil
	}
	return n, o.send(ctx, batch)
}

// send writes a batch.
func (o *Outbox) send(ctx context.Context, batch []*kgo.Record) error {
	return o.cluster.produce(ctx, fmt.Sprintf("%s/%d", o.brokers.Topic, o.partition), batch).FirstErr()
}

// end hangs up.
func (o *Outbox) end() {
	if o.cluster != nil {
		o.cluster.close()
		o.cluster = nil
	}
	o.line = ""
}

// Close ends the connections.
func (o *Outbox) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end()
	return nil
}
