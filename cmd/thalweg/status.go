package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

func newStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show coordinators, workers, pipelines and streams",
		Example: "  thalweg status\n" +
			"  curl -s -H 'Content-Type: application/json' -d '{}' http://127.0.0.1:7070/thalweg.coordinator.v1.CoordinatorService/Status",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, _ []string) (answer, error) {
			cluster, err := c.Status(cmd.Context(), &apiv1.StatusRequest{})
			if err != nil {
				return answer{}, err
			}
			pipelines, err := c.ListPipelines(cmd.Context(), &apiv1.ListPipelinesRequest{})
			return answer{value: cluster, table: func(w io.Writer) {
				row(w, "COORDINATOR", "ADDRESS", "STATE")
				for _, n := range cluster.Nodes {
					row(w, n.Id, n.Address, n.State)
				}
				row(w, "\nWORKER", "ADDRESS", "STATE", "LEASES")
				for _, n := range cluster.Workers {
					row(w, n.Id, n.Address, n.State, n.Leases)
				}
				row(w, "\nPIPELINE", "GENERATION", "APPLIED", "MODEL", "STREAM")
				for _, p := range pipelines.Pipelines {
					stream := thalweg.StreamRunning
					if p.StreamPaused {
						stream = thalweg.StreamPaused
					}
					row(w, p.Name, p.Generation, clock(p.AppliedAtUnixMs), p.Model, stream)
				}
			}}, err
		}),
	}
}
