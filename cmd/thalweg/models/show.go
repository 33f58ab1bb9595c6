package models

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newShow(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show MODEL [VERSION]",
		Short: "Show a version, champion by default: its run, metrics, losses, and strongest weights or most important features",
		Example: "  thalweg models show flight-delays\n" +
			"  thalweg models show flight-delays 2 -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			m, v, err := c.FindRegistered(cmd.Context(), args[0], cmp.Or(verb.Argument(args, 1), thalweg.DefaultAlias))
			if err != nil {
				return verb.Answer{}, err
			}
			res, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: v.RunId})
			if thalweg.Is(err, thalweg.NotFound) { // the version outlives the record of its run
				res, err = &apiv1.GetRunResponse{Run: &apiv1.Run{}}, nil
			}
			if err != nil {
				return verb.Answer{}, err
			}
			shown := modelShown{Model: m.Name, Version: terminal.Message{Message: v}, Aliases: aliasesOf(m, v.Version)}
			for _, l := range res.Run.Curve {
				shown.Curve = append(shown.Curve, terminal.Message{Message: l})
			}
			for _, weight := range res.Run.Weights {
				shown.Weights = append(shown.Weights, terminal.Message{Message: weight})
			}
			for _, feature := range res.Run.Importance {
				shown.Importance = append(shown.Importance, terminal.Message{Message: feature})
			}
			return verb.Answer{Value: shown, Table: func(w io.Writer) {
				terminal.Row(w, "MODEL", "VERSION", "ALIAS", "RUN", "REGISTERED", "SHA256")
				terminal.Row(w, m.Name, v.Version, strings.Join(shown.Aliases, ","), v.RunId, terminal.Clock(v.RegisteredAtUnixMs), v.ModelSha256[:min(12, len(v.ModelSha256))])
				if v.Parent > 0 {
					fmt.Fprintf(w, "\nstarted from version %d\n", v.Parent)
				}
				for _, format := range slices.Sorted(maps.Keys(v.Exports)) {
					fmt.Fprintf(w, "\n%s: %s\n", format, v.Exports[format])
				}
				for _, text := range v.Warnings {
					fmt.Fprintln(w, "\nwarning: "+text)
				}
				terminal.PrintMetrics(w, v.Metrics)
				terminal.PrintEvaluation(w, res.Run)
				terminal.PrintCurve(w, res.Run)
				terminal.PrintWeights(w, res.Run)
			}}, nil
		}),
	}
}

// modelShown is a version in JSON: what the RPC says of it, and of its run what the
// model is.
type modelShown struct {
	Model   string             `json:"model"`
	Aliases []string           `json:"aliases"`
	Version terminal.Message   `json:"version"`
	Curve   []terminal.Message `json:"curve"`
	Weights []terminal.Message `json:"weights"`
	// Importance is that of the features of trees.
	Importance []terminal.Message `json:"importance"`
}
