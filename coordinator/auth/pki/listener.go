package pki

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

const (
	// handshakeTime bounds a handshake, and handshakes those that are under way: who
	// has shown no certificate yet gets no more of a node than that.
	handshakeTime = 5 * time.Second
	handshakes    = 64
)

// Listener hands out connections whose peers have been verified.
type Listener struct {
	net.Listener
	config   *tls.Config
	verified chan net.Conn
	failed   chan struct{} // closed after err is set
	err      error
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// NewListener takes over a listener. Close it after use.
func NewListener(l net.Listener, config *tls.Config) *Listener {
	t := &Listener{Listener: l, config: config, verified: make(chan net.Conn), failed: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.work.Go(t.run)
	return t
}

func (l *Listener) run() {
	room := make(chan struct{}, handshakes)
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			l.err = err
			close(l.failed)
			return
		}
		select {
		case room <- struct{}{}:
		case <-l.ctx.Done():
			conn.Close()
			continue
		}
		l.work.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(l.ctx, handshakeTime)
			defer cancel()
			secure := tls.Server(conn, l.config)
			if secure.HandshakeContext(ctx) != nil { // verify has told why
				conn.Close()
				return
			}
			select {
			case l.verified <- secure:
			case <-l.ctx.Done():
				conn.Close()
			}
		})
	}
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.verified:
		return c, nil
	case <-l.failed:
		return nil, l.err
	}
}

// Close stops listening; handshakes that are under way end.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.cancel()
	l.work.Wait()
	return err
}
