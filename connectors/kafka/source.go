// Package kafka reads Kafka topics through kafka-go's Transport, and does all
// else through franz-go's client.
//
// Source reads partitions one by one, without a consumer group: exact offsets,
// no record skipped without an error, no control record taken for an event.
// Producer writes batches idempotently, so that a retry leaves no second copy.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// idleTimeout is how long a connection is kept on which nothing is asked: that for
// the layout of the cluster is asked once in minutes, and that of fetches always.
const idleTimeout = 2 * time.Second

// Source reads one topic.
type Source struct {
	cluster   *cluster
	brokers   net.Addr
	transport *kafkago.Transport // finds leaders for what is fetched, and keeps connections
	mu        struct {
		sync.Mutex
		cursors   map[int]*cursor
		refreshed time.Time
	}
}

var _ connectors.Source = (*Source)(nil)

// New returns a Source for cfg.Topic. It does not connect.
func New(cfg Config) (*Source, error) {
	c, err := newCluster(cfg)
	if err != nil {
		return nil, err
	}
	cfg = c.cfg
	s := &Source{cluster: c, brokers: kafkago.TCP(cfg.Brokers...), transport: &kafkago.Transport{
		Dial:           cfg.Dial,
		DialTimeout:    cfg.DialTimeout,
		MetadataTTL:    cfg.MetadataTTL,
		MetadataTopics: []string{cfg.Topic},
		ClientID:       cfg.ClientID,
		IdleTimeout:    idleTimeout,
		TLS:            cfg.TLS,
	}}
	if m := cfg.mechanism(); m != nil {
		s.transport.SASL = transportMechanism{m}
	}
	s.mu.cursors = make(map[int]*cursor)
	return s, nil
}

// Topic asks a broker what bears the topic's name.
func (s *Source) Topic(ctx context.Context) (connectors.Topic, error) { return s.cluster.topic(ctx) }

// Bounds returns the first offset kept and the next to be produced.
func (s *Source) Bounds(ctx context.Context, partition int) (first, next int64, err error) {
	return s.cluster.bounds(ctx, partition)
}

// Commit writes next as the group's offset; without Config.Group it does
// nothing.
func (s *Source) Commit(ctx context.Context, partition int, next int64) error {
	c := s.cluster
	if c.cfg.Group == "" {
		return nil
	}
	subject := fmt.Sprintf("%s/%d of group %s", c.cfg.Topic, partition, c.cfg.Group)
	return c.do(ctx, "commit offset", subject, 0, func(ctx context.Context) error {
		of := kmsg.NewOffsetCommitRequestTopicPartition()
		of.Partition, of.Offset = int32(partition), next
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group = c.cfg.Group // without members, as for manual assignment
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: c.cfg.Topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{of}}}
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

// Close ends the connections. A Fetch under way fails or ends by itself.
func (s *Source) Close() error {
	s.transport.CloseIdleConnections()
	s.cluster.close()
	return nil
}

// refreshEvery bounds how often failures make the cluster's layout be read
// anew, whatever the number of partitions that fail at once.
const refreshEvery = 20 * time.Millisecond

// failed looks into the error of a fetch. The next one reads the layout of the
// cluster again: the pool is dropped, and lives on for the requests that still
// use it. Where kafka-go could not even connect it says that there is no such
// topic, and a refused sign-in is an end of the connection to it: franz-go tells
// what is wrong.
func (s *Source) failed(ctx context.Context, partition int, err error) error {
	s.mu.Lock()
	if now := time.Now(); now.Sub(s.mu.refreshed) >= refreshEvery {
		s.mu.refreshed = now
		s.transport.CloseIdleConnections()
	}
	s.mu.Unlock()
	throttle := s.cluster.cfg.Throttle
	code := brokerCode(err)
	if code != nil && code != kerr.UnknownTopicOrPartition && code != kerr.BrokerNotAvailable {
		throttle.Answered()
		return err
	}
	if ctx.Err() != nil {
		if code != nil {
			return ctx.Err() // nobody answered in time, so that nobody can have said this
		}
		return err
	}
	topic, cause := s.cluster.topicOnce(ctx)
	if cause != nil {
		return cause
	}
	if code == kerr.UnknownTopicOrPartition && partition < topic.Partitions {
		return kerr.LeaderNotAvailable // there is such a topic: it is its broker that does not answer
	}
	if code == nil {
		throttle.Failed()
	}
	return err
}

// cursor is the reading position in one partition: the response whose batches
// are being decoded, and how far. Only the goroutine that reads the partition
// uses it.
type cursor struct {
	exchange  *exchange
	decoder   decoder
	remaining []byte // of exchange.buf: batches not decoded yet
	next      int64  // the offset at which remaining goes on
	end       int64  // high watermark of the response
	topicID   string // the topic ID asked for; remaining and end are that topic's
}

func (s *Source) cursor(partition int) *cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	cur := s.mu.cursors[partition]
	if cur == nil {
		cfg := s.cluster.cfg
		cur = &cursor{exchange: newExchange(cfg, partition)}
		cur.decoder = decoder{maxBatchBytes: cfg.MaxBatchBytes, committed: cfg.IsolationLevel == ReadCommitted}
		s.mu.cursors[partition] = cur
	}
	return cur
}

// Fetch implements connectors.Source. A response larger than maxBytes once
// inflated is given out over several calls.
func (s *Source) Fetch(ctx context.Context, partition int, offset int64, maxWait time.Duration, maxBytes int, dst *connectors.Records) error {
	dst.Reset()
	dst.Next = offset
	cur := s.cursor(partition)
	if cur.topicID != dst.TopicID {
		cur.topicID, cur.remaining, cur.end = dst.TopicID, nil, 0
	}
	maxBytes = max(maxBytes, 1)
	if len(cur.remaining) > 0 && cur.next == offset {
		if err := s.decode(ctx, cur, partition, offset, maxBytes, dst); err != nil || dst.Next > offset {
			return err
		}
		// What was left was a batch cut off at the end of the response.
	}
	if err := s.request(ctx, cur, partition, offset, dst.LeaderEpoch, maxWait, maxBytes); err != nil {
		return s.identify(ctx, cur.topicID, partition, offset, cur.end, err)
	}
	received := len(cur.remaining)
	if err := s.decode(ctx, cur, partition, offset, maxBytes, dst); err != nil || dst.Next > offset || received == 0 {
		return err
	}
	return &thalweg.Error{Op: "fetch", Kind: thalweg.Corrupt, Subject: s.subject(partition, offset),
		Err: fmt.Errorf("a response of %d bytes without one whole record batch", received)}
}

func (s *Source) subject(partition int, offset int64) string {
	return fmt.Sprintf("%s/%d at offset %d", s.cluster.cfg.Topic, partition, offset)
}

// decode gives out batches of the response in cur.
func (s *Source) decode(ctx context.Context, cur *cursor, partition int, offset int64, maxBytes int, dst *connectors.Records) error {
	dst.End = cur.end
	cur.decoder.inflater.borrow(s.cluster.cfg.Pool, max(64<<10, maxBytes), func(bytes int) error { return s.cluster.cfg.large(ctx, bytes) })
	remaining, err := cur.decoder.decode(cur.remaining, maxBytes, dst)
	cur.decoder.inflater.returnBuffer()
	cur.remaining, cur.next = remaining, dst.Next
	if len(remaining) == 0 {
		cur.exchange.release()
	}
	if err != nil {
		cur.remaining = nil // read it again next time: it may have been spoilt on the way
		return &thalweg.Error{Op: "fetch", Kind: thalweg.KindOf(err), Subject: s.subject(partition, offset), Err: err}
	}
	return nil
}

// request gets a new response into cur. One that is too large to be read just
// so is asked for again once it may.
func (s *Source) request(ctx context.Context, cur *cursor, partition int, offset int64, epoch int32, maxWait time.Duration, maxBytes int) error {
	err := s.requestOnce(ctx, cur, partition, offset, epoch, maxWait, maxBytes)
	var large largeError
	if !errors.As(err, &large) {
		return err
	}
	if err := s.cluster.cfg.large(ctx, int(large)); err != nil {
		return s.cluster.translate(ctx, "fetch", s.subject(partition, offset), err)
	}
	cur.exchange.large = true
	err = s.requestOnce(ctx, cur, partition, offset, epoch, maxWait, maxBytes)
	cur.exchange.large = false
	return err
}

func (s *Source) requestOnce(ctx context.Context, cur *cursor, partition int, offset int64, epoch int32, maxWait time.Duration, maxBytes int) error {
	c := s.cluster
	cur.remaining = nil
	id, err := parseTopicID(cur.topicID)
	if err != nil {
		return err
	}
	var outOfRange bool
	divergesAt := int64(-1)
	var large largeError
	err = c.do(ctx, "fetch", s.subject(partition, offset), maxWait, func(ctx context.Context) error {
		e := cur.exchange
		e.ask(ctx, id, offset, epoch, maxWait, maxBytes)
		if _, err := s.transport.RoundTrip(ctx, s.brokers, e); err != nil {
			// The connection may still be reading into the buffer.
			cur.exchange = newExchange(c.cfg, partition)
			cur.exchange.large = e.large
			if errors.As(err, &large) {
				return nil
			}
			return s.failed(ctx, partition, err)
		}
		r := &e.response
		switch {
		case r.code == kerr.OffsetOutOfRange, r.code == nil && r.logStart > offset:
			outOfRange = true
			return nil
		case r.code == nil && r.divergesAt >= 0 && epoch > 0:
			divergesAt = r.divergesAt
			return nil
		case r.code != nil:
			return s.failed(ctx, partition, r.code)
		}
		c.cfg.Throttle.Answered()
		cur.remaining, cur.next, cur.end = r.batches, offset, r.end
		cur.decoder.begin(r.aborted)
		return nil
	})
	if err == nil && large > 0 {
		return large
	}
	switch {
	case err == nil && outOfRange:
		return s.lost(ctx, partition, offset)
	case err == nil && divergesAt >= 0:
		return s.cut(ctx, partition, offset, divergesAt)
	}
	return err
}

// cut says which offsets before offset the log does not have any more that were read. It ends
// at end for the leader's term of the last of them; or beyond, where it has none of that term: at
// least the last is gone then, and nobody knows where the term began.
func (s *Source) cut(ctx context.Context, partition int, offset, end int64) error {
	first, next, err := s.Bounds(ctx, partition)
	if err != nil {
		return err
	}
	topic := s.cluster.cfg.Topic
	return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Subject: fmt.Sprintf("%s/%d", topic, partition),
		Err:  &connectors.MissingRange{Topic: topic, Partition: partition, From: min(end, offset-1), To: offset, Cut: true, First: first, Next: next},
		Hint: "the topic allows unclean.leader.election, or a broker lost its disk: replicas that had the records were not there"}
}

// lost says which offsets are missing when offset is out of range.
func (s *Source) lost(ctx context.Context, partition int, offset int64) error {
	first, next, err := s.Bounds(ctx, partition)
	if err != nil {
		return err
	}
	topic := s.cluster.cfg.Topic
	e := &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Subject: fmt.Sprintf("%s/%d", topic, partition)}
	switch {
	case offset < first:
		e.Err = &connectors.MissingRange{Topic: topic, Partition: partition, From: offset, To: first, First: first, Next: next}
		e.Hint = fmt.Sprintf("deleted by retention or by hand; the first offset kept is %d", first)
	case offset > next:
		e.Err = &connectors.MissingRange{Topic: topic, Partition: partition, From: next, To: offset, First: first, Next: next}
		e.Hint = fmt.Sprintf("the log ends at %d: the topic was deleted and made again, or lost its newest records", next)
	default:
		// The log moved while we asked: the next Fetch sees the new bounds.
		e.Kind, e.Err = thalweg.Unavailable, kerr.OffsetOutOfRange
	}
	return e
}
