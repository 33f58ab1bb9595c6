// Package coordinator is the process that keeps the cluster's state and hands
// out its work: one member of the Raft cluster, the RPC, and, on the leader, the
// planning of leases. State is coordinator/state's, decisions are
// coordinator/schedule's, consensus is coordinator/raftnode's; this package
// wires them. DESIGN.md tells how a request travels.
package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/broadcast"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/membership"
	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/coordinator/serving"
	"github.com/thalweg/thalweg/diagnose"
)

// The attribute keys of the log.
const (
	keyNode     = "node"
	keyAddress  = "address"
	keyTerm     = "term"
	keyWorker   = "worker"
	keyTask     = "task"
	keyToken    = "token"
	keyRun      = "run"
	keyJob      = "job"
	keyPipeline = "pipeline"
	keyModel    = "model"
	keyVersion  = "version"
	keyError    = "error"
	keyMember   = "member"

	keyStage     = "stage"
	keyState     = "state"
	keyTasks     = "tasks"
	keyRows      = "rows"
	keyTook      = "took"
	keyFlaps     = "flaps"
	keyWait      = "wait"
	keyPartition = "partition"
	keyReason    = "reason"
)

// drainTime bounds how long a stopping node waits for requests that are under
// way; parked polls answer at once.
const drainTime = 2 * time.Second

// Coordinator is one node. Create it with New, then Run it once.
type Coordinator struct {
	cfg     Config
	log     *slog.Logger
	lines   *diagnose.Ring // the newest of log
	metrics *metrics
	replica *replica
	changes *broadcast.Notifier // of the state, of leadership and of workers
	// peers carries requests to other nodes, and proxy passes whole ones on.
	peers *http.Transport
	auth  *auth.Authenticator // nil: nobody has to say who it is
	proxy http.Handler
	// predictions passes requests for predictions on to workers.
	predictions *serving.Proxy

	// node is set before anything is served.
	node    *raftnode.Node
	cluster *membership.Cluster // nil where the members are fixed
	// lead is the leadership under way, nil on a follower.
	lead    atomic.Pointer[leadership]
	parked  atomic.Int64
	reading chan struct{} // has an element while a spec is read
	claims  claims
	// restoring keeps mutations out while the state is replaced.
	restoring sync.RWMutex
	stopping  chan struct{}
	serving   chan struct{}
}

// New returns a node that is not running yet.
func New(log *slog.Logger, cfg Config) (*Coordinator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	lines := new(diagnose.Ring)
	c := &Coordinator{
		cfg: cfg.withDefaults(), log: lines.Keeping(log).With(keyNode, cfg.ID), lines: lines,
		changes: new(broadcast.Notifier), stopping: make(chan struct{}), serving: make(chan struct{}),
		reading: make(chan struct{}, 1), claims: claims{turn: make(chan struct{}, 1), of: make(map[thalweg.PipelineName]claimed)},
	}
	c.replica = newReplica(c.changes)
	c.metrics = newMetrics(c)
	c.predictions = serving.New(servingCluster{c}, c.cfg.Version, c.metrics.serving, c.cfg.Traces)
	if c.cfg.Auth != nil {
		var err error
		if c.auth, err = auth.New(c.log, *c.cfg.Auth, c.tokenOf); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Serving is closed once the node takes requests. It may not know a leader yet;
// requests wait for one.
func (c *Coordinator) Serving() <-chan struct{} { return c.serving }

// Run serves until ctx ends, then stops in two steps: parked polls answer and
// leadership is handed on while requests under way finish; then connections and
// the log are closed. It returns early with an error when the node must not go
// on, for example because its disk failed.
func (c *Coordinator) Run(ctx context.Context) error {
	rpc, raft, err := c.cfg.listen()
	if err != nil {
		return err
	}
	if err := c.checkListen(rpc); err != nil {
		rpc.Close()
		raft.Close()
		return err
	}
	c.node, err = raftnode.Open(c.log, raft, c.replica, c.cfg.raft())
	if err != nil {
		rpc.Close()
		return err
	}
	c.peers = api.NewTransport(c.cfg.peerTLS())
	defer c.peers.CloseIdleConnections()
	defer c.predictions.Close()
	c.proxy = c.newProxy()
	if len(c.cfg.Peers) == 0 {
		c.cluster = membership.New(c.log, c.node, c.membership())
	}
	server := c.newServer()

	// Each of the three ends by its own cancel, in the order below.
	base := context.WithoutCancel(ctx)
	nodeCtx, stopNode := context.WithCancel(base)
	defer stopNode()
	leadCtx, stopLead := context.WithCancel(base)
	defer stopLead()
	nodeDone, serveDone := make(chan error, 1), make(chan error, 1)
	go func() { nodeDone <- c.node.Run(nodeCtx) }()
	var leading sync.WaitGroup
	leading.Go(func() { c.followLeadership(leadCtx) })
	leading.Go(func() { c.moveToRecords(leadCtx) })
	joined := make(chan error, 1)
	if c.cluster != nil {
		leading.Go(func() { joined <- c.cluster.Belong(leadCtx) })
		leading.Go(func() { c.cluster.Keep(leadCtx) })
	}
	go func() { serveDone <- serve(server, rpc) }()
	c.log.Info("coordinator serves", keyAddress, rpc.Addr().String(), "raft", raft.Addr().String())
	close(c.serving)

	var failed error
	nodeEnded := false
	select {
	case <-ctx.Done():
		c.log.Info("coordinator stops")
	case failed = <-nodeDone:
		nodeEnded = true
	case failed = <-joined:
	case failed = <-serveDone:
		failed = &thalweg.Error{Op: "serve", Subject: rpc.Addr().String(), Err: failed}
	}
	close(c.stopping)
	c.peers.CloseIdleConnections() // a stopping peer waits a second for each
	if !nodeEnded {
		c.node.StepDown()
	}
	c.drain(base, server)
	stopLead()
	leading.Wait()
	stopNode()
	if !nodeEnded {
		failed = errors.Join(failed, <-nodeDone)
	}
	return failed
}

// serve serves over TLS where the server has it.
func serve(server *http.Server, l net.Listener) error {
	if server.TLSConfig == nil {
		return server.Serve(l)
	}
	return server.ServeTLS(l, "", "")
}

// membership describes this node to those that it joins.
func (c *Coordinator) membership() membership.Config {
	return membership.Config{ID: c.cfg.ID, Dir: c.cfg.Dir, Join: c.cfg.Join, Peers: c.peers,
		Leading: func() uint64 {
			if lead := c.leading(); lead != nil {
				return lead.term
			}
			return 0
		},
		WaitLeading: func(ctx context.Context) error {
			_, err := c.waitLeading(ctx)
			return err
		}}
}

// apiOf returns the address of a member's RPC, "" if there is none.
func (c *Coordinator) apiOf(id string) string {
	for _, m := range c.node.Members() {
		if m.ID == id {
			return m.API
		}
	}
	return ""
}

// drain lets requests under way finish, under a deadline.
func (c *Coordinator) drain(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		c.log.Warn("requests were cut off", "error", err)
		server.Close()
	}
}

// listen returns the listeners for the RPC and for raft.
func (c Config) listen() (rpc, raft net.Listener, err error) {
	open := func(given net.Listener, address string) (net.Listener, error) {
		if given != nil {
			return given, nil
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, &thalweg.Error{Op: "listen", Kind: thalweg.Unavailable, Subject: address,
				Hint: "is another process using the port?", Err: err}
		}
		return l, nil
	}
	if rpc, err = open(c.APIListener, c.APIListen); err != nil {
		return nil, nil, err
	}
	if raft, err = open(c.RaftListener, c.RaftListen); err != nil {
		rpc.Close()
		return nil, nil, err
	}
	return rpc, raft, nil
}
