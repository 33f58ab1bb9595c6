package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// clientOptions are franz-go's form of the configuration. franz-go repeats
// nothing by itself but what it produces: cluster.do does, within the budget.
func (c *cluster) clientOptions() []kgo.Opt {
	cfg := c.cfg
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.ClientID),
		kgo.Dialer(cfg.dialGreeted),
		// Requests are filled for these versions: new fields of later ones would go out
		// unset, and transactions would change under our own requests (KIP-890).
		kgo.MaxVersions(kversion.V3_6_0()),
		kgo.RequestTimeoutOverhead(cfg.RequestTimeout),
		kgo.RequestRetries(0),
		kgo.RetryBackoffFn(func(failures int) time.Duration { return patience().Delay(failures, nil) }),
		kgo.MetadataMinAge(minBackoff),
		kgo.DisableClientMetrics(),
		kgo.WithHooks(c),
	}
	if m := cfg.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts
}

// dialGreeted connects to a broker. Until something is asked on the connection,
// it ends with the context and after DialTimeout: franz-go waits for versions and
// for the sign-in as long as for an answer, whatever becomes of the request that
// they are for.
func (c Config) dialGreeted(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.DialTimeout)
	conn, err := c.dialTLS(ctx, network, address)
	if err != nil {
		cancel()
		return nil, err
	}
	g := &greeted{Conn: conn, ctx: ctx, cancel: cancel}
	g.stop = context.AfterFunc(ctx, func() { conn.Close() })
	return g, nil
}

// greeted is a connection by franz-go.
type greeted struct {
	net.Conn
	ctx    context.Context //nolint:containedctx // of the greeting
	cancel context.CancelFunc
	stop   func() bool // has the connection outlive ctx
	asked  atomic.Bool // the greeting is over
}

// Write looks at the key of a request, which follows its length.
func (g *greeted) Write(b []byte) (int, error) {
	if len(b) >= 6 && !g.asked.Load() {
		switch kmsg.Key(binary.BigEndian.Uint16(b[4:])) {
		case kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate:
		default:
			g.asked.Store(true)
			g.stop()
			g.cancel()
		}
	}
	return g.Conn.Write(b)
}

func (g *greeted) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if err != nil && !g.asked.Load() && g.ctx.Err() != nil {
		err = g.ctx.Err() // why it was closed
	}
	return n, err
}

// Close ends the connection.
func (g *greeted) Close() error {
	g.stop()
	g.cancel()
	return g.Conn.Close()
}

// dialTLS connects to a broker, with TLS where that is configured.
func (c Config) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.Dial(ctx, network, address)
	if err != nil || c.TLS == nil {
		return conn, err
	}
	secured := c.TLS.Clone()
	if secured.ServerName == "" {
		if secured.ServerName, _, err = net.SplitHostPort(address); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	client := tls.Client(conn, secured)
	if err := client.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return client, nil
}

var (
	_ kgo.HookBrokerConnect = (*cluster)(nil)
	_ kgo.HookBrokerE2E     = (*cluster)(nil)
)

// OnBrokerConnect sees each connection of franz-go that was made or failed.
func (c *cluster) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		c.silent(err)
	}
}

// OnBrokerE2E sees each request of franz-go that was answered or failed.
func (c *cluster) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	err := e.Err()
	if k := kmsg.Key(key); k == kmsg.SASLHandshake || k == kmsg.SASLAuthenticate {
		c.signInCut.Store(err != nil)
	}
	if err != nil {
		c.silent(err)
		return
	}
	c.cfg.Throttle.Answered()
}

// silent notes that a broker did not answer, unless because we hung up.
func (c *cluster) silent(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) || brokerCode(err) != nil {
		return
	}
	c.cfg.Throttle.Failed()
	over := !c.cfg.Throttle.MayRepeat()
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.mu.producing {
		p.silence = err
		if over {
			p.cancel(errBudget)
		}
	}
}

// errBudget ends what franz-go would go on repeating.
var errBudget = &thalweg.Error{Op: "repeat", Kind: thalweg.Unavailable, Hint: "the brokers answer too little to try again now"}

// production is a call of produce under way.
type production struct {
	cancel  context.CancelCauseFunc
	silence error // the newest failure of a connection
}

// produce writes records and waits until all replicas have them. What franz-go
// repeats of it is bounded by the attempts' time and by the budget for retries.
// The error of a batch whose fate is unknown is of kind Unavailable or Canceled.
func (c *cluster) produce(ctx context.Context, subject string, records []*kgo.Record) kgo.ProduceResults {
	if err := c.cfg.Throttle.Pass(ctx); err != nil {
		return failAll(records, c.translate(ctx, "produce", subject, err))
	}
	limited, cancelLimit := context.WithTimeout(ctx, time.Duration(c.cfg.Attempts)*c.cfg.RequestTimeout)
	defer cancelLimit()
	limited, cancel := context.WithCancelCause(limited)
	defer cancel(nil)
	p := &production{cancel: cancel}
	c.mu.Lock()
	c.mu.producing[p] = struct{}{}
	c.mu.Unlock()
	if c.transactional {
		// franz-go waits without end for the fate of what it sent in a transaction,
		// unless its client is closed.
		defer context.AfterFunc(limited, c.close)()
	}
	results := c.client.ProduceSync(limited, records...)
	c.mu.Lock()
	delete(c.mu.producing, p)
	c.mu.Unlock()
	for i, r := range results {
		if r.Err == nil {
			continue
		}
		err := r.Err
		if p.silence != nil && brokerCode(err) == nil {
			err = p.silence
		}
		results[i].Err = c.translate(ctx, "produce", subject, err)
	}
	return results
}

func failAll(records []*kgo.Record, err error) kgo.ProduceResults {
	var results kgo.ProduceResults
	for _, r := range records {
		results = append(results, kgo.ProduceResult{Record: r, Err: err})
	}
	return results
}

// record returns franz-go's form of a message.
func record(topic string, partition int, key, value []byte, at time.Time, headers []connectors.Header) kgo.Record {
	r := kgo.Record{Topic: topic, Partition: int32(partition), Key: key, Value: value, Timestamp: at}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	return r
}
