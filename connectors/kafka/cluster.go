package kafka

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/retry"
)

// The pauses between tries of a request are short enough to follow a leader
// that moves, and long enough not to hammer brokers that are starting.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// patience is the schedule of these pauses.
func patience() retry.Backoff { return retry.Backoff{Min: minBackoff, Max: maxBackoff} }

// cluster is the connection to the brokers by franz-go, with bounded retries
// and errors that say what is wrong.
type cluster struct {
	cfg    Config
	client *kgo.Client

	transactional bool // client has a transactional id
	shared        bool // the client is Config.Link's

	signInCut *atomic.Bool // the newest sign-in was cut off
	mu        struct {
		sync.Mutex
		producing map[*production]struct{}
	}
}

// newCluster returns a cluster that has not connected yet.
func newCluster(cfg Config, opts ...kgo.Opt) (*cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &cluster{cfg: cfg.withDefaults(), signInCut: new(atomic.Bool)}
	if l := cfg.Link; l != nil && len(opts) == 0 {
		base, err := l.open(cfg)
		if err != nil {
			return nil, err
		}
		c.client, c.signInCut, c.shared = base.client, base.signInCut, true
		return c, nil
	}
	c.mu.producing = make(map[*production]struct{})
	var err error
	if c.client, err = kgo.NewClient(append(c.clientOptions(), opts...)...); err != nil {
		return nil, &thalweg.Error{Op: "configure kafka", Kind: thalweg.Invalid, Subject: cfg.Topic, Err: err}
	}
	return c, nil
}

// close ends the connections; what is being produced fails.
func (c *cluster) close() {
	if !c.shared {
		c.client.Close()
	}
}

// Link is the connections to the brokers of a Config that Sources share for all
// but fetches: else each has its own to each broker. The zero value is ready to
// use. It is opened by the first Source, and for good.
type Link struct {
	once sync.Once
	base *cluster
	err  error
}

func (l *Link) open(cfg Config) (*cluster, error) {
	l.once.Do(func() {
		cfg.Link = nil
		l.base, l.err = newCluster(cfg)
	})
	return l.base, l.err
}

// Close ends the connections.
func (l *Link) Close() {
	l.once.Do(func() {})
	if l.base != nil {
		l.base.close()
	}
}

// do runs request until it succeeds, fails for a reason that will not pass,
// ctx ends, or the attempts or the shared budget for retries are used up.
// request sees a context that ends wait and RequestTimeout from now.
func (c *cluster) do(ctx context.Context, op, subject string, wait time.Duration, request func(context.Context) error) error {
	missing := 0
	transient := func(err error) bool {
		if thalweg.Is(err, thalweg.NotFound) {
			missing++ // tried once more: a broker's layout of the cluster may be older than the topic
			return missing < 2
		}
		return thalweg.IsTransient(err)
	}
	p := retry.Policy{Backoff: patience(), Attempts: c.cfg.Attempts, Throttle: c.cfg.Throttle}
	err := p.Do(ctx, transient, func() error {
		if err := c.cfg.Throttle.Pass(ctx); err != nil {
			return c.translate(ctx, op, subject, err)
		}
		limited, cancel := context.WithTimeout(ctx, wait+c.cfg.RequestTimeout)
		defer cancel()
		if err := request(limited); err != nil {
			return c.translate(ctx, op, subject, err)
		}
		return nil
	})
	if err != nil && ctx.Err() != nil {
		return c.translate(ctx, op, subject, ctx.Err())
	}
	return err
}

// topic returns what bears the topic's name now.
func (c *cluster) topic(ctx context.Context) (topic connectors.Topic, err error) {
	err = c.do(ctx, "read topic", c.cfg.Topic, 0, func(ctx context.Context) error {
		topic, err = c.topicOnce(ctx)
		return err
	})
	return topic, err
}

// topicOnce asks a broker for the topic.
func (c *cluster) topicOnce(ctx context.Context) (connectors.Topic, error) {
	res, err := metadataRequest(c.cfg.Topic).RequestWith(ctx, c.client)
	if err != nil {
		return connectors.Topic{}, err
	}
	return topicOf(res, c.cfg.Topic)
}

func metadataRequest(topic string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	return req
}

// topicOf returns what a broker says of the topic of that name.
func topicOf(res *kmsg.MetadataResponse, name string) (connectors.Topic, error) {
	for _, t := range res.Topics {
		if t.Topic == nil || *t.Topic != name {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return connectors.Topic{}, err
		}
		if len(t.Partitions) > 0 {
			return connectors.Topic{ID: topicID(t.TopicID).String(), Partitions: len(t.Partitions)}, nil
		}
	}
	return connectors.Topic{}, kerr.UnknownTopicOrPartition
}

// The times that ListOffsets takes for the ends of a partition.
const (
	atNext  = -1
	atFirst = -2
)

// bounds returns the first offset kept and the next to be produced.
func (c *cluster) bounds(ctx context.Context, partition int) (first, next int64, err error) {
	subject := fmt.Sprintf("%s/%d", c.cfg.Topic, partition)
	if first, err = c.offset(ctx, "read bounds", subject, partition, atFirst); err == nil {
		next, err = c.offset(ctx, "read bounds", subject, partition, atNext)
	}
	return first, next, err
}

// offset returns the offset of the first record at or after a time in
// milliseconds, -1 if there is none.
func (c *cluster) offset(ctx context.Context, op, subject string, partition int, at int64) (offset int64, err error) {
	err = c.do(ctx, op, subject, 0, func(ctx context.Context) error {
		of := kmsg.NewListOffsetsRequestTopicPartition()
		of.Partition, of.Timestamp = int32(partition), at
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: c.cfg.Topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{of}}}
		res, err := req.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return kerr.UnknownTopicOrPartition
		}
		offset = res.Topics[0].Partitions[0].Offset
		return kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
	})
	return offset, err
}
