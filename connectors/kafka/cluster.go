package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

// The pauses between tries of a request are short enough to follow a leader
// that moves, and long enough not to hammer brokers that are starting.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// refreshEvery bounds how often failures make the cluster's layout be read
// anew, whatever the number of partitions that fail at once.
const refreshEvery = 20 * time.Millisecond

// cluster is the connection to the brokers that Source and Producer share:
// kafka-go's pool, which finds leaders and keeps authenticated connections,
// with bounded retries and errors that say what is wrong.
type cluster struct {
	cfg       Config
	addr      net.Addr
	transport *kafkago.Transport
	client    *kafkago.Client
	signIn    *signIn // nil without SASL

	mu struct {
		sync.Mutex
		refreshed time.Time
	}
}

func newCluster(cfg Config) (*cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	mechanism, err := cfg.mechanism()
	if err != nil {
		return nil, err
	}
	c := &cluster{cfg: cfg, addr: cfg.addr()}
	c.transport = &kafkago.Transport{
		Dial:           cfg.Dial,
		DialTimeout:    cfg.DialTimeout,
		MetadataTTL:    cfg.MetadataTTL,
		MetadataTopics: []string{cfg.Topic},
		ClientID:       cfg.ClientID,
		TLS:            cfg.TLS,
	}
	if mechanism != nil {
		c.signIn = &signIn{Mechanism: mechanism}
		c.transport.SASL = c.signIn
	}
	c.client = &kafkago.Client{Addr: c.addr, Transport: c.transport}
	return c, nil
}

// close ends idle connections now and the others when their request ends.
func (c *cluster) close() { c.transport.CloseIdleConnections() }

// do runs request until it succeeds, fails for a reason that will not pass,
// ctx ends, or the attempts or the shared budget for retries are used up.
// request sees a context that ends wait and RequestTimeout from now.
func (c *cluster) do(ctx context.Context, op, subject string, wait time.Duration, request func(context.Context) error) error {
	missing := 0
	transient := func(err error) bool {
		if thalweg.Is(err, thalweg.NotFound) {
			missing++ // tried once more: the layout of the cluster may be older than the topic
		} else if !thalweg.IsTransient(err) {
			return false
		}
		c.refresh()
		return missing < 2
	}
	p := retry.Policy{Backoff: retry.Backoff{Min: minBackoff, Max: maxBackoff}, Attempts: c.cfg.Attempts, Throttle: c.cfg.Throttle}
	err := p.Do(ctx, transient, func() error {
		if err := c.cfg.Throttle.Pass(ctx); err != nil {
			return c.translate(ctx, op, subject, err)
		}
		limited, cancel := context.WithTimeout(ctx, wait+c.cfg.RequestTimeout)
		err := c.explain(limited, request(limited))
		cancel()
		var code kafkago.Error
		switch {
		case err == nil || errors.As(err, &code):
			c.cfg.Throttle.Answered()
		case ctx.Err() == nil:
			c.cfg.Throttle.Failed()
		}
		if err == nil {
			return nil
		}
		return c.translate(ctx, op, subject, err)
	})
	if err != nil && ctx.Err() != nil {
		return c.translate(ctx, op, subject, ctx.Err())
	}
	return err
}

// refresh makes the next request read the layout of the cluster again: the
// pool is dropped, and lives on for the requests that still use it.
func (c *cluster) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.mu.refreshed) >= refreshEvery {
		c.mu.refreshed = now
		c.transport.CloseIdleConnections()
	}
}

// explain replaces the error of a request that could not be routed by the
// reason why the layout of the cluster is not known, if that is so: kafka-go
// says "topic not found" or "broker not available" when it could not even
// connect.
func (c *cluster) explain(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, protocol.ErrNoTopic) && !errors.Is(err, protocol.ErrNoPartition) && !errors.Is(err, kafkago.BrokerNotAvailable) {
		return err
	}
	if _, cause := c.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{c.cfg.Topic}}); cause != nil {
		return cause
	}
	return err
}

// partitions returns the number of partitions of the topic.
func (c *cluster) partitions(ctx context.Context) (int, error) {
	var n int
	err := c.do(ctx, "read topic", c.cfg.Topic, 0, func(ctx context.Context) error {
		m, err := c.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{c.cfg.Topic}})
		if err != nil {
			return err
		}
		for _, t := range m.Topics {
			if t.Name != c.cfg.Topic {
				continue
			}
			if t.Error != nil {
				return t.Error
			}
			n = len(t.Partitions)
		}
		if n == 0 {
			return kafkago.UnknownTopicOrPartition
		}
		return nil
	})
	return n, err
}

// bounds returns the first offset kept and the next to be produced.
func (c *cluster) bounds(ctx context.Context, partition int) (first, next int64, err error) {
	p, err := c.offsets(ctx, "read bounds", fmt.Sprintf("%s/%d", c.cfg.Topic, partition), partition, kafkago.FirstOffsetOf(partition), kafkago.LastOffsetOf(partition))
	return p.FirstOffset, p.LastOffset, err
}

// offsets asks for offsets of a partition.
func (c *cluster) offsets(ctx context.Context, op, subject string, partition int, of ...kafkago.OffsetRequest) (found kafkago.PartitionOffsets, err error) {
	err = c.do(ctx, op, subject, 0, func(ctx context.Context) error {
		res, err := c.client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{c.cfg.Topic: of}})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[c.cfg.Topic] {
			if p.Partition == partition {
				found = p
				return p.Error
			}
		}
		return kafkago.UnknownTopicOrPartition
	})
	if err != nil {
		return kafkago.PartitionOffsets{}, err
	}
	return found, nil
}
