// Package membership decides who belongs to the cluster of coordinators: nodes find
// each other, found a cluster once, join one that exists, move and go. Raft's
// configuration is the only list of members; this package proposes its changes.
package membership

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/raftnode"
)

// Join is how a node finds the others of a cluster whose members come and go.
type Join struct {
	// API and Raft are where the others reach this node, host:port.
	API, Raft string
	// Addresses are the RPC of others, host:port; who does not answer is tried again.
	Addresses []string
	// Expect is how many nodes that belong to no cluster have to know each other
	// before they found one; 0: this one never founds, it joins.
	Expect int
	// RemoveDeadAfter is how long a node may be unreachable before the leader removes
	// it, where three voters stay; default 1 h: longer than a machine's repair by
	// restart, shorter than the next failure is away.
	RemoveDeadAfter time.Duration
}

// maxMembers bounds a cluster: majorities of more only get slower.
const maxMembers = 15

// Validate reports the first thing that is wrong with j.
func (j Join) Validate() error {
	invalid := func(subject, hint string) error {
		return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.Invalid, Subject: subject, Hint: hint}
	}
	for _, a := range append([]string{j.API, j.Raft}, j.Addresses...) {
		if host, _, err := net.SplitHostPort(a); err != nil || host == "" || net.ParseIP(host) != nil && net.ParseIP(host).IsUnspecified() {
			return invalid(fmt.Sprintf("address %q", a), "host:port by which others reach it: --advertise names the host")
		}
	}
	switch {
	case j.Expect < 0 || j.Expect > maxMembers:
		return invalid(fmt.Sprintf("bootstrap-expect %d", j.Expect), fmt.Sprintf("0 to %d; three survive the loss of one", maxMembers))
	case j.Expect != 1 && len(j.Addresses) == 0:
		return invalid("join", "name the API of other coordinators, or expect one only")
	case j.RemoveDeadAfter < 0:
		return invalid("remove-dead-after", "not negative")
	}
	return nil
}

// Node is what is asked of raft.
type Node = raftnode.Node

// Config describes this node to its Cluster.
type Config struct {
	ID   string
	Dir  string // of the node, for messages
	Join Join
	// Peers carries calls to other coordinators, over TLS.
	Peers http.RoundTripper
	// Leading returns the term in which this node leads, 0 where it does not, and
	// WaitLeading waits for a leadership of this node that is about to begin.
	Leading     func() uint64
	WaitLeading func(context.Context) error
}

// Cluster is the cluster of coordinators as one of its nodes, or one that is to be,
// knows it. Its methods may be called concurrently.
type Cluster struct {
	cfg      Config
	log      *slog.Logger
	node     *Node
	met      met
	founding chan struct{} // has an element while this node decides who consents or joins
	followed time.Time     // when attend last found a leader: one that was silent for less is removed on request only
	ahead    atomic.Int64  // since when this node's log is far ahead of the leader's, ns since 1970; 0: it is not
}

// New returns the cluster of a node.
func New(log *slog.Logger, node *Node, cfg Config) *Cluster {
	return &Cluster{cfg: cfg, log: log, node: node, founding: make(chan struct{}, 1)}
}

// decide waits for the turn to decide who consents or joins, and returns what ends it.
func (c *Cluster) decide(ctx context.Context) (done func(), err error) {
	select {
	case c.founding <- struct{}{}:
		return func() { <-c.founding }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// self is this node as others reach it.
func (c *Cluster) self() raftnode.Peer {
	return raftnode.Peer{ID: c.cfg.ID, API: c.cfg.Join.API, Address: c.cfg.Join.Raft}
}

// The calls between coordinators, which no other may make.
const (
	// maxCallBytes bounds one: above the addresses of all members.
	maxCallBytes = 64 << 10
	callTime     = 2 * time.Second
)

// hello is what nodes tell each other of themselves.
type hello struct {
	From    raftnode.Peer     `json:"from"`
	Members []raftnode.Member `json:"members,omitempty"` // of the cluster that it belongs to
	Leader  string            `json:"leader,omitempty"`
	Applied uint64            `json:"applied,omitempty"`
	Cluster string            `json:"cluster,omitempty"` // that it belongs to, or has consented to
	Founder string            `json:"founder,omitempty"` // to whom it has consented
	// Met are others that belong to no cluster.
	Met []raftnode.Peer `json:"met,omitempty"`
}

// joinRequest asks the leader to be a member.
type joinRequest struct {
	From raftnode.Peer `json:"from"`
	// Empty says that the node holds nothing: what it once had is lost. Otherwise it
	// belongs to the Cluster.
	Empty   bool   `json:"empty"`
	Cluster string `json:"cluster,omitempty"`
}

// joinAnswer names the cluster whose member the node is now.
type joinAnswer struct {
	Cluster string `json:"cluster"`
}

// met are nodes that belong to no cluster, as they said lately.
type met struct {
	mu struct {
		sync.Mutex
		peers map[string]raftnode.Peer
		at    map[string]time.Time
	}
}

// metFor is how long a node counts as there after it was heard of.
const metFor = 5 * time.Second

func (m *met) note(p raftnode.Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.peers == nil {
		m.mu.peers, m.mu.at = make(map[string]raftnode.Peer), make(map[string]time.Time)
	}
	if len(m.mu.peers) < maxMembers || m.mu.at[p.ID] != (time.Time{}) {
		m.mu.peers[p.ID], m.mu.at[p.ID] = p, time.Now()
	}
}

func (m *met) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.peers, id)
	delete(m.mu.at, id)
}

// all returns them in order of their IDs.
func (m *met) all() (peers []raftnode.Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(m.mu.peers)) {
		if time.Since(m.mu.at[id]) < metFor {
			peers = append(peers, m.mu.peers[id])
			continue
		}
		delete(m.mu.peers, id)
		delete(m.mu.at, id)
	}
	return peers
}

func (c *Cluster) hello() hello {
	h := hello{From: c.self(), Members: c.node.Members(), Leader: c.node.Leader(), Applied: c.node.AppliedIndex(), Cluster: c.node.Cluster()}
	if f := c.node.Founding(); f != nil {
		h.Founder = f.Founder
	}
	if len(h.Members) == 0 {
		h.Met = c.met.all()
	}
	return h
}

// Reaches reports which of the members answer now, this one among them.
func (c *Cluster) Reaches(ctx context.Context) map[string]bool {
	there := map[string]bool{c.cfg.ID: true}
	for _, h := range c.ofCluster(ctx, c.addresses()) {
		there[h.From.ID] = true
	}
	return there
}

// Handlers serve the calls between coordinators, by their paths.
func (c *Cluster) Handlers() map[string]http.Handler {
	return map[string]http.Handler{auth.HelloPath: answer(func(_ context.Context, who string, in hello) (hello, error) {
		if in.From.ID != who {
			return hello{}, notItself(in.From.ID, who)
		}
		c.heard(in)
		return c.hello(), nil
	}), auth.ConsentPath: answer(func(ctx context.Context, who string, in raftnode.Founding) (struct{}, error) {
		if in.Founder != who {
			return struct{}{}, notItself(in.Founder, who)
		}
		return struct{}{}, c.consent(ctx, in)
	}), auth.JoinPath: answer(func(ctx context.Context, who string, in joinRequest) (joinAnswer, error) {
		if in.From.ID != who {
			return joinAnswer{}, notItself(in.From.ID, who)
		}
		return joinAnswer{c.node.Cluster()}, c.admit(ctx, in)
	})}
}

func notItself(id, who string) error {
	return &thalweg.Error{Op: "know coordinator", Kind: thalweg.Invalid, Subject: id, Err: errors.New("the certificate is that of " + who)}
}

// failure is an error on its way between coordinators.
type failure struct {
	Kind    thalweg.Kind `json:"kind"`
	Message string       `json:"message"`
}

// answer serves one call, for coordinators only.
func answer[In, Out any](do func(ctx context.Context, who string, in In) (Out, error)) http.Handler {
	return pki.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := pki.PeerOf(r.TLS)
		var in In
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallBytes))
		if err == nil {
			err = json.Unmarshal(data, &in) // a newer node may say more
		}
		var out any
		if err == nil {
			out, err = do(r.Context(), who.ID, in)
		}
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			out = failure{thalweg.KindOf(err), err.Error()}
		}
		_ = json.NewEncoder(w).Encode(out) // it fails only when the caller is gone
	}), pki.Coordinator)
}

// call asks another coordinator.
func (c *Cluster) call(ctx context.Context, address, path string, in, out any) error {
	fail := func(kind thalweg.Kind, err error) error {
		return &thalweg.Error{Op: "call coordinator", Kind: kind, Subject: address, Err: err}
	}
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+path, bytes.NewReader(data))
	if err != nil {
		return fail(thalweg.Invalid, err)
	}
	resp, err := c.cfg.Peers.RoundTrip(req)
	if err != nil {
		return fail(thalweg.Unavailable, err)
	}
	defer resp.Body.Close()
	if data, err = io.ReadAll(io.LimitReader(resp.Body, maxCallBytes)); err != nil {
		return fail(thalweg.Unavailable, err)
	}
	if who, _ := pki.PeerOf(resp.TLS); path == auth.HelloPath && resp.StatusCode == http.StatusOK {
		if h := out.(*hello); json.Unmarshal(data, h) == nil && h.From.ID != who.ID {
			return notItself(h.From.ID, who.ID)
		}
	}
	var f failure
	switch {
	case resp.StatusCode == http.StatusOK:
		return json.Unmarshal(data, out)
	case resp.StatusCode == http.StatusConflict && json.Unmarshal(data, &f) == nil:
		return fail(f.Kind, errors.New(f.Message))
	}
	return fail(thalweg.Unavailable, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(data)))
}
