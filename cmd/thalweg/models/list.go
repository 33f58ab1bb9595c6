package models

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newList(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:     "list [MODEL]",
		Short:   "List models, or one of them, with versions and aliases",
		Example: "  thalweg models list -o json",
		RunE:    listModels(g),
	}
}

func listModels(g *verb.Globals) func(*cobra.Command, []string) error {
	return g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
		res, err := c.ListModels(cmd.Context(), &apiv1.ListModelsRequest{Model: verb.Argument(args, 0)})
		return verb.Answer{Value: res, Table: func(w io.Writer) {
			terminal.Row(w, "MODEL", "VERSION", "ALIAS", "RUN", "REGISTERED", "TEST LOG LOSS", "TEST ROC AUC", "SHA256")
			for _, m := range res.Models {
				for _, v := range m.Versions {
					terminal.Row(w, m.Name, v.Version, aliasShown(m, v), v.RunId, terminal.Clock(v.RegisteredAtUnixMs),
						figure(v.Metrics, "test.log_loss"), figure(v.Metrics, "test.roc_auc"), v.ModelSha256[:min(12, len(v.ModelSha256))])
				}
			}
		}}, err
	})
}

// aliasShown is what a table tells of a version's aliases, or why it can have none.
func aliasShown(m *apiv1.Model, v *apiv1.ModelVersion) string {
	names := strings.Join(aliasesOf(m, v.Version), ",")
	switch {
	case v.Collected:
		return "(collected)"
	case names == "" && v.Rejected != "":
		return "(rejected)"
	}
	return names
}

// aliasesOf returns the names that point at a version.
func aliasesOf(m *apiv1.Model, version uint64) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(m.Aliases)) {
		if m.Aliases[name] == version {
			names = append(names, name)
		}
	}
	return names
}

func figure(metrics map[string]float64, name string) string {
	if v, ok := metrics[name]; ok {
		return fmt.Sprintf("%.4f", v)
	}
	return "-"
}
