// Package worker is the process that does the work: it polls the coordinator,
// holds leases, and runs what they stand for. One task_<kind>.go each carries a
// stage out over one shard; training and scoring live in worker/train and
// worker/stream/scorer, and this package feeds them.
package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/registry"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/diagnose"
	"github.com/thalweg/thalweg/disk"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/tracing"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/serve"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/crash"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Attribute keys of this package's log lines.
const (
	keyWorker   = "worker"
	keyPipeline = "pipeline"
	keyRun      = "run"
	keyTask     = "task"
	keyShard    = "shard"
	keyToken    = "token"
	keyReason   = "reason"
	keyError    = "error"
	keyTook     = "took"
	keyLeases   = "leases"
)

// Coordinator is the one call that a worker makes.
type Coordinator interface {
	Poll(ctx context.Context, req *apiv1.PollRequest) (*apiv1.PollResponse, error)
}

// Gate stands between the streams of a worker and their stores and topics.
type Gate interface {
	Do(ctx context.Context, p crash.Point, effect func() error) error // a crash.Hook
	Bucket(storage.Bucket) storage.Bucket
	Source(connectors.Source) connectors.Source
	Outbox(connectors.Outbox) connectors.Outbox
	Appender(connectors.Appender) connectors.Appender
}

// Connections resolves the connection names of specs; "" is the default one.
type Connections interface {
	Store(name string) (storage.Opener, error)
	// Source opens a topic of a kind of stream for reading. Sources may share buffers.
	Source(name string, stream pipeline.Choice, what connectors.Reading) (connectors.Source, error)
	// Outbox opens a topic for delivering. Whoever delivers under the same name,
	// wherever, takes over from who did before.
	Outbox(name, topic, as string, partition int) (connectors.Outbox, error)
	// Appender opens a topic for appending, likewise.
	Appender(name, topic, as string, partition int) (connectors.Appender, error)
	// Schemas returns the client of a schema registry, which is shared.
	Schemas(name string) (*registry.Client, error)
	// Key returns a key that values are hashed with.
	Key(name string) (table.Key, error)
	// Known lists them; none: coordinators cannot check names.
	Known() pipeline.Connections
}

// DefaultCacheBytes is the default of Config.CacheBytes.
const DefaultCacheBytes = 1 << 30

// Config is what a worker needs to know.
type Config struct {
	ID          thalweg.WorkerID // unique in the cluster; required
	SpecCatalog pipeline.Catalog // what specs can choose from; required
	Version     string           // of the build, for show
	// MemoryBytes is what the worker may use, which the coordinator places tasks by; 0: not
	// known.
	MemoryBytes int64
	// Listen is the address on which peers fetch parameters, and operators
	// /metrics, /healthz and /readyz; default 127.0.0.1:0, a free port.
	Listen string
	// Advertise is the address by which peers reach Listen, host:port; default Listen's
	// own, with the port that it got. A port of 0 is replaced by that too.
	Advertise string
	// Credentials are those of a worker; nil: without TLS, so Listen has to be on
	// loopback.
	Credentials *pki.Credentials
	// Dir holds spilled training rows, in Dir/spill, which is emptied at start.
	// Required.
	Dir    string
	Stages StageCatalog // what the worker can carry out; default Stages()
	// Jobs carries out jobs; package worker/jobs does. nil: none.
	Jobs  func(ctx context.Context, t *Task) error
	Slots int // shard tasks that run at once; default 2
	// StateBucket holds checkpoints and partial results; default thalweg.
	StateBucket string
	// CacheBytes bounds the training rows kept in memory; beyond it they spill to
	// Dir. Default DefaultCacheBytes.
	CacheBytes int64
	// KeepBytes bounds the prepared rows of a pipeline in the state bucket; rows
	// beyond are read from the dataset each time. Default 64 GiB.
	KeepBytes int64
	// Memory is what the streams hold together, those of all workers of a process.
	// Default: one of budget.DefaultMemory for this worker.
	Memory   *budget.Memory
	PollWait time.Duration // of a poll for other leases; default 1 s
	// LeaseTTL is how long leases are believed without an answer from the
	// coordinator; then everything is stopped. Default 10 s. It only saves work:
	// tokens and the commit log fence.
	LeaseTTL time.Duration
	// FreeBytes tells the space that is left where a directory is. Default disk.Free.
	FreeBytes    func(dir string) (int64, error)
	DrainTimeout time.Duration            // of the first step of stopping; default 5 s
	Datasets     map[string]DatasetFormat // default DatasetFormats()
	Tables       map[string]TableFormat   // default TableFormats()
	Traces       *tracing.Tracer          // get the spans of tasks and streams; nil: there are none
	Gate         Gate                     // where tests end the process at a step of a stream; else nil
}

func (c Config) withDefaults() Config {
	if c.Stages == nil {
		c.Stages = Stages()
	}
	if c.Datasets == nil {
		c.Datasets = DatasetFormats()
	}
	if c.Tables == nil {
		c.Tables = TableFormats()
	}
	if c.Memory == nil {
		c.Memory = budget.NewMemory(0, runtime.GOMAXPROCS(0))
	}
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:0")
	c.Slots = cmp.Or(c.Slots, 2)
	c.StateBucket = cmp.Or(c.StateBucket, "thalweg")
	c.CacheBytes = cmp.Or(c.CacheBytes, DefaultCacheBytes)
	c.KeepBytes = cmp.Or(c.KeepBytes, 64<<30)
	c.PollWait = cmp.Or(c.PollWait, time.Second)
	c.LeaseTTL = cmp.Or(c.LeaseTTL, 10*time.Second)
	if c.FreeBytes == nil {
		c.FreeBytes = disk.Free
	}
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 5*time.Second)
	return c
}

// Validate reports what is missing or out of range.
func (c Config) Validate() error {
	switch {
	case c.ID == "":
		return &thalweg.Error{Op: "configure worker", Kind: thalweg.Invalid, Subject: "ID", Hint: "name the worker"}
	case c.Dir == "":
		return &thalweg.Error{Op: "configure worker", Kind: thalweg.Invalid, Subject: "Dir", Hint: "give it a scratch directory"}
	case c.DrainTimeout < 0:
		return &thalweg.Error{Op: "configure worker", Kind: thalweg.Invalid, Subject: "DrainTimeout", Hint: "not negative"}
	case c.Slots < 1:
		return &thalweg.Error{Op: "configure worker", Kind: thalweg.Invalid, Subject: "Slots", Hint: "at least 1"}
	}
	if c.Credentials != nil && c.Credentials.Identity().ID != string(c.ID) {
		return &thalweg.Error{Op: "configure worker", Kind: thalweg.Invalid, Subject: fmt.Sprintf("worker %q", c.ID),
			Hint: "give the certificates of this worker", Err: fmt.Errorf("its certificate names %s", c.Credentials.Identity())}
	}
	if c.Advertise != "" {
		if _, _, err := net.SplitHostPort(c.Advertise); err != nil {
			return &thalweg.Error{Op: "configure worker", Kind: thalweg.Invalid, Subject: fmt.Sprintf("Advertise %q", c.Advertise), Hint: "host:port", Err: err}
		}
	}
	return nil
}

func (c Config) spillDir() string { return filepath.Join(c.Dir, "spill") }

// emptyDir makes dir and removes what a crashed worker left in it.
func emptyDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return &thalweg.Error{Op: "empty scratch directory", Kind: thalweg.Invalid, Err: err}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &thalweg.Error{Op: "make scratch directory", Kind: thalweg.Invalid, Err: err}
	}
	return nil
}

// Worker is one worker process, or one of several inside thalweg dev.
type Worker struct {
	cfg         Config
	coordinator Coordinator
	connections Connections
	state       storage.Bucket
	exchange    *average.Server
	pool        *dataset.Pool // of the memory that shards are read into
	listener    net.Listener
	log         *slog.Logger
	lines       *diagnose.Ring // the newest of log
	metrics     *metrics
	tasks       *taskManager
	served      *serve.Server // answers for the pipelines whose endpoints are leased
	trainings   trainings
	datasets    recent[*data]
	models      recent[*artifact.Artifact]
	scorings    recent[*scoring]
	streams     streams
	arms        engine.Tallies
	looks       looks
	tables      tables
	incarnation string
	answered    atomic.Pointer[time.Time] // when a coordinator last did, of the clock that no one sets; nil: never
	noRoom      atomic.Pointer[fullDisk]  // nil: no disk was full, or there is room again
}

// New opens the worker's state bucket and its exchange port; Run starts it.
func New(ctx context.Context, coordinator Coordinator, connections Connections, log *slog.Logger, cfg Config) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	opener, err := connections.Store("")
	if err != nil {
		return nil, err
	}
	state, err := opener.Bucket(ctx, cfg.StateBucket)
	if err != nil {
		return nil, &thalweg.Error{Op: "open state bucket", Kind: thalweg.KindOf(err), Subject: cfg.StateBucket,
			Hint: "make the bucket, or name another with --state-bucket", Err: err}
	}
	if err := emptyDir(cfg.spillDir()); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, &thalweg.Error{Op: "listen for peers", Kind: thalweg.Unavailable, Subject: cfg.Listen, Err: err}
	}
	lines := new(diagnose.Ring)
	w := &Worker{
		cfg: cfg, coordinator: coordinator, connections: connections, state: state,
		exchange: average.NewServer(), pool: dataset.NewPool(0), listener: listener,
		log: lines.Keeping(log).With(keyWorker, cfg.ID), lines: lines, incarnation: rand.Text(),
	}
	w.streams.memory, w.looks.wanted = cfg.Memory, make(chan *apiv1.Look, maxLooks)
	cfg.Memory.Keeps(w.pool)
	w.streams.mu.registries, w.streams.mu.probes = make(map[string]*engine.Registry), make(map[string]*probe)
	w.tables.mu.open = make(map[string]*openTable)
	w.trainings.mu.byRun = make(map[string]*training)
	w.tasks = newTaskManager(w)
	w.metrics = newMetrics(cfg, &w.tables, w.tasks.len)
	w.served = serve.NewServer(w.metrics.served, cfg.Traces)
	return w, nil
}

// ExchangeAddress is where peers reach the worker.
func (w *Worker) ExchangeAddress() string {
	if w.cfg.Advertise == "" {
		return w.listener.Addr().String()
	}
	host, port, _ := net.SplitHostPort(w.cfg.Advertise) // which Validate has tried
	if port == "0" {
		_, port, _ = net.SplitHostPort(w.listener.Addr().String())
	}
	return net.JoinHostPort(host, port)
}

// handler serves the exchange of parameters, and what operators ask for.
func (w *Worker) handler() http.Handler {
	mux := http.NewServeMux()
	served := w.served.Handler()
	exchange, metrics := http.Handler(w.exchange), promhttp.HandlerFor(w.metrics.registry, promhttp.HandlerOpts{})
	if w.cfg.Credentials != nil {
		exchange, metrics = pki.Require(exchange, pki.Worker), pki.Require(metrics)
		served = pki.Require(served, pki.Coordinator) // which know who may ask, and how often
	}
	mux.Handle("/", exchange)
	for _, path := range serve.Paths {
		mux.Handle(path, served)
	}
	mux.Handle("GET /metrics", metrics)
	for path, serve := range diagnose.Handlers(diagnose.Process{Version: w.cfg.Version, Logs: w.lines, Metrics: w.metrics.registry, Facts: w.facts}) {
		h := http.Handler(serve)
		if w.cfg.Credentials != nil {
			h = pki.Require(h, pki.Coordinator) // which ask for admins
		}
		mux.Handle("GET "+path, h)
	}
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(to http.ResponseWriter, _ *http.Request) {
		last := w.answered.Load()
		if last == nil {
			to.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintf(to, "worker %s, no coordinator has answered yet\n", w.cfg.ID)
			return
		}
		since := time.Since(*last)
		if since > w.cfg.LeaseTTL {
			to.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = fmt.Fprintf(to, "worker %s, coordinator answered %v ago\n", w.cfg.ID, since.Round(time.Millisecond))
	})
	return mux
}

// facts is what this worker is set to and holds. Nothing of it is secret: connections are
// names and addresses.
func (w *Worker) facts() map[string]any {
	f := map[string]any{"kind": pki.Worker, "id": w.cfg.ID, "incarnation": w.incarnation, "exchange": w.ExchangeAddress(), "leases": w.tasks.len(),
		"connections": w.connections.Known(),
		"settings": map[string]any{"dir": w.cfg.Dir, "listen": w.cfg.Listen, "advertise": w.cfg.Advertise, "slots": w.cfg.Slots, "state_bucket": w.cfg.StateBucket,
			"cache_bytes": w.cfg.CacheBytes, "keep_bytes": w.cfg.KeepBytes, "memory_bytes": w.cfg.MemoryBytes, "poll_wait": w.cfg.PollWait.String(),
			"lease_ttl": w.cfg.LeaseTTL.String(), "drain_timeout": w.cfg.DrainTimeout.String()}}
	if last := w.answered.Load(); last != nil {
		f["coordinator_answered"] = last.UTC().Format(time.RFC3339Nano)
	}
	if certs := w.cfg.Credentials; certs != nil {
		f["certificate"] = map[string]string{"name": certs.Identity().String(), "expires_in": certs.ExpiresIn().Round(time.Second).String()}
	}
	return f
}

// exchangeConfig is how sessions of the exchange reach their peers.
func (w *Worker) exchangeConfig() average.Config {
	c := average.Config{Logger: w.log, Broken: w.tasks.unreachable}
	if w.cfg.Credentials != nil {
		c.TLS = w.cfg.Credentials.Client(pki.Worker, "")
	}
	return c
}

// giveBackEvery is how often memory that is not used any more goes back to the
// operating system.
const giveBackEvery = 5 * time.Second

// answerTimeout is how long a worker that has given its leases back waits for answers that it
// has begun.
const answerTimeout = time.Second

// Run works until ctx ends, then drains: streams commit what they have scored,
// leases are given back. When it returns, nothing of the worker is left.
func (w *Worker) Run(ctx context.Context) error {
	server := &http.Server{Handler: w.handler(), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(w.log.Handler(), slog.LevelDebug)}
	serve := server.Serve
	if w.cfg.Credentials == nil {
		server.Handler = pki.Local(server.Handler)
	} else {
		server.TLSConfig = w.cfg.Credentials.Server()
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	var g errgroup.Group
	g.Go(func() error {
		if err := serve(w.listener); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	g.Go(func() error {
		defer server.Close()
		err := w.poll(ctx)
		answered, cancel := context.WithTimeout(context.Background(), answerTimeout)
		defer cancel()
		_ = server.Shutdown(answered) // what has begun to be answered is, but the exchange may go on for ever
		return err
	})
	g.Go(func() error {
		w.look(ctx)
		return nil
	})
	g.Go(func() error {
		for retry.Sleep(ctx, giveBackEvery) == nil {
			w.cfg.Memory.Relieve()
			w.cfg.Memory.GiveBack()
		}
		return nil
	})
	return g.Wait()
}
