package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/coordinator"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker"
)

func newCoordinator(g *verb.Globals) *cobra.Command {
	cfg := coordinator.Config{SpecCatalog: catalog.All(), Stages: worker.Stages().Plan}
	var peers []string
	cmd := &cobra.Command{
		Use:   "coordinator --id ID --dir DIR --peer ID=RAFT,API …",
		Short: "Run one node of the replicated coordinator",
		Long: "coordinator runs one node. Every node is given the same list of peers, itself\n" +
			"included; three or five make a cluster that survives the loss of one or two.",
		Example: "  thalweg coordinator --id c1 --dir ./c1 \\\n" +
			"    --peer c1=127.0.0.1:7180,127.0.0.1:7170 \\\n" +
			"    --peer c2=127.0.0.1:7181,127.0.0.1:7171 \\\n" +
			"    --peer c3=127.0.0.1:7182,127.0.0.1:7172",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, p := range peers {
				id, addresses, ok := strings.Cut(p, "=")
				raft, api, ok2 := strings.Cut(addresses, ",")
				if !ok || !ok2 {
					return terminal.UsageError("--peer", p, "id=raft host:port,api host:port")
				}
				cfg.Peers = append(cfg.Peers, coordinator.Peer{ID: id, Raft: raft, API: api})
			}
			log, err := g.Logger()
			if err != nil {
				return err
			}
			if cfg.Credentials, err = g.NodeCredentials(log, pki.Coordinator, cfg.ID); err != nil {
				return err
			}
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			defer conns.Close()
			cfg.Records = func(ctx context.Context) (storage.Bucket, error) { return conns.Bucket(ctx, "", g.Connections.State) }
			cfg.StateBucket = g.Connections.State
			node, err := coordinator.New(log, cfg)
			if err != nil {
				return err
			}
			return node.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&cfg.ID, "id", "", "this node's name, one of the peers'")
	cmd.Flags().StringVar(&cfg.Dir, "dir", "", "directory of the log and the snapshots")
	cmd.Flags().StringArrayVar(&peers, "peer", nil, "a node of the cluster: id=raft host:port,api host:port; give every one")
	for _, f := range []string{"id", "dir", "peer"} {
		verb.Must(cmd.MarkFlagRequired(f))
	}
	return cmd
}
