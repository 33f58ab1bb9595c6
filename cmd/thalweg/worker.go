package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/worker"
	"github.com/thalweg/thalweg/worker/stream/budget"
)

// runtimeBytes is what a worker's heap may hold besides the events and rows of
// its streams before the collector runs all the time: models, files that are
// being encoded, and garbage.
const runtimeBytes = 208 << 20

func newWorker(g *globals) *cobra.Command {
	cfg := worker.Config{SpecCatalog: catalog.All()}
	var id string
	cmd := &cobra.Command{
		Use:     "worker --id ID --dir DIR",
		Short:   "Run a worker: it cleans, trains and scores what the coordinator leases to it",
		Example: "  thalweg worker --id w1 --dir ./w1 --coordinator 127.0.0.1:7170,127.0.0.1:7171,127.0.0.1:7172",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loopbackOnly("--listen", cfg.Listen); err != nil {
				return err
			}
			if err := requireDescriptors("worker"); err != nil {
				return err
			}
			log, err := g.logger()
			if err != nil {
				return err
			}
			conns, err := g.connections.open()
			if err != nil {
				return err
			}
			c, err := g.client(0)
			if err != nil {
				return err
			}
			if cfg.Gate, err = crashGate(); err != nil {
				return err
			}
			if os.Getenv("GOMEMLIMIT") == "" {
				cfg.MemoryLimit = cfg.StreamBytes + runtimeBytes
			}
			cfg.ID, cfg.StateBucket = thalweg.WorkerID(id), g.connections.state
			w, err := worker.New(cmd.Context(), c, conns, log, cfg)
			if err != nil {
				return err
			}
			log.Info("worker ready", "id", id, "exchange", w.ExchangeAddress())
			return w.Run(cmd.Context())
		},
	}
	host, _ := os.Hostname()
	cmd.Flags().StringVar(&id, "id", host, "the worker's name, unique in the cluster")
	cmd.Flags().StringVar(&cfg.Dir, "dir", "", "scratch directory for spilled training rows")
	cmd.Flags().StringVar(&cfg.Listen, "listen", "127.0.0.1:0", "address on which peers fetch parameters, and /metrics, /healthz and /readyz are served")
	cmd.Flags().IntVar(&cfg.Slots, "slots", 2, "shard tasks at once")
	cmd.Flags().Int64Var(&cfg.CacheBytes, "cache-bytes", 1<<30, "training rows kept in memory; more than that spill to --dir")
	cmd.Flags().Int64Var(&cfg.StreamBytes, "stream-bytes", budget.DefaultMemory, "events and rows that streams hold in memory, all partitions together; more makes larger files and takes about 250 MB more than this in all")
	must(cmd.MarkFlagRequired("dir"))
	return cmd
}
