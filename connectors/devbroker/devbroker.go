// Package devbroker is the Kafka broker inside thalweg dev: one broker on
// loopback, by franz-go's kfake, that keeps its topics in a directory. Any
// Kafka client can use it: where kfake answers otherwise than Apache Kafka does
// and a client fails on it, mends.go has the answer. It is for development and
// tests: one replica, no authentication, and writes reach the disk when the
// operating system likes (a killed process loses nothing, a power cut may).
package devbroker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/thalweg/thalweg"
)

// Config says how the broker listens and makes topics. The zero value is ready
// to use.
type Config struct {
	Address    string       // host:port on loopback to listen on, port 0: a free one; default 127.0.0.1:0
	Partitions int          // of a topic that a client makes by using it; default 4
	Logger     *slog.Logger // default: none
	// Listen makes the listener; default net.Listen. Tests listen on a network of
	// their own.
	Listen func(network, address string) (net.Listener, error)
}

func (c Config) withDefaults() Config {
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	if c.Partitions == 0 {
		c.Partitions = 4
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Listen == nil {
		c.Listen = net.Listen
	}
	return c
}

// Validate reports the first field that cannot be used. The broker asks nobody
// for a password, so it listens on loopback and nowhere else.
func (c Config) Validate() error {
	bad := func(field, hint string) error {
		return &thalweg.Error{Op: "configure broker", Kind: thalweg.Invalid, Subject: field, Hint: hint}
	}
	if c.Partitions < 0 {
		return bad("partitions", "at least 1")
	}
	if c.Address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return bad("address "+c.Address, "host:port")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return bad("address "+c.Address, "the embedded broker has no authentication and listens on loopback only")
	}
	return nil
}

// Broker is a running broker.
type Broker struct {
	cluster    *kfake.Cluster
	lock       *os.File // nil: there is no directory
	addr       string
	autoCreate autoCreate
	once       sync.Once
}

// New starts a broker that keeps its topics in dir, which is made if it is not
// there; an empty dir keeps them in memory. Conflict if another process uses
// dir, Unavailable if the port is taken.
func New(dir string, cfg Config) (*Broker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			l, err := cfg.Listen(network, cfg.Address)
			if err != nil {
				return nil, err
			}
			return listener{l}, nil
		}),
		kfake.DefaultNumPartitions(cfg.Partitions),
		kfake.ClusterID("thalweg-dev"),
		kfake.BrokerConfigs(map[string]string{ // as they are; kfake's own are those of a cluster of three, or absent
			"auto.create.topics.enable": "true", "num.partitions": strconv.Itoa(cfg.Partitions),
			"default.replication.factor": "1", "offsets.topic.replication.factor": "1"}),
		kfake.WithLogger(logger{cfg.Logger}),
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, &thalweg.Error{Op: "start broker", Subject: dir, Err: err}
		}
		var err error
		if b.lock, err = lockDir(dir); err != nil {
			return nil, err
		}
		opts = append(opts, kfake.DataDir(dir))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		b.lock.Close()
		e := &thalweg.Error{Op: "start broker", Subject: dir, Err: err}
		var listen *net.OpError
		if errors.As(err, &listen) {
			e.Kind, e.Subject = thalweg.Unavailable, cfg.Address
			e.Hint = "does another program listen there?"
		}
		return nil, e
	}
	b.autoCreate.install(cluster)
	prepare(cluster)
	b.cluster, b.addr = cluster, cluster.ListenAddrs()[0]
	return b, nil
}

// Addr returns host:port of the broker.
func (b *Broker) Addr() string { return b.addr }

// Run serves until ctx ends, then closes the broker.
func (b *Broker) Run(ctx context.Context) error {
	<-ctx.Done()
	b.Close()
	return nil
}

// Close stops the broker and gives its directory free. Further calls do
// nothing.
func (b *Broker) Close() {
	b.once.Do(func() {
		b.cluster.Close()
		b.lock.Close()
	})
}

// logger hands kfake's log on.
type logger struct{ to *slog.Logger }

// Logf implements kfake.Logger.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug // kfake's info is one line a request
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	}
	if ctx := context.Background(); l.to.Enabled(ctx, to) {
		l.to.Log(ctx, to, fmt.Sprintf(format, args...), slog.String("component", "broker"))
	}
}
