package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	kafkasasl "github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/reach"
	"github.com/thalweg/thalweg/retry"
)

// The isolation levels, as a spec spells them.
const (
	ReadUncommitted = "read_uncommitted" // all records, those of open and aborted transactions too
	ReadCommitted   = "read_committed"   // only records outside of transactions or of committed ones
)

// Config says where a topic is and how to talk to its brokers. Brokers and
// Topic are required; the rest has defaults.
type Config struct {
	Brokers []string // host:port of one or more brokers to start from
	// Origin says where Brokers are set, to tell who can mend them: "connection bus
	// in connections.yaml". Empty: nobody is told.
	Origin string
	Topic  string
	// Group is the consumer group under which Source.Commit writes offsets;
	// empty: Commit does nothing.
	Group    string
	ClientID string // shown in the brokers' logs; default "thalweg"

	TLS  *tls.Config // nil: plain text
	SASL SASL        // zero: no authentication

	// IsolationLevel is ReadUncommitted or ReadCommitted (the default). Control
	// records are never events with either.
	IsolationLevel string

	DialTimeout    time.Duration // to connect, TLS and authentication included; default 5s
	RequestTimeout time.Duration // for an answer, beyond the time that a fetch may wait; default 10s
	MetadataTTL    time.Duration // age at which the layout of the cluster is read again though nothing failed; default 5m
	Attempts       int           // of a request that fails for a reason that may pass; default 5

	// Throttle is shared by all that talk to the same brokers, so that a cluster in
	// trouble is not hammered by everybody; nil: one of the Source's own.
	Throttle *retry.Throttle
	// Loopback lets Brokers, and those that they tell of, lead to this machine, though
	// none of Brokers is a name or address of loopback.
	Loopback bool
	// Dial connects to a broker; default a dialer with DialTimeout that package reach
	// guards. Tests go over a network of their own.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Link is shared by the Sources of these brokers, so that many topics take few
	// connections; nil: each has its own.
	Link *Link
	// Pool is where buffers come from; nil: one of the Source's own.
	Pool *Pool
	// Large, if set, is called before a fetch takes more memory than it asked for,
	// because a record batch comes whole and inflated, with how much it takes in
	// all. It may wait; under a context that has ended it says at once whether there
	// is room.
	Large func(ctx context.Context, bytes int) error

	// MaxResponseBytes bounds one fetch response. A broker exceeds the size asked
	// for when a single record batch is larger. Default 64 MiB.
	MaxResponseBytes int
	// MaxBatchBytes bounds one record batch after inflation. The records beyond
	// it are reported as unreadable. Default 64 MiB.
	MaxBatchBytes int
}

// SASL is a user's proof of identity. It prints without the password.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: none
	User      string
	Password  string
	// Secret, where it is not nil, is asked for the password at each sign-in, in place of
	// Password: it may change. It is called concurrently.
	Secret func() string
}

// password returns the password of a sign-in.
func (s SASL) password() string {
	if s.Secret != nil {
		return s.Secret()
	}
	return s.Password
}

// String shows the mechanism and the user.
func (s SASL) String() string {
	if s.Mechanism == "" {
		return "none"
	}
	return s.Mechanism + " as " + s.User
}

// GoString keeps the password out of %#v.
func (s SASL) GoString() string { return s.String() }

// LogValue keeps the password out of logs.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (c Config) withDefaults() Config {
	c.ClientID = cmp.Or(c.ClientID, "thalweg")
	c.IsolationLevel = cmp.Or(c.IsolationLevel, ReadCommitted)
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 10*time.Second)
	c.MetadataTTL = cmp.Or(c.MetadataTTL, 5*time.Minute)
	c.Attempts = cmp.Or(c.Attempts, 5)
	c.MaxResponseBytes = cmp.Or(c.MaxResponseBytes, 64<<20)
	c.MaxBatchBytes = cmp.Or(c.MaxBatchBytes, 64<<20)
	if c.Pool == nil {
		c.Pool = NewPool()
	}
	if c.Throttle == nil {
		c.Throttle = retry.NewThrottle()
	}
	if c.Dial == nil {
		c.Dial = reach.For(c.Loopback, c.Brokers...).Dialer(c.DialTimeout).DialContext
	}
	return c
}

// Validate reports the first field that cannot be used; the error is of kind
// Invalid and names it.
func (c Config) Validate() error {
	bad := func(field, format string, args ...any) error {
		return &thalweg.Error{Op: "configure kafka", Kind: thalweg.Invalid, Subject: field, Err: fmt.Errorf(format, args...)}
	}
	if len(c.Brokers) == 0 {
		return bad("brokers", "none given")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return bad("brokers", "%q is not host:port", b)
		}
		if err := reach.For(c.Loopback, c.Brokers...).CheckHost(b); err != nil {
			return err
		}
	}
	if c.Topic == "" {
		return bad("topic", "none given")
	}
	switch c.IsolationLevel {
	case "", ReadUncommitted, ReadCommitted:
	default:
		return bad("isolation_level", "%q is neither %s nor %s", c.IsolationLevel, ReadUncommitted, ReadCommitted)
	}
	switch c.SASL.Mechanism {
	case "", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
	default:
		return bad("sasl mechanism", "%q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", c.SASL.Mechanism)
	}
	for _, n := range []struct {
		field string
		value int64
	}{
		{"dial timeout", int64(c.DialTimeout)}, {"request timeout", int64(c.RequestTimeout)}, {"metadata ttl", int64(c.MetadataTTL)},
		{"attempts", int64(c.Attempts)}, {"max response bytes", int64(c.MaxResponseBytes)}, {"max batch bytes", int64(c.MaxBatchBytes)},
	} {
		if n.value < 0 {
			return bad(n.field, "%d is negative", n.value)
		}
	}
	return nil
}

// mechanism returns the SASL configuration as a mechanism, nil for none.
func (c Config) mechanism() sasl.Mechanism {
	switch c.SASL.Mechanism {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: c.SASL.User, Pass: c.SASL.password()}, nil
		})
	case "SCRAM-SHA-256":
		return scram.Sha256(c.SASL.scram)
	case "SCRAM-SHA-512":
		return scram.Sha512(c.SASL.scram)
	}
	return nil
}

// scram returns what a sign-in by SCRAM needs.
func (s SASL) scram(context.Context) (scram.Auth, error) {
	return scram.Auth{User: s.User, Pass: s.password()}, nil
}

// transportMechanism is franz-go's mechanism in kafka-go's form.
type transportMechanism struct{ sasl.Mechanism }

// Start begins an exchange.
func (m transportMechanism) Start(ctx context.Context) (kafkasasl.StateMachine, []byte, error) {
	session, first, err := m.Authenticate(ctx, "")
	return transportSession{session}, first, err
}

type transportSession struct{ sasl.Session }

// Next goes on with an exchange.
func (s transportSession) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	return s.Challenge(challenge)
}
