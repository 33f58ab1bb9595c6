package raftnode

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	// pooledConns per peer: one for the log and one for heartbeats, and one that
	// was in use when they were returned.
	pooledConns = 3
	// ioTimeout bounds one exchange with a peer. It is far above the heartbeat, so
	// that a slow disk is not taken for a dead peer.
	ioTimeout = 5 * time.Second
)

// newTransport returns raft's transport over the stream. Peers are found by ID
// in the configuration, so their addresses may change over a restart although
// the log remembers the first ones.
func newTransport(wire *stream, cfg Config, logger hclog.Logger) *raft.NetworkTransport {
	book := make(addressBook, len(cfg.Peers))
	for _, p := range cfg.Peers {
		book[raft.ServerID(p.ID)] = raft.ServerAddress(p.Address)
	}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: book, Stream: wire, MaxPool: pooledConns, Timeout: ioTimeout, Logger: logger,
	})
}

// addressBook finds peers by ID.
type addressBook map[raft.ServerID]raft.ServerAddress

// ServerAddr returns the address of a peer.
func (b addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if a, ok := b[id]; ok {
		return a, nil
	}
	return "", fmt.Errorf("no peer %q", id)
}

// stream is raft's stream layer over TCP. It knows its connections, so that
// closing it ends them and the goroutines that wait on them.
type stream struct {
	net.Listener
	mu struct {
		sync.Mutex
		closed bool
		conns  map[*conn]struct{}
	}
}

func newStream(l net.Listener) *stream {
	s := &stream{Listener: l}
	s.mu.conns = make(map[*conn]struct{})
	return s
}

// Dial connects to a peer.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", string(address), timeout)
	if err != nil {
		return nil, err
	}
	return s.track(c)
}

// Accept waits for a peer.
func (s *stream) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return s.track(c)
}

func (s *stream) track(c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	tracked := &conn{Conn: c, of: s}
	s.mu.conns[tracked] = struct{}{}
	return tracked, nil
}

// Close stops listening and ends all connections.
func (s *stream) Close() error {
	s.mu.Lock()
	s.mu.closed = true
	conns := s.mu.conns
	s.mu.conns = nil
	s.mu.Unlock()
	for c := range conns {
		c.Conn.Close()
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
	c.of.mu.Lock()
	delete(c.of.mu.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
