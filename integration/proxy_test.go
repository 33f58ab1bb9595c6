package integration

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg/integration/process"
)

// proxyMode is what a proxy does with bytes.
type proxyMode string

const (
	proxyPass   proxyMode = "pass"   // hands them on
	proxyCut    proxyMode = "cut"    // resets all connections, and new ones at once
	proxyFreeze proxyMode = "freeze" // keeps connections open and holds all bytes back, until it passes again
	proxyMute   proxyMode = "mute"   // hands requests on and loses the answers; the connections are reset when it passes again
	proxySlow   proxyMode = "slow"   // hands them on proxyDelay later
)

// proxyDelay is how long bytes take in mode proxySlow, each way.
const proxyDelay = 150 * time.Millisecond

// proxy is a network between processes and a server: TCP on loopback that can be
// cut, frozen, made deaf in one direction, and slow, while those at both ends see
// nothing but their own end. It listens at Address and hands on to target.
type proxy struct {
	Address string
	target  string

	listener net.Listener
	links    sync.WaitGroup
	mu       struct {
		sync.Mutex
		mode    proxyMode
		changed chan struct{} // closed when mode changes
		open    map[*relay]bool
		closed  bool
	}
}

// relay is one connection through the proxy.
type relay struct {
	client, server *net.TCPConn
	muted          bool // answers were lost: it cannot be used any more
}

// startProxy starts a proxy of the server at target (host:port), which need not be
// there yet. It ends with the test.
func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	p := &proxy{Address: process.FreeAddress(t), target: target}
	p.mu.mode, p.mu.changed, p.mu.open = proxyPass, make(chan struct{}), make(map[*relay]bool)
	var err error
	if p.listener, err = net.Listen("tcp", p.Address); err != nil {
		t.Fatal(err)
	}
	p.links.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Set changes the mode from now on.
func (p *proxy) Set(mode proxyMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.mode = mode
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
	for l := range p.mu.open {
		if mode == proxyCut || mode == proxyPass && l.muted {
			l.reset()
		}
	}
}

func (p *proxy) close() {
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
func (p *proxy) accept() {
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

func (p *proxy) serve(client *net.TCPConn) {
	l := &relay{client: client}
	if mode, _, closed := p.state(); mode == proxyCut || closed {
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
func (p *proxy) pump(l *relay, from, to *net.TCPConn, answers bool) {
	defer func() {
		_ = from.CloseRead() // the relay may be reset already
		_ = to.CloseWrite()
	}()
	buf := make([]byte, 64<<10)
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
func (p *proxy) admit(l *relay, answers bool) bool {
	for {
		mode, changed, closed := p.state()
		switch {
		case closed:
			return false
		case mode == proxyFreeze:
			<-changed
			continue
		case mode == proxyMute && answers:
			p.mu.Lock()
			l.muted = true
			p.mu.Unlock()
			return false
		case mode == proxySlow:
			timer := time.NewTimer(proxyDelay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-changed:
			}
		}
		return true
	}
}

func (p *proxy) state() (mode proxyMode, changed chan struct{}, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.mode, p.mu.changed, p.mu.closed
}

// reset ends both connections as a network does that is gone.
func (l *relay) reset() {
	for _, c := range []*net.TCPConn{l.client, l.server} {
		if c != nil {
			_ = c.SetLinger(0) // it may be closed already
			_ = c.Close()
		}
	}
}
