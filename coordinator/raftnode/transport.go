package raftnode

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

const (
	// pooledConns per peer: one for the log and one for heartbeats, and one that
	// was in use when they were returned.
	pooledConns = 3
	// ioTimeout bounds one exchange with a peer. It is far above the heartbeat, so
	// that a slow disk is not taken for a dead peer.
	ioTimeout = 5 * time.Second
)

// newTransport returns raft's transport over the stream. Peers are found by ID, so
// their addresses may change over a restart although the log remembers the first
// ones.
func newTransport(wire *stream, book *addressBook, logger hclog.Logger) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: book, Stream: wire, MaxPool: pooledConns, Timeout: ioTimeout, Logger: logger,
		MaxRPCsInFlight: 1, // no pipelining: its sender waits for ever if a refusal ends its decoder (raft 1.7.3)
	})
}

// stream is raft's stream layer, over TLS between coordinators where there are
// certificates. It knows its connections, so that closing it ends them and the
// goroutines that wait on them.
type stream struct {
	net.Listener
	certs  *pki.Credentials // nil: without TLS
	closed atomic.Bool
	open   sync.Map // of *conn
	// ended has something in it once a connection that a peer made has ended.
	ended chan struct{}
}

// newStream takes over the listener.
func newStream(listener net.Listener, certs *pki.Credentials) *stream {
	if certs != nil {
		listener = pki.NewListener(listener, certs.Server(pki.Coordinator))
	}
	return &stream{Listener: listener, certs: certs, ended: make(chan struct{}, 1)}
}

// Dial connects to a peer, id@host:port.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, host, named := strings.Cut(string(address), "@")
	if !named {
		id, host = "", string(address)
	}
	host, _, _ = strings.Cut(host, ",")
	if s.certs == nil {
		return s.track(net.DialTimeout("tcp", host, timeout))
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	dialer := &tls.Dialer{Config: s.certs.Client(pki.Coordinator, id)}
	return s.track(dialer.DialContext(ctx, "tcp", host))
}

// Accept waits for a peer.
func (s *stream) Accept() (net.Conn, error) {
	c, err := s.track(s.Listener.Accept())
	if err != nil {
		return nil, err
	}
	return &accepted{c, s}, nil
}

// tellEnded says that a connection that a peer made has ended.
func (s *stream) tellEnded() {
	select {
	case s.ended <- struct{}{}:
	default: // somebody is about to look
	}
}

func (s *stream) track(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	tracked := &conn{c, s}
	s.open.Store(tracked, nil)
	if s.closed.Load() {
		c.Close()
		return nil, net.ErrClosed
	}
	return tracked, nil
}

// Close stops listening and ends all connections.
func (s *stream) Close() error {
	s.closed.Store(true)
	for c := range s.open.Range {
		c.(*conn).Conn.Close()
	}
	return s.Listener.Close()
}

// conn is a connection that its stream knows.
type conn struct {
	net.Conn
	of *stream
}

// Close ends the connection.
func (c *conn) Close() error {
	c.of.open.Delete(c)
	return c.Conn.Close()
}

// accepted is a connection that a peer made.
type accepted struct {
	net.Conn
	of *stream
}

// Close ends the connection, and tells of it.
func (c *accepted) Close() error {
	c.of.tellEnded()
	return c.Conn.Close()
}
