// Package proxy is a network for tests between processes and a server: TCP on
// loopback that can be cut, frozen, made deaf in one direction, and slow, while
// those at both ends see nothing but their own end.
package proxy

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg/integration/process"
)

// Mode is what a proxy does with bytes.
type Mode string

// The modes.
const (
	Pass   Mode = "pass"   // hands them on
	Cut    Mode = "cut"    // resets all connections, and new ones at once
	Freeze Mode = "freeze" // keeps connections open and holds all bytes back, until it passes again
	Mute   Mode = "mute"   // hands requests on and loses the answers; the connections are reset when it passes again
	Slow   Mode = "slow"   // hands them on Delay later
)

// Delay is how long bytes take in mode Slow, each way.
const Delay = 150 * time.Millisecond

// chunk is how much is read at once.
const chunk = 64 << 10

// Proxy listens at Address and hands on to a server.
type Proxy struct {
	Address string
	target  string

	listener net.Listener
	links    sync.WaitGroup
	mu       struct {
		sync.Mutex
		mode    Mode
		changed chan struct{} // closed when mode changes
		open    map[*link]bool
		closed  bool
	}
}

// link is one connection through the proxy.
type link struct {
	client, server *net.TCPConn
	muted          bool // answers were lost: it cannot be used any more
}

// Start starts a proxy of the server at target (host:port), which need not be
// there yet. It ends with the test.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{Address: process.FreeAddress(t), target: target}
	p.mu.mode, p.mu.changed, p.mu.open = Pass, make(chan struct{}), make(map[*link]bool)
	var err error
	if p.listener, err = net.Listen("tcp", p.Address); err != nil {
		t.Fatal(err)
	}
	p.links.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Set changes the mode from now on.
func (p *Proxy) Set(mode Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.mode = mode
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
	for l := range p.mu.open {
		if mode == Cut || mode == Pass && l.muted {
			l.reset()
		}
	}
}

func (p *Proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.mu.closed = true
	for l := range p.mu.open {
		l.reset()
	}
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
	p.mu.Unlock()
	p.links.Wait()
}

// accept serves until the listener is closed.
func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // out of descriptors for a moment: the client tries again
		}
		p.links.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	l := &link{client: client}
	if mode, _, closed := p.state(); mode == Cut || closed {
		l.reset()
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		l.reset()
		return
	}
	l.server = server.(*net.TCPConn)
	p.mu.Lock()
	p.mu.open[l] = true
	if p.mu.closed {
		l.reset()
	}
	p.mu.Unlock()
	var ways sync.WaitGroup
	ways.Go(func() { p.pump(l, l.client, l.server, false) })
	ways.Go(func() { p.pump(l, l.server, l.client, true) })
	ways.Wait()
	p.mu.Lock()
	delete(p.mu.open, l)
	p.mu.Unlock()
	l.reset()
}

// pump hands bytes on in one direction until either end closes.
func (p *Proxy) pump(l *link, from, to *net.TCPConn, answers bool) {
	defer func() {
		_ = from.CloseRead() // the link may be reset already
		_ = to.CloseWrite()
	}()
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.admit(l, answers) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// admit waits until bytes may go on, and reports whether they go on at all.
func (p *Proxy) admit(l *link, answers bool) bool {
	for {
		mode, changed, closed := p.state()
		switch {
		case closed:
			return false
		case mode == Freeze:
			<-changed
			continue
		case mode == Mute && answers:
			p.mu.Lock()
			l.muted = true
			p.mu.Unlock()
			return false
		case mode == Slow:
			timer := time.NewTimer(Delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-changed:
			}
		}
		return true
	}
}

func (p *Proxy) state() (mode Mode, changed chan struct{}, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.mode, p.mu.changed, p.mu.closed
}

// reset ends both connections as a network does that is gone.
func (l *link) reset() {
	for _, c := range []*net.TCPConn{l.client, l.server} {
		if c != nil {
			_ = c.SetLinger(0) // it may be closed already
			_ = c.Close()
		}
	}
}
