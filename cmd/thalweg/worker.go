package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/process"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/worker"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/jobs"
	"github.com/thalweg/thalweg/worker/stream/budget"
)

func newWorker(g *verb.Globals) *cobra.Command {
	cfg := worker.Config{Version: shortVersion(), SpecCatalog: catalog.All(), MemoryBytes: process.MemoryBytes()}
	var id string
	var streamBytes int64
	cmd := &cobra.Command{
		Use:     "worker --id ID --certs DIR --dir DIR",
		Short:   "Run a worker: it cleans, trains and scores what the coordinator leases to it",
		Example: "  thalweg worker --id w1 --certs pki/worker-w1 --dir ./w1 --coordinator 10.0.0.1:7070,10.0.0.2:7070,10.0.0.3:7070",
		RunE: func(cmd *cobra.Command, _ []string) error {
			process.PrivateFiles()
			if err := process.RequireDescriptors("worker"); err != nil {
				return err
			}
			log, err := g.Logger()
			if err != nil {
				return err
			}
			if cfg.Credentials, err = g.NodeCredentials(log, pki.Worker, id); err != nil {
				return err
			}
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			c, err := api.NewClient(api.Config{Addresses: g.Coordinators, TLS: cfg.Credentials.Client(pki.Coordinator, "")})
			if err != nil {
				return err
			}
			if cfg.Gate, err = process.CrashGate(); err != nil {
				return err
			}
			if cfg.CacheBytes, err = process.CacheBytes(cfg.CacheBytes, cmd.Flags().Changed("cache-bytes"), streamBytes, cfg.MemoryBytes); err != nil {
				return err
			}
			if cfg.Memory, err = process.StreamMemory(streamBytes, process.RuntimeBytes, cfg.CacheBytes); err != nil {
				return err
			}
			cfg.ID, cfg.StateBucket = thalweg.WorkerID(id), g.Connections.State
			traces, end, err := conns.Tracer(log, g.Connections.Traces, "thalweg-worker", id, cfg.Version)
			if err != nil {
				return err
			}
			defer end()
			cfg.Traces = traces
			cfg.Jobs = jobs.New(&cluster.Client{Client: c, Conns: conns, StateBucket: g.Connections.State}).Run
			w, err := worker.New(cmd.Context(), c, conns, log, cfg)
			if err != nil {
				return err
			}
			log.Info("worker ready", "id", id, "exchange", w.ExchangeAddress())
			ready := make(chan struct{})
			close(ready)
			return process.UnderSystemd(cmd.Context(), log, ready, w.Run)
		},
	}
	host, _ := os.Hostname()
	cmd.Flags().StringVar(&id, "id", host, "the worker's name, unique in the cluster")
	cmd.Flags().StringVar(&cfg.Dir, "dir", "", "scratch directory for spilled training rows")
	cmd.Flags().StringVar(&cfg.Listen, "listen", "127.0.0.1:0", "address on which peers fetch parameters, and /metrics, /healthz and /readyz are served")
	cmd.Flags().StringVar(&cfg.Advertise, "advertise", "", "host:port by which peers reach --listen; port 0 is the one that --listen got (default what --listen says)")
	cmd.Flags().IntVar(&cfg.Slots, "slots", 2, "shard tasks at once")
	cmd.Flags().Int64Var(&cfg.CacheBytes, "cache-bytes", 1<<30, "training rows kept in memory, fewer by default where there is less; more than that spill to --dir")
	cmd.Flags().Int64Var(&cfg.KeepBytes, "keep-bytes", 64<<30, "prepared rows that a pipeline keeps in the state bucket; shards beyond are read from the dataset each time")
	cmd.Flags().Int64Var(&streamBytes, "stream-bytes", budget.DefaultMemory,
		"memory of all streams together: events, batches, rows, files in the making, dead letters, merged files; more makes larger files. The process takes up to 160 MiB more than this in all, 230 MiB while runs train here too, and training what --cache-bytes says")
	g.Connections.RegisterTraces(cmd.Flags())
	verb.Must(cmd.MarkFlagRequired("dir"))
	return cmd
}
