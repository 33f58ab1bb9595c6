package main

import (
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/process"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

func newDev(g *verb.Globals) *cobra.Command {
	cfg := embedded.Config{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process: coordinators, workers, a Kafka broker, an S3 endpoint",
		Long: "dev runs a whole cluster in one process, bound to loopback and without\n" +
			"authentication between its parts. Everything is kept in --dir: a cluster that is\n" +
			"stopped and started again with the same directory continues where it was. Other\n" +
			"stores, clusters and keys are those of --connections.",
		Example: "  thalweg dev\n" +
			"  thalweg dev --dir /tmp/tw --workers 4 --free-ports",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := embedded.Require("dev"); err != nil {
				return err
			}
			process.PrivateFiles()
			if err := process.RequireDescriptors("dev"); err != nil {
				return err
			}
			log, err := g.Logger()
			if err != nil {
				return err
			}
			cfg.Version, cfg.SchemaRegistry, cfg.Connections = shortVersion(), g.Connections.Schemas, g.Connections.File
			cfg.Traces = g.Connections.Traces
			cluster, err := embedded.New(cmd.Context(), log, cfg)
			if err != nil {
				return err
			}
			done := make(chan error, 1)
			go func() { done <- process.WatchDescriptors(cmd.Context(), "dev", cluster.Run) }()
			if err := cluster.WaitReady(cmd.Context()); err != nil && cmd.Context().Err() == nil {
				return err
			}
			cluster.Endpoints.Print(cmd.OutOrStdout())
			return <-done
		},
	}
	cmd.Flags().StringVar(&cfg.Dir, "dir", filepath.Join(".thalweg", "dev"), "where the cluster keeps everything")
	cmd.Flags().IntVar(&cfg.Workers, "workers", 2, "how many workers")
	cmd.Flags().BoolVar(&cfg.FreePorts, "free-ports", false, "take free ports instead of the fixed ones; a directory keeps the ports it got first")
	g.Connections.RegisterTraces(cmd.Flags())
	return cmd
}
