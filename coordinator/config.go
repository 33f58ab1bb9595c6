package coordinator

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert/webhook"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/membership"
	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/tracing"
)

// Peer is one coordinator of the cluster.
type Peer struct {
	ID   string // never changes
	API  string // host:port of its RPC, as the others reach it
	Raft string // host:port of its raft transport, as the others reach it
}

func (p Peer) raft() raftnode.Peer { return raftnode.Peer{ID: p.ID, Address: p.Raft, API: p.API} }

// Config describes one node.
type Config struct {
	// ID is this node's.
	ID string
	// Version is of the build, for show.
	Version string
	// Peers are all coordinators, this one included, the same list on every node, of a
	// cluster whose members do not change, as in one process. IDs are for ever;
	// addresses may change over a restart of all.
	Peers []Peer
	// Join is how this node finds the others, where there are no Peers.
	Join membership.Join
	// Dir holds the node's log and snapshots, in Dir/raft.
	Dir string
	// Credentials are this node's; nil: without TLS, so the listeners have to be on
	// loopback, as those of `thalweg dev` are.
	Credentials *pki.Credentials
	// SpecCatalog is what specs can choose from.
	SpecCatalog pipeline.Catalog

	// Stages plans a run: the stages of a spec's batch half, for the empty verb, or
	// of a job. Required.
	Stages func(spec *pipeline.Spec, verb string, arguments map[string]string) ([]stages.Plan, error)

	// Records opens the bucket to which runs are moved that ended long ago, below
	// runs-ended/. Required; it may fail, and is tried again.
	Records func(ctx context.Context) (storage.Bucket, error)

	// StateBucket is the name of the bucket with checkpoints, results of runs and
	// records, over the default connection: no sink lies there. Default: not known.
	StateBucket string

	// Auth says who may call. nil: who has a certificate, of which only nodes may do
	// anything; and without Credentials everybody may do everything.
	Auth *auth.Config

	// APIListen and RaftListen are the addresses to listen on, default those of
	// the node's own peer entry.
	APIListen, RaftListen string
	// APIListener and RaftListener, where set, are used instead and closed by Run.
	APIListener, RaftListener net.Listener

	// LeaseTTL is how long a worker may be silent before its leases end, default
	// 5 s: above a garbage collection, a leader change and a lost packet, below what
	// an operator waits for. Polls wait a third of it at most.
	LeaseTTL time.Duration
	// LeaderWait is how long a request waits for a leader to be known, default
	// 3 s: longer than an election, shorter than a client's patience with one node.
	LeaderWait time.Duration
	// BodyTimeout is how long the body of a request may take to arrive, default
	// 30 s: what the longest takes at 1 MB/s.
	BodyTimeout time.Duration

	// RecordsTimeout bounds each look at the state bucket that a request waits for, default
	// 4 s: there are two at most, and a client gives a node 10 s.
	RecordsTimeout time.Duration

	// CollectEvery is how often the leader looks for what nobody needs in the state
	// bucket, default 1 min: a listing of the checkpoints, and a request for each run and
	// each pipeline with a folder there.
	CollectEvery time.Duration

	// LookEvery is how often the training data of a schedule on new objects is listed,
	// default 30 s.
	LookEvery time.Duration

	// Webhooks get alerts, by the names that specs have for them; nil: there are none.
	Webhooks map[string]webhook.Config
	// AlertEvery is how often the leader looks for alerts, default 2 s.
	AlertEvery time.Duration

	// Traces get the spans of runs; nil: there are none.
	Traces *tracing.Tracer

	// Now is the clock that entries of the log are stamped by; default time.Now.
	Now func() time.Time

	// FreeBytes returns the space that is left where a directory is, default that of
	// its file system.
	FreeBytes func(dir string) (int64, error)

	// Raft is raft's timing.
	Raft raftnode.Timing
}

func (c Config) withDefaults() Config {
	c.LeaseTTL = cmp.Or(c.LeaseTTL, 5*time.Second)
	c.LeaderWait = cmp.Or(c.LeaderWait, 3*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	c.AlertEvery = cmp.Or(c.AlertEvery, 2*time.Second)
	c.LookEvery = cmp.Or(c.LookEvery, 30*time.Second)
	c.CollectEvery = cmp.Or(c.CollectEvery, time.Minute)
	c.RecordsTimeout = cmp.Or(c.RecordsTimeout, 4*time.Second)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, 30*time.Second)
	i := slices.IndexFunc(c.Peers, func(p Peer) bool { return p.ID == c.ID })
	if i >= 0 {
		c.APIListen, c.RaftListen = cmp.Or(c.APIListen, c.Peers[i].API), cmp.Or(c.RaftListen, c.Peers[i].Raft)
	}
	c.Join.RemoveDeadAfter = cmp.Or(c.Join.RemoveDeadAfter, time.Hour)
	if c.Credentials != nil {
		var of auth.Config
		if c.Auth != nil {
			of = *c.Auth
		}
		of.Cluster = c.Credentials.Identity().Cluster
		c.Auth = &of
	}
	return c
}

// Validate reports the first thing that is wrong with c.
func (c Config) Validate() error {
	for _, p := range c.Peers {
		if _, _, err := net.SplitHostPort(p.API); err != nil {
			return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.Invalid,
				Subject: fmt.Sprintf("peer %q: API address %q", p.ID, p.API), Hint: "host:port", Err: err}
		}
	}
	if c.Stages == nil || c.Records == nil {
		return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.Invalid, Subject: "Stages and Records",
			Hint: "say how runs are planned, and where ended ones are kept"}
	}
	for name, hook := range c.Webhooks {
		if err := hook.Validate(); err != nil {
			return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.KindOf(err), Subject: "webhook " + name, Err: err}
		}
	}
	if c.LeaseTTL < 0 || c.LeaseTTL > 0 && c.LeaseTTL < 100*time.Millisecond {
		return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.Invalid,
			Subject: fmt.Sprintf("lease TTL %v", c.LeaseTTL), Hint: "at least 100ms, or workers expire between two polls"}
	}
	if c.Credentials != nil && c.Credentials.Identity().ID != c.ID {
		return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.Invalid, Subject: fmt.Sprintf("node %q", c.ID),
			Hint: "give the certificates of this node", Err: fmt.Errorf("its certificate names %s", c.Credentials.Identity())}
	}
	if len(c.Peers) == 0 {
		if c.Credentials == nil {
			return &thalweg.Error{Op: "configure coordinator", Kind: thalweg.Invalid, Subject: "Credentials", Hint: "nodes that join have to be known"}
		}
		if err := c.Join.Validate(); err != nil {
			return err
		}
	}
	return c.raft().Validate()
}

// scheme is that of the nodes' URLs.
func (c Config) scheme() string { return api.Scheme(c.peerTLS()) }

// peerTLS is that toward other coordinators, nil for none.
func (c Config) peerTLS() *tls.Config {
	if c.Credentials == nil {
		return nil
	}
	return c.Credentials.Client(pki.Coordinator, "")
}

func (c Config) raft() raftnode.Config {
	r := raftnode.Config{ID: c.ID, Credentials: c.Credentials, FreeBytes: c.FreeBytes, Timing: c.Raft}
	if c.Dir != "" {
		r.Dir = filepath.Join(c.Dir, "raft")
	}
	for _, p := range c.Peers {
		r.Peers = append(r.Peers, p.raft())
	}
	if len(c.Peers) == 0 {
		r.Self = Peer{ID: c.ID, API: c.Join.API, Raft: c.Join.Raft}.raft()
	}
	return r
}
