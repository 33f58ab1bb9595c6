// Package embedded is a whole cluster in one process: coordinators, workers, a
// Kafka broker and an S3 endpoint over one directory. The build tag nodev leaves
// broker and endpoint out.
package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/process"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/coordinator"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/tracing"
	"github.com/thalweg/thalweg/worker"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/jobs"
	"github.com/thalweg/thalweg/worker/stream/budget"
)

// coordinators is the smallest number of Raft nodes that survives the loss
// of one.
const coordinators = 3

// Bucket is made for training data and results.
const Bucket = "lake"

// ownBytes is what the heap of a cluster in one process may hold besides that of a
// worker: coordinators, broker and store.
const ownBytes = 128 << 20

// Config says where a cluster is, and how large.
type Config struct {
	Version   string // of the build, for show
	Dir       string // holds everything
	Workers   int
	FreePorts bool // else the fixed ports
	// SchemaRegistry is the address of a schema registry; empty: none. A cluster
	// has none of its own.
	SchemaRegistry string
	Connections    string        // file of others than the cluster's own; empty: none
	Traces         string        // the collector of traces, a connection or an address; empty: none
	CollectEvery   time.Duration // of coordinators; 0: their default
	LookEvery      time.Duration // of coordinators; 0: their default
	PollWait       time.Duration // of workers; 0: their default
	// NewStore makes the S3 endpoint; nil: that of this build, of which a process has one.
	NewStore func(dir string, e Endpoints) (Store, error)
}

// Broker is the embedded broker, which the build tag nodev leaves out.
type Broker interface {
	Run(ctx context.Context) error
}

// Store is the embedded S3 endpoint, which the build tag nodev leaves out.
type Store interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{} // closed when it takes requests
}

// Cluster is a whole cluster in one process.
type Cluster struct {
	cfg          Config
	log          *slog.Logger
	Endpoints    Endpoints        // where its parts listen
	Connections  *connections.Set // to its own store and broker, and those of a file
	Client       *api.Client      // of its coordinators, until Run ends
	lock         *os.File
	broker       Broker
	server       Store // nil where the directory serves
	coordinators []*coordinator.Coordinator
	traces       *tracing.Tracer // of all parts; nil: off
	endTraces    func()
	workersReady chan struct{}
	ended        chan struct{} // closed when Run returns
	err          error         // of Run; set before ended is closed
}

// New opens the parts; Run starts them.
func New(ctx context.Context, log *slog.Logger, cfg Config) (_ *Cluster, err error) {
	if cfg.Workers < 1 {
		return nil, terminal.UsageError("--workers", fmt.Sprint(cfg.Workers), "at least 1")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, log: log, workersReady: make(chan struct{}), ended: make(chan struct{}), endTraces: func() {}}
	defer func() {
		if err != nil {
			c.endTraces()
		}
	}()
	if c.lock, err = process.LockDir(dir); err != nil {
		return nil, err
	}
	if err := c.choosePorts(); err != nil {
		return nil, err
	}
	if err := c.openStore(); err != nil {
		return nil, err
	}
	traces, endTraces, err := c.Connections.Tracer(log, cfg.Traces, "thalweg-dev", filepath.Base(dir), cfg.Version)
	if err != nil {
		return nil, err
	}
	c.traces, c.endTraces = traces, endTraces
	if c.broker, err = newBroker(filepath.Join(dir, "kafka"), c.Endpoints.Kafka); err != nil {
		return nil, err
	}
	if c.Client, err = api.NewClient(api.Config{Addresses: c.Endpoints.API}); err != nil {
		return nil, err
	}
	return c, c.openCoordinators()
}

// choosePorts takes the ports that this directory had before, the fixed ones,
// or free ones. Raft remembers its peers' addresses, so a directory keeps the
// ports it got first.
func (c *Cluster) choosePorts() error {
	file := filepath.Join(c.cfg.Dir, "endpoints.json")
	if data, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(data, &c.Endpoints); err != nil {
			return &thalweg.Error{Op: "read endpoints", Kind: thalweg.Corrupt, Subject: file, Err: err}
		}
		return c.Endpoints.free("another process listens there: stop it; this directory keeps the ports it got first, so for others: --free-ports --dir with a new one")
	}
	e := Endpoints{Kafka: connections.KafkaAddress, S3: connections.S3Address, AccessKey: connections.DevAccessKey, SecretKey: connections.DevSecretKey}
	for i := range coordinators {
		e.API = append(e.API, fmt.Sprintf("127.0.0.1:%d", 7070+i))
		e.Raft = append(e.Raft, fmt.Sprintf("127.0.0.1:%d", 7080+i))
	}
	if c.cfg.FreePorts {
		free, err := FreeAddresses(2 + 2*coordinators)
		if err != nil {
			return err
		}
		e.Kafka, e.S3, e.API, e.Raft = free[0], free[1], free[2:2+coordinators], free[2+coordinators:]
	}
	// Before they are written: a directory keeps them for good.
	if err := e.free("another process listens there, perhaps another `thalweg dev`: stop it, or add --free-ports"); err != nil {
		return err
	}
	c.Endpoints = e
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o600)
}

// free reports, with a hint, the first of the ports that is taken.
func (e *Endpoints) free(hint string) error {
	for _, address := range slices.Concat(e.API, e.Raft, []string{e.Kafka, e.S3}) {
		l, err := net.Listen("tcp", address)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return &thalweg.Error{Op: "listen", Kind: thalweg.Unavailable, Subject: address, Err: errors.New("the port is taken"), Hint: hint}
		case err != nil:
			return err
		}
		l.Close()
	}
	return nil
}

// FreeAddresses returns n addresses on which nothing listens, all held until all are
// known. Their ports are those that no kernel gives to outgoing connections by default:
// such a one would be gone when a directory that keeps its ports is started again.
func FreeAddresses(n int) (addresses []string, err error) {
	const first, count, tries = 20_000, 10_000, 1_000
	for range tries {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count))); err != nil {
			continue
		}
		defer l.Close()
		if addresses = append(addresses, l.Addr().String()); len(addresses) == n {
			return addresses, nil
		}
	}
	return nil, &thalweg.Error{Op: "find free ports", Kind: thalweg.Unavailable, Subject: fmt.Sprintf("127.0.0.1:%d-%d", first, first+count-1), Err: err}
}

// openStore prepares the S3 endpoint, or the directory where the file system
// has no user xattrs.
func (c *Cluster) openStore() error {
	dir := filepath.Join(c.cfg.Dir, "s3")
	newStore := NewStore
	if c.cfg.NewStore != nil {
		newStore = c.cfg.NewStore
	}
	var err error
	c.server, err = newStore(dir, c.Endpoints)
	switch {
	case err == nil:
		c.Endpoints.Store = "http://" + c.Endpoints.S3
	case thalweg.Is(err, thalweg.Unsupported):
		c.log.Warn("no S3 endpoint", "why", err)
		c.server, c.Endpoints.S3, c.Endpoints.Store = nil, "", "file://"+dir
	default:
		return err
	}
	c.Connections, err = connections.New(c.Endpoints.Store, s3.Config{AccessKey: c.Endpoints.AccessKey, SecretKey: c.Endpoints.SecretKey},
		kafka.Config{Brokers: []string{c.Endpoints.Kafka}}, c.cfg.SchemaRegistry)
	if err == nil {
		err = c.Connections.AddFile(c.cfg.Connections)
	}
	return err
}

func (c *Cluster) openCoordinators() error {
	var peers []coordinator.Peer
	for i := range coordinators {
		peers = append(peers, coordinator.Peer{ID: fmt.Sprintf("c%d", i+1), Raft: c.Endpoints.Raft[i], API: c.Endpoints.API[i]})
	}
	for i, p := range peers {
		node, err := coordinator.New(c.log, coordinator.Config{
			Version: c.cfg.Version, ID: p.ID, Dir: filepath.Join(c.cfg.Dir, p.ID), Peers: peers, SpecCatalog: catalog.All(), Stages: worker.Stages().Plan, CollectEvery: c.cfg.CollectEvery, LookEvery: c.cfg.LookEvery, StateBucket: "thalweg", Webhooks: c.Connections.Webhooks(), Traces: c.traces,
			Records: func(ctx context.Context) (storage.Bucket, error) { return c.Connections.Bucket(ctx, "", "thalweg") }})
		if err != nil {
			return fmt.Errorf("coordinator %d: %w", i+1, err)
		}
		c.coordinators = append(c.coordinators, node)
	}
	return nil
}

// Run runs the cluster until ctx ends. Workers stop first, so that streams can
// commit, then the coordinators, then broker and store.
func (c *Cluster) Run(ctx context.Context) (err error) {
	defer func() {
		c.lock.Close()
		c.err = err
		close(c.ended)
	}()
	base, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	control, stopControl := context.WithCancel(base)
	defer stopControl()

	var services errgroup.Group
	services.Go(func() error { defer stopBase(); return c.broker.Run(base) })
	if c.server != nil {
		services.Go(func() error { defer stopBase(); return c.server.Run(base) })
	}
	var nodes errgroup.Group
	for _, n := range c.coordinators {
		nodes.Go(func() error { defer stopControl(); return n.Run(control) })
	}
	workCtx, stopWork := context.WithCancel(ctx)
	defer stopWork()
	context.AfterFunc(control, stopWork) // a part that fails ends the rest
	work := c.runWorkers(workCtx)
	c.Client.Close() // before the coordinators: a server waits a second for each open connection
	stopControl()
	nodesErr := nodes.Wait()
	c.endTraces()
	c.Connections.Close()
	stopBase()
	return errors.Join(work, nodesErr, services.Wait())
}

func (c *Cluster) runWorkers(ctx context.Context) error {
	if c.server != nil {
		select {
		case <-c.server.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	opener, err := c.Connections.Store("")
	if err != nil {
		return err
	}
	for _, name := range []string{Bucket, "thalweg"} {
		if err := opener.CreateBucket(ctx, name); err != nil {
			return err
		}
	}
	memory, err := process.StreamMemory(budget.DefaultMemory, process.RuntimeBytes+ownBytes, int64(c.cfg.Workers)*worker.DefaultCacheBytes)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i := range c.cfg.Workers {
		id := thalweg.WorkerID(fmt.Sprintf("w%d", i+1))
		w, err := worker.New(ctx, c.Client, c.Connections, c.log, worker.Config{
			Version: c.cfg.Version, MemoryBytes: process.MemoryBytes() / int64(c.cfg.Workers), SpecCatalog: catalog.All(),
			ID: id, Dir: filepath.Join(c.cfg.Dir, string(id)), Memory: memory, PollWait: c.cfg.PollWait, Traces: c.traces,
			Jobs: jobs.New(&cluster.Client{Client: c.Client, Conns: c.Connections, StateBucket: "thalweg"}).Run})
		if err != nil {
			g.Go(func() error { return err }) // ends those that run
			return g.Wait()
		}
		g.Go(func() error { return w.Run(ctx) })
	}
	close(c.workersReady)
	return g.Wait()
}

// WaitReady waits until a leader answers that knows the workers. It returns the error of a
// Run that ended before.
func (c *Cluster) WaitReady(ctx context.Context) error {
	select {
	case <-c.workersReady:
	case <-c.ended:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		status, err := c.Client.Status(ctx, &apiv1.StatusRequest{})
		if err != nil || len(status.Workers) >= c.cfg.Workers {
			return err
		}
		if err := retry.Sleep(ctx, knownEvery); err != nil {
			return err
		}
	}
}

// knownEvery is how often the leader is asked for the workers while they start.
const knownEvery = 20 * time.Millisecond
