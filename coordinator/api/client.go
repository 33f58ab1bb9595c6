// Package api is how coordinators are called: the generated RPC is in its child
// v1, and Client calls it on whichever of several coordinators answers. Errors
// are *thalweg.Error on both sides.
package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
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

// Config describes a client.
type Config struct {
	// Addresses are the coordinators, host:port or http://host:port. Any of them
	// takes any request; the client stays with the one that answered last.
	Addresses []string
	// Unreachable is the hint of errors where none of them answers; empty: a
	// general one.
	Unreachable string
	// Attempts bounds the tries of one call, default 50: with the waits between
	// them about ten seconds, longer than an election on a busy machine.
	Attempts int
	// WaitMin and WaitMax bound the wait before another try, which doubles from
	// the one to the other and is jittered by half. Defaults 25 ms and 300 ms: an
	// election takes a second, and a longer wait would only add to it.
	WaitMin, WaitMax time.Duration
	// AttemptTimeout bounds one try beyond the time that the request itself may
	// wait, default 10 s, so that a node that hangs is left.
	AttemptTimeout time.Duration
}

func (c Config) withDefaults() Config {
	c.Attempts = cmp.Or(c.Attempts, 50)
	c.WaitMin = cmp.Or(c.WaitMin, 25*time.Millisecond)
	c.WaitMax = cmp.Or(c.WaitMax, 300*time.Millisecond)
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 10*time.Second)
	return c
}

// Client calls the coordinators. It may be used concurrently. Each method makes
// one logical request: it is tried on one coordinator after the other while they
// are unavailable, with the same request id, so that it is carried out once.
// Errors are *thalweg.Error.
type Client struct {
	cfg   Config
	http  *http.Client
	nodes []node
	waits retry.Backoff
	// at is the node that answered last.
	at atomic.Int64
}

type node struct {
	address string
	rpc     apiv1.CoordinatorServiceClient
}

// NewClient returns a client; it connects when first used. Close it after use.
func NewClient(cfg Config) (*Client, error) {
	if len(cfg.Addresses) == 0 {
		return nil, &thalweg.Error{Op: "call coordinator", Kind: thalweg.Invalid, Subject: "addresses", Hint: "at least one is needed"}
	}
	c := &Client{cfg: cfg.withDefaults(), http: &http.Client{Transport: NewTransport()}}
	c.waits = retry.Backoff{Min: c.cfg.WaitMin, Max: c.cfg.WaitMax}
	for _, a := range cfg.Addresses {
		base := a
		if !strings.Contains(base, "://") {
			base = "http://" + base
		}
		u, err := url.Parse(base)
		if err != nil || u.Host == "" || u.Scheme != "http" {
			return nil, &thalweg.Error{Op: "call coordinator", Kind: thalweg.Invalid, Subject: fmt.Sprintf("address %q", a),
				Hint: "host:port or http://host:port", Err: err}
		}
		c.nodes = append(c.nodes, node{address: u.Host, rpc: apiv1.NewCoordinatorServiceClient(c.http, "http://"+u.Host,
			connect.WithReadMaxBytes(MaxMessageBytes))})
	}
	return c, nil
}

// NewTransport returns the HTTP transport between parts of the cluster: HTTP/2
// without TLS, so that many long polls share one connection.
func NewTransport() *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 4,
		DisableCompression:  true,
		// A peer that vanished without closing is found out by pings.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second},
	}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// Close lets go of the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Address returns the coordinator that answered last, or the first.
func (c *Client) Address() string { return c.nodes[c.current()].address }

func (c *Client) current() int { return int(c.at.Load()) % len(c.nodes) }

// newRequestID returns a request id that nobody else makes.
func newRequestID() string { return rand.Text() }

// method is an RPC of the generated client.
type method[Req, Resp any] func(apiv1.CoordinatorServiceClient, context.Context, *connect.Request[Req]) (*connect.Response[Resp], error)

// call makes one logical request; wait is how long the request itself may take
// to answer.
func call[Req, Resp any](ctx context.Context, c *Client, m method[Req, Resp], req *Req, wait time.Duration) (*Resp, error) {
	req = withRequestID(req)
	var last error
	at := c.current()
	for attempt := range c.cfg.Attempts {
		if attempt > 0 {
			// The first round over the nodes is quick: one of them may be down and
			// the next one not.
			if c.waits.Wait(ctx, attempt/len(c.nodes)+1) != nil {
				return nil, canceled(ctx.Err(), last)
			}
		}
		try, cancel := context.WithTimeout(ctx, wait+c.cfg.AttemptTimeout)
		resp, err := m(c.nodes[at].rpc, try, connect.NewRequest(req))
		expired := try.Err()
		cancel()
		if err == nil {
			c.at.Store(int64(at))
			return resp.Msg, nil
		}
		if ctx.Err() != nil {
			return nil, canceled(ctx.Err(), FromConnect(err))
		}
		last = FromConnect(err)
		if !thalweg.IsTransient(last) && expired == nil {
			return nil, last
		}
		at = (at + 1) % len(c.nodes)
	}
	if e := new(thalweg.Error); errors.As(last, &e) && e.Op == "call coordinator" && e.Err != nil {
		last = e.Err // the same is not said twice
	}
	return nil, &thalweg.Error{Op: "call coordinator", Kind: thalweg.Unavailable, Subject: c.addresses(),
		Hint: cmp.Or(c.cfg.Unreachable, "is a majority of the coordinators running?"), Err: last}
}

// withRequestID returns req, or a copy with a request id where one is needed and
// the caller chose none: the same message may be sent again as another request.
func withRequestID[Req any](req *Req) *Req {
	m, ok := any(req).(interface {
		proto.Message
		GetRequestId() string
	})
	if !ok || m.GetRequestId() != "" {
		return req
	}
	m = proto.CloneOf(m)
	r := m.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName("request_id"), protoreflect.ValueOfString(newRequestID()))
	return any(m).(*Req)
}

func (c *Client) addresses() string {
	all := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		all[i] = n.address
	}
	return strings.Join(all, ", ")
}

func canceled(why, last error) error {
	if last != nil && !errors.Is(last, why) {
		why = fmt.Errorf("%w; last: %w", why, last)
	}
	return &thalweg.Error{Op: "call coordinator", Kind: thalweg.Canceled, Err: why}
}
