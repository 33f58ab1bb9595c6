// Package api is how coordinators are called: the generated RPC is in its child
// v1, and Client calls it on whichever of several coordinators answers. Errors
// are *thalweg.Error on both sides.
package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/retry"
)

// MaxMessageBytes bounds one request and one answer: above a full spec or the
// largest stage's list of tasks, below what would hurt a node.
const MaxMessageBytes = 32 << 20

// MaxPollBytes bounds the poll of a worker: MaxReportBytes, and the progress of what runs.
// Buffers of this size do not double once more.
const MaxPollBytes = 4_000_000

// MaxReportBytes bounds the reports of one poll, but for the first; others wait for the next.
const MaxReportBytes = 1 << 20

// Config describes a client.
type Config struct {
	// Addresses are the coordinators, host:port, http://host:port or, with TLS,
	// https://host:port. Any of them
	// takes any request; the client stays with the one that answered last.
	Addresses []string
	// TLS is that toward coordinators; nil: without.
	TLS *tls.Config
	// Token is sent with each request, to prove who the caller is; empty: none. It is sent
	// over connections that others cannot read only.
	Token string
	// Unreachable is the hint of errors where none of them answers; empty: a
	// general one.
	Unreachable string
	// DownAfter is how long a client that was never answered tries while none of the
	// coordinators takes a connection; 0: as long as its attempts last. Nothing to
	// connect to is no election.
	DownAfter time.Duration
	// Attempts bounds the tries of one call, default 50: with the waits between
	// them about ten seconds, longer than an election on a busy machine.
	Attempts int
	// Waits are those before another try, default 25 ms to 300 ms: an election
	// takes a second, and a longer wait would only add to it.
	Waits retry.Backoff
	// AttemptTimeout bounds one try beyond the time that the request itself may
	// wait, default 10 s, so that a node that hangs is left.
	AttemptTimeout time.Duration
	// Silence is how long a node that has connected may give no sign of life, to pings
	// neither, before it is left: default 3 s, so that workers come to another in time to
	// keep their leases. An answer may take longer.
	Silence time.Duration
}

func (c Config) withDefaults() Config {
	c.Attempts = cmp.Or(c.Attempts, 50)
	c.Waits = cmp.Or(c.Waits, retry.Backoff{Min: 25 * time.Millisecond, Max: 300 * time.Millisecond})
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 10*time.Second)
	c.Silence = cmp.Or(c.Silence, silence)
	return c
}

// Client calls the coordinators. It may be used concurrently. Each method makes
// one logical request: it is tried on one coordinator after the other while they
// are unavailable, with the same request id, so that it is carried out once.
// Errors are *thalweg.Error.
type Client struct {
	apiv1.CoordinatorServiceClient
	cfg   Config
	http  *http.Client
	nodes []string // host:port
	// at is the node that answered last, if one did.
	at  atomic.Int64
	met atomic.Bool
}

// NewClient returns a client; it connects when first used. Close it after use.
func NewClient(cfg Config) (*Client, error) {
	if len(cfg.Addresses) == 0 {
		return nil, &thalweg.Error{Op: "call coordinator", Kind: thalweg.Invalid, Subject: "addresses", Hint: "at least one is needed"}
	}
	cfg = cfg.withDefaults()
	transport := NewTransport(cfg.TLS)
	transport.HTTP2 = pings(cfg.Silence)
	c := &Client{cfg: cfg, http: &http.Client{Transport: transport}}
	scheme, forms := Scheme(cfg.TLS), "host:port or http://host:port; with --certs also https://host:port"
	for _, a := range cfg.Addresses {
		base := a
		if !strings.Contains(base, "://") {
			base = scheme + "://" + base
		}
		u, err := url.Parse(base)
		if err != nil || u.Host == "" || u.Scheme != scheme {
			return nil, &thalweg.Error{Op: "call coordinator", Kind: thalweg.Invalid, Subject: fmt.Sprintf("address %q", a),
				Hint: forms, Err: err}
		}
		if cfg.Token != "" && cfg.TLS == nil && !isLoopback(u.Hostname()) {
			return nil, &thalweg.Error{Op: "call coordinator", Kind: thalweg.Invalid, Subject: fmt.Sprintf("address %q", a),
				Hint: "a token is sent to other machines over TLS only", Err: errors.New("everybody on the way could read the token")}
		}
		c.nodes = append(c.nodes, u.Host)
	}
	c.CoordinatorServiceClient = apiv1.NewCoordinatorServiceClient(toNode{c.http}, scheme+"://"+c.nodes[0],
		connect.WithReadMaxBytes(MaxMessageBytes), connect.WithInterceptors(connect.UnaryInterceptorFunc(c.tryNodes)))
	return c, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Scheme is that of URLs with the TLS, nil for none.
func Scheme(t *tls.Config) string {
	if t == nil {
		return "http"
	}
	return "https"
}

// silence is the default of Config.Silence, and that between coordinators.
const silence = 3 * time.Second

// pings finds out a peer that vanished without closing within so long.
func pings(silence time.Duration) *http.HTTP2Config {
	return &http.HTTP2Config{SendPingTimeout: silence / 3, PingTimeout: silence - silence/3}
}

// NewTransport returns the HTTP transport between parts of the cluster: HTTP/2, so
// that many long polls share one connection, over TLS unless that is nil.
func NewTransport(over *tls.Config) *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 4,
		DisableCompression:  true,
		HTTP2:               pings(silence),
	}
	t.Protocols, t.TLSClientConfig, t.TLSHandshakeTimeout = new(http.Protocols), over, 5*time.Second
	t.Protocols.SetHTTP2(over != nil)
	t.Protocols.SetUnencryptedHTTP2(over == nil)
	return t
}

// Close lets go of the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) current() int { return int(c.at.Load()) % len(c.nodes) }

// nodeKey is the context's key of the node that a request goes to.
type nodeKey struct{}

// toNode sends requests to the node that their context names.
type toNode struct{ *http.Client }

// Do sends one request.
func (t toNode) Do(req *http.Request) (*http.Response, error) {
	at := *req.URL
	at.Host = req.Context().Value(nodeKey{}).(string)
	to := req.WithContext(req.Context())
	// The next try writes into the call's headers, while the connection of one that was given up
	// may still read those that it was sent with.
	to.URL, to.Host, to.Header = &at, at.Host, req.Header.Clone()
	return t.Client.Do(to)
}

// tryNodes makes one logical request of a call.
func (c *Client) tryNodes(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req = withRequestID(req)
		if c.cfg.Token != "" {
			req.Header().Set("Authorization", "Bearer "+c.cfg.Token)
		}
		patience := c.cfg.AttemptTimeout
		if poll, waits := req.Any().(*apiv1.PollRequest); waits {
			patience += time.Duration(poll.WaitMs) * time.Millisecond
		}
		reach, end := c.reach(ctx)
		defer end()
		var last error
		var hint string
		at := c.current()
		for attempt := range c.cfg.Attempts {
			// The first round over the nodes is quick: one of them may be down and the
			// next one not.
			if attempt > 0 && c.cfg.Waits.Wait(reach, attempt/len(c.nodes)+1) != nil {
				if ctx.Err() != nil {
					return nil, canceled(ctx.Err(), last)
				}
				break
			}
			try, cancel := context.WithTimeout(context.WithValue(reach, nodeKey{}, c.nodes[at]), patience)
			resp, err := next(try, req)
			expired := try.Err()
			cancel()
			if err == nil {
				c.at.Store(int64(at))
				c.met.Store(true)
				return resp, nil
			}
			if ctx.Err() != nil {
				return nil, canceled(ctx.Err(), FromConnect(err))
			}
			if reach.Err() != nil {
				last = cmp.Or(last, fmt.Errorf("it took no connection for %v", c.cfg.DownAfter))
				break
			}
			last = FromConnect(err)
			if !thalweg.IsTransient(last) && expired == nil {
				return nil, last
			}
			// What certificates are there does not change in a moment: each node is asked once.
			if attempt+1 >= len(c.nodes) && !c.met.Load() {
				if hint = explainTLS(ctx, c.cfg.TLS, c.nodes[at], last); hint != "" {
					break
				}
			}
			at = (at + 1) % len(c.nodes)
		}
		if thalweg.Is(last, thalweg.Throttled) {
			return nil, last // they answer
		}
		if e := new(thalweg.Error); errors.As(last, &e) && e.Op == "call coordinator" && e.Err != nil {
			last = e.Err // the same is not said twice
		}
		return nil, &thalweg.Error{Op: "call coordinator", Kind: thalweg.Unavailable, Subject: strings.Join(c.nodes, ", "),
			Hint: cmp.Or(hint, c.cfg.Unreachable, "is a majority of the coordinators running?"), Err: last}
	}
}

// reach returns a context that ends when the cluster counts as down.
func (c *Client) reach(ctx context.Context) (reach context.Context, end func()) {
	reach, giveUp := context.WithCancel(ctx)
	if c.cfg.DownAfter == 0 || c.met.Load() {
		return reach, giveUp
	}
	timer := time.AfterFunc(c.cfg.DownAfter, giveUp)
	reach = httptrace.WithClientTrace(reach, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { timer.Stop() }})
	return reach, func() {
		timer.Stop()
		giveUp()
	}
}

// identified is a request whose message is a copy with a request id: the
// caller's may be sent again as another request.
type identified struct {
	connect.AnyRequest
	message any
}

// Any returns the message.
func (r identified) Any() any { return r.message }

// withRequestID gives a request an id where one is needed and the caller chose
// none.
func withRequestID(req connect.AnyRequest) connect.AnyRequest {
	m, ok := req.Any().(interface {
		proto.Message
		GetRequestId() string
	})
	if !ok || m.GetRequestId() != "" {
		return req
	}
	m = proto.CloneOf(m)
	r := m.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName("request_id"), protoreflect.ValueOfString(rand.Text()))
	return identified{req, m}
}

func canceled(why, last error) error {
	if last != nil && !errors.Is(last, why) {
		why = fmt.Errorf("%w; last: %w", why, last)
	}
	return &thalweg.Error{Op: "call coordinator", Kind: thalweg.Canceled, Err: why}
}
