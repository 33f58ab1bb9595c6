package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/thalweg/thalweg"
)

// translate gives err its kind and the hint that its text lacks: a wrong
// password arrives as "unexpected EOF", a missing permission as "Unknown Topic
// Or Partition". ctx is the caller's own.
func (c *cluster) translate(ctx context.Context, op, subject string, err error) error {
	var own *thalweg.Error
	if errors.As(err, &own) {
		return &thalweg.Error{Op: op, Kind: thalweg.KindOf(err), Subject: subject, Err: err}
	}
	e := &thalweg.Error{Op: op, Kind: thalweg.Unavailable, Subject: subject, Err: err}
	if ctx.Err() != nil {
		e.Kind, e.Err = thalweg.Canceled, ctx.Err()
		return e
	}
	var code kafkago.Error
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		e.Err, e.Hint = dial, "start Kafka there, or change "+c.where()
	case errors.Is(err, context.DeadlineExceeded):
		e.Hint = "no answer in time from " + c.where()
	case errors.As(err, &code):
		e.Kind, e.Hint = c.ofCode(code)
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		e.Kind, e.Hint = c.ofCode(kafkago.UnknownTopicOrPartition)
	case errors.As(err, &record):
		e.Kind, e.Hint = thalweg.Invalid, "the broker does not speak TLS on this port"
	case errors.As(err, &certificate):
		e.Kind, e.Hint = thalweg.Invalid, "check the connection's CA and the broker's host name"
	case refusedByPeer(err):
		e.Kind, e.Hint = thalweg.Invalid, "the broker refused the TLS connection: check the client certificate and who signed it"
	case endOfConnection(err) && c.signIn != nil && c.signIn.pending():
		e.Kind, e.Hint = thalweg.Invalid, "the broker hung up during sign-in: check user, password and mechanism ("+c.cfg.SASL.Mechanism+")"
	case endOfConnection(err) && c.cfg.TLS == nil:
		e.Hint = "the broker hung up: it may be restarting, or expect TLS or a sign-in on this port"
	case endOfConnection(err):
		e.Hint = "the broker hung up: it may be restarting, or expect a sign-in or a client certificate"
	}
	return e
}

// where says which brokers were asked, and what named them.
func (c *cluster) where() string {
	s := "brokers " + strings.Join(c.cfg.Brokers, ", ")
	if c.cfg.Origin != "" {
		s += " of " + c.cfg.Origin
	}
	return s
}

// refusedByPeer reports whether the broker ended TLS with an alert, as it does
// when a client certificate is missing or not trusted.
func refusedByPeer(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func endOfConnection(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// ofCode tells what to make of a broker's error code.
func (c *cluster) ofCode(code kafkago.Error) (thalweg.Kind, string) {
	switch code {
	case kafkago.UnknownTopicOrPartition, unknownTopicID, inconsistentTopicID:
		if c.signIn != nil {
			return thalweg.NotFound, "or user " + c.cfg.SASL.User + " may not see it"
		}
		return thalweg.NotFound, ""
	case kafkago.TopicAuthorizationFailed, kafkago.GroupAuthorizationFailed, kafkago.ClusterAuthorizationFailed, kafkago.TransactionalIDAuthorizationFailed:
		return thalweg.Invalid, "the broker does not permit this to " + orDefault(c.cfg.SASL.User, "anonymous users")
	case kafkago.SASLAuthenticationFailed, kafkago.UnsupportedSASLMechanism, kafkago.IllegalSASLState:
		return thalweg.Invalid, "check user, password and mechanism (" + orDefault(c.cfg.SASL.Mechanism, "none") + ")"
	case kafkago.TopicAlreadyExists:
		return thalweg.Exists, ""
	case kafkago.UnsupportedVersion, kafkago.UnsupportedForMessageFormat, kafkago.UnsupportedCompressionType:
		return thalweg.Unsupported, ""
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge:
		return thalweg.Exhausted, "the broker bounds a batch by max.message.bytes"
	case kafkago.InvalidTopic, kafkago.InvalidPartitionNumber, kafkago.InvalidReplicationFactor, kafkago.InvalidConfiguration,
		kafkago.InvalidRequest, kafkago.PolicyViolation, kafkago.InvalidTimestamp,
		kafkago.OutOfOrderSequenceNumber, kafkago.InvalidGroupId:
		return thalweg.Invalid, ""
	case kafkago.InvalidProducerEpoch, kafkago.ProducerFenced, kafkago.InvalidProducerIDMapping, kafkago.InvalidTransactionState:
		return thalweg.Fenced, "another process writes in its place, or the brokers gave its transaction up"
	}
	return thalweg.Unavailable, ""
}

// signIn watches a SASL mechanism to tell a refused sign-in, where brokers may
// just hang up, from a connection that broke for another reason.
type signIn struct {
	sasl.Mechanism
	open atomic.Bool // the newest exchange has begun and not ended well
}

// Start begins an exchange.
func (s *signIn) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	s.open.Store(true)
	state, first, err := s.Mechanism.Start(ctx)
	return &exchangeState{StateMachine: state, signIn: s}, first, err
}

func (s *signIn) pending() bool { return s.open.Load() }

type exchangeState struct {
	sasl.StateMachine
	signIn *signIn
}

// Next goes on with an exchange.
func (e *exchangeState) Next(ctx context.Context, challenge []byte) (bool, []byte, error) {
	done, response, err := e.StateMachine.Next(ctx, challenge)
	if done && err == nil {
		e.signIn.open.Store(false)
	}
	return done, response, err
}
