package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kerr"

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
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		e.Err, e.Hint = dial, "start Kafka there, or change "+c.where()
	case errors.Is(err, context.DeadlineExceeded):
		e.Hint = "no answer in time from " + c.where()
	case brokerCode(err) != nil:
		e.Kind, e.Hint = c.ofCode(op, brokerCode(err))
	case errors.As(err, &record):
		e.Kind, e.Hint = thalweg.Invalid, "the broker does not speak TLS on this port"
	case errors.As(err, &certificate):
		e.Kind, e.Hint = thalweg.Invalid, "check the connection's CA and the broker's host name"
	case refusedByPeer(err):
		e.Kind, e.Hint = thalweg.Invalid, "the broker refused the TLS connection: check the client certificate and who signed it"
	case c.cfg.TLS == nil && strings.Contains(err.Error(), "tls alert record"): // franz-go's guess; it has no type for it
		e.Kind, e.Hint = thalweg.Invalid, "the broker seems to expect TLS on this port"
	case endOfConnection(err) && c.signInCut.Load():
		e.Kind, e.Hint = thalweg.Invalid, "the broker hung up during sign-in: check user, password and mechanism ("+c.cfg.SASL.Mechanism+")"
	case endOfConnection(err) && c.cfg.TLS == nil:
		e.Hint = "the broker hung up: it may be restarting, or expect TLS or a sign-in on this port"
	case endOfConnection(err):
		e.Hint = "the broker hung up: it may be restarting, or expect a sign-in or a client certificate"
	}
	return e
}

// brokerCode returns the error that a broker answered with, whichever library
// it came by; nil if it did not answer.
func brokerCode(err error) *kerr.Error {
	var franz *kerr.Error
	var segmentio kafkago.Error
	switch {
	case errors.As(err, &franz):
		return franz
	case errors.As(err, &segmentio):
		return kerr.TypedErrorForCode(int16(segmentio))
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return kerr.UnknownTopicOrPartition
	}
	return nil
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

// ofCode tells what to make of the error code that a broker answered op with.
func (c *cluster) ofCode(op string, code *kerr.Error) (thalweg.Kind, string) {
	switch code {
	case kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InconsistentTopicID:
		hint := "create the topic, or correct its name"
		if c.cfg.SASL.Mechanism != "" {
			hint += "; or user " + c.cfg.SASL.User + " may not see it"
		}
		return thalweg.NotFound, hint
	case kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed:
		return thalweg.Invalid, "the broker does not permit this to " + cmp.Or(c.cfg.SASL.User, "anonymous users") + ": " + c.permission(op, code)
	case kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState:
		return thalweg.Invalid, "check user, password and mechanism (" + cmp.Or(c.cfg.SASL.Mechanism, "none") + ")"
	case kerr.TopicAlreadyExists:
		return thalweg.Exists, ""
	case kerr.UnsupportedVersion, kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType:
		return thalweg.Unsupported, ""
	case kerr.MessageTooLarge, kerr.RecordListTooLarge:
		return thalweg.Exhausted, "the broker bounds a batch by max.message.bytes"
	case kerr.InvalidTopicException, kerr.InvalidPartitions, kerr.InvalidReplicationFactor, kerr.InvalidConfig,
		kerr.InvalidRequest, kerr.PolicyViolation, kerr.InvalidTimestamp, kerr.OutOfOrderSequenceNumber, kerr.InvalidGroupID:
		return thalweg.Invalid, ""
	case kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState:
		return thalweg.Fenced, "another process writes in its place, or the brokers gave its transaction up"
	}
	return thalweg.Unavailable, ""
}

// permission names what an ACL must allow for op, which a broker refused with code.
func (c *cluster) permission(op string, code *kerr.Error) string {
	switch code {
	case kerr.GroupAuthorizationFailed:
		if op == "commit offset" {
			return "it needs Read on group " + c.cfg.Group
		}
		return "it needs Read on the group" // one of an Outbox
	case kerr.TransactionalIDAuthorizationFailed:
		return "it needs Write and Describe on the transactional id"
	case kerr.ClusterAuthorizationFailed:
		if op == "create topic" {
			return "it needs Create on the cluster, or on topic " + c.cfg.Topic
		}
		return "it needs IdempotentWrite on the cluster, or Write on topic " + c.cfg.Topic
	}
	needs := map[string]string{"fetch": "Read", "commit offset": "Read", "read topic": "Describe", "read bounds": "Describe", "read committed offset": "Describe", "create topic": "Create"}
	return "it needs " + cmp.Or(needs[op], "Write") + " on topic " + c.cfg.Topic
}
