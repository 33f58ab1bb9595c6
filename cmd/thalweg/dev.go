package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func newDev(g *globals) *cobra.Command {
	cfg := devConfig{}
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
			if err := requireDevParts("dev"); err != nil {
				return err
			}
			if err := requireDescriptors("dev"); err != nil {
				return err
			}
			log, err := g.logger()
			if err != nil {
				return err
			}
			cfg.SchemaRegistry, cfg.Connections = g.connections.schemas, g.connections.file
			cluster, err := newDevCluster(cmd.Context(), log, cfg)
			if err != nil {
				return err
			}
			done := make(chan error, 1)
			go func() { done <- watchDescriptors(cmd.Context(), "dev", cluster.Run) }()
			if err := cluster.WaitReady(cmd.Context()); err != nil && cmd.Context().Err() == nil {
				return err
			}
			cluster.endpoints.print(cmd.OutOrStdout())
			return <-done
		},
	}
	cmd.Flags().StringVar(&cfg.Dir, "dir", filepath.Join(".thalweg", "dev"), "where the cluster keeps everything")
	cmd.Flags().IntVar(&cfg.Workers, "workers", 2, "how many workers")
	cmd.Flags().BoolVar(&cfg.FreePorts, "free-ports", false, "take free ports instead of the fixed ones; a directory keeps the ports it got first")
	return cmd
}

// devEndpoints tell where the parts of a dev cluster listen.
type devEndpoints struct {
	API       []string `json:"api"`
	Raft      []string `json:"raft"`
	Kafka     string   `json:"kafka"`
	S3        string   `json:"s3"` // host:port; empty where a directory serves instead
	AccessKey string   `json:"access_key"`
	SecretKey string   `json:"secret_key"`
	Store     string   `json:"store"` // what --store takes
}

func (e *devEndpoints) print(w io.Writer) {
	fmt.Fprintf(w, "\nThalweg is ready.\n")
	fmt.Fprintf(w, "  API    http://%s   (and %s)\n", e.API[0], strings.Join(e.API[1:], ", "))
	fmt.Fprintf(w, "  Kafka  %s\n", e.Kafka)
	if e.S3 != "" {
		fmt.Fprintf(w, "  S3     http://%s   access key %s, secret key %s, region us-east-1\n", e.S3, e.AccessKey, e.SecretKey)
	} else {
		fmt.Fprintf(w, "  Store  %s   (a plain directory: this file system has no user xattrs for the S3 endpoint)\n", e.Store)
	}
	fmt.Fprintf(w, "  Shell  export THALWEG_COORDINATOR=%s THALWEG_KAFKA=%s THALWEG_STORE=%s\n", e.API[0], e.Kafka, e.Store)
	fmt.Fprintf(w, "It keeps running until ^C; started again with the same --dir, it goes on where it was. Other verbs are for another shell.\n")
}
