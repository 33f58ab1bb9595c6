package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka/kafkatest"
)

// unanswered dials brokers that never answer requests of a key: they do not get
// them. met is closed when there was one.
type unanswered struct {
	key  kmsg.Key // -1: all
	met  chan struct{}
	once sync.Once
}

func (u *unanswered) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &muteConn{c, u}, err
}

type muteConn struct {
	net.Conn
	u *unanswered
}

// Write looks at the key of a request, which follows its length.
func (c *muteConn) Write(b []byte) (int, error) {
	if c.u.key < 0 || len(b) >= 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == c.u.key {
		c.u.once.Do(func() { close(c.u.met) })
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// A broker that accepts and never answers is given up after its deadline,
// whatever it is asked, and at once when the caller gives up.
func TestEveryCallHasADeadlineAndEndsWithItsContext(t *testing.T) {
	const all = kmsg.Key(-1)
	type caller struct {
		io.Closer
		call func(ctx context.Context) error
	}
	source := func(call func(ctx context.Context, s *Source) error) func(Config) (caller, error) {
		return func(cfg Config) (caller, error) {
			s, err := New(cfg)
			return caller{s, func(ctx context.Context) error { return call(ctx, s) }}, err
		}
	}
	producer := func(call func(ctx context.Context, p *Producer) error) func(Config) (caller, error) {
		return func(cfg Config) (caller, error) {
			p, err := NewProducer(cfg, ProducerConfig{})
			return caller{p, func(ctx context.Context) error { return call(ctx, p) }}, err
		}
	}
	for _, c := range []struct {
		name string
		open func(Config) (caller, error)
		keys []kmsg.Key // the requests that it makes
	}{
		{"Topic", source(func(ctx context.Context, s *Source) error { _, err := s.Topic(ctx); return err }), []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata}},
		{"Bounds", source(func(ctx context.Context, s *Source) error { _, _, err := s.Bounds(ctx, 0); return err }), []kmsg.Key{kmsg.Metadata, kmsg.ListOffsets}},
		{"Fetch", source(func(ctx context.Context, s *Source) error {
			return s.Fetch(ctx, 0, 0, time.Millisecond, 1<<20, new(connectors.Records))
		}), []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata, kmsg.Fetch}},
		{"Commit", source(func(ctx context.Context, s *Source) error { return s.Commit(ctx, 0, 1) }), []kmsg.Key{kmsg.FindCoordinator, kmsg.OffsetCommit}},
		{"CreateTopic", producer(func(ctx context.Context, p *Producer) error { return p.CreateTopic(ctx, 1) }), []kmsg.Key{kmsg.Metadata, kmsg.CreateTopics}},
		{"Partitions", producer(func(ctx context.Context, p *Producer) error { _, err := p.Partitions(ctx); return err }), []kmsg.Key{kmsg.Metadata}},
		{"Produce", producer(func(ctx context.Context, p *Producer) error { return p.Produce(ctx, []Message{{Value: []byte("x")}}) }),
			[]kmsg.Key{kmsg.Metadata, kmsg.InitProducerID, kmsg.Produce}},
		{"Deliver", func(cfg Config) (caller, error) {
			o, err := NewOutbox(cfg, OutboxConfig{Name: "silent"})
			return caller{o, func(ctx context.Context) error { return o.Deliver(ctx, group(1), letters(1, 3, 10)) }}, err
		}, append(kafkatest.Transaction(), kmsg.FindCoordinator)},
	} {
		for _, key := range append(slices.Clone(c.keys), all) {
			for _, gives := range []string{"the client", "the caller"} {
				name := fmt.Sprintf("%s, no answer to %s, %s gives up", c.name, key.Name(), gives)
				if key == all {
					name = fmt.Sprintf("%s, no answer at all, %s gives up", c.name, gives)
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "dlq"))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(cluster.Close)
					u := &unanswered{key: key, met: make(chan struct{})}
					cfg := Config{Brokers: cluster.ListenAddrs(), Topic: "dlq", Group: "g", Dial: u.Dial, Attempts: 2, RequestTimeout: 200 * time.Millisecond, DialTimeout: 200 * time.Millisecond}
					if gives == "the caller" {
						cfg.RequestTimeout, cfg.DialTimeout = 15*time.Second, 15*time.Second
					}
					at, err := c.open(cfg)
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					ended := make(chan error, 1)
					go func() { ended <- at.call(ctx) }()
					await := func(what string, within time.Duration) (err error) {
						t.Helper()
						select {
						case err = <-ended:
						case <-time.After(within):
							t.Fatalf("%s does not end", what)
						}
						return err
					}
					select {
					case <-u.met:
					case err := <-ended:
						t.Fatalf("the request was not made: %v", err)
					}
					want := thalweg.Unavailable
					if gives == "the caller" {
						want = thalweg.Canceled
						cancel()
					}
					if err := await(c.name, 10*time.Second); !thalweg.Is(err, want) {
						t.Errorf("%v, want %v", err, want)
					}
					go func() { ended <- at.Close() }()
					if err := await("Close", 10*time.Second); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}
