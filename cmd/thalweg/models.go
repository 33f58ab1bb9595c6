package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

func newModels(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List models, their versions and aliases; show, promote, roll back or export a version, or import trees",
		Example: "  thalweg models\n" +
			"  thalweg models promote flight-delays 2",
		RunE: listModels(g),
	}
	cmd.AddCommand(newModelsList(g), newModelsShow(g), newModelsCompare(g), newModelsCard(g), newModelsPromote(g), newModelsRollback(g), newModelsExport(g), newModelsImport(g))
	return cmd
}

func newModelsList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "list [MODEL]",
		Short:   "List models, or one of them, with versions and aliases",
		Example: "  thalweg models list -o json",
		RunE:    listModels(g),
	}
}

func listModels(g *globals) func(*cobra.Command, []string) error {
	return g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
		res, err := c.ListModels(cmd.Context(), &apiv1.ListModelsRequest{Model: argument(args, 0)})
		return answer{value: res, table: func(w io.Writer) {
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

func newModelsShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "show MODEL [VERSION]",
		Short: "Show a version, champion by default: its run, metrics, losses, and strongest weights or most important features",
		Example: "  thalweg models show flight-delays\n" +
			"  thalweg models show flight-delays 2 -o json",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			m, v, err := c.version(cmd.Context(), args[0], cmp.Or(argument(args, 1), thalweg.DefaultAlias))
			if err != nil {
				return answer{}, err
			}
			res, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: v.RunId})
			if thalweg.Is(err, thalweg.NotFound) { // the version outlives the record of its run
				res, err = &apiv1.GetRunResponse{Run: &apiv1.Run{}}, nil
			}
			if err != nil {
				return answer{}, err
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
			return answer{value: shown, table: func(w io.Writer) {
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
				printMetrics(w, v.Metrics)
				printEvaluation(w, res.Run)
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

// version finds a version by its number or an alias.
func (c *cluster) version(ctx context.Context, model, text string) (*apiv1.Model, *apiv1.ModelVersion, error) {
	m, err := findModel(ctx, c, model)
	if err != nil {
		return nil, nil, err
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		number = m.Aliases[text]
	}
	for _, v := range m.Versions {
		if v.Version == number {
			return m, v, nil
		}
	}
	return nil, nil, noVersion(m, text, "a number or an alias of `thalweg models`")
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

func newModelsPromote(g *globals) *cobra.Command {
	return newModelsMove(g, &cobra.Command{
		Use:     "promote MODEL VERSION",
		Short:   "Point an alias at a version; streams use champion",
		Example: "  thalweg models promote flight-delays 2",
	}, func(ctx context.Context, c *cluster, _ string, args []string) (uint64, error) {
		if v, err := strconv.ParseUint(args[1], 10, 64); err == nil {
			return v, nil
		}
		m, err := findModel(ctx, c, args[0])
		if err != nil {
			return 0, err
		}
		if v := m.Aliases[args[1]]; v > 0 {
			return v, nil
		}
		return 0, noVersion(m, args[1], "a number or an alias of `thalweg models`")
	})
}

func newModelsRollback(g *globals) *cobra.Command {
	return newModelsMove(g, &cobra.Command{
		Use:   "rollback MODEL",
		Short: "Point an alias at the version before its current one",
		Long: "rollback points an alias at the version before its current one. It passes over versions without\n" +
			"a checkpoint, and over those that did not pass their gates and were not promoted all the same.",
		Example: "  thalweg models rollback flight-delays",
	}, func(ctx context.Context, c *cluster, alias string, args []string) (before uint64, err error) {
		m, err := findModel(ctx, c, args[0])
		for _, v := range m.GetVersions() {
			rejected := v.Rejected != "" && !slices.Contains(m.Replaced[alias].GetVersions(), v.Version)
			if v.Version < m.Aliases[alias] && !v.Retired && !v.Collected && !rejected {
				before = max(before, v.Version)
			}
		}
		if err == nil && before == 0 {
			err = &thalweg.Error{Op: "roll back", Kind: thalweg.NotFound, Subject: args[0],
				Hint: "there is no version before the one that " + alias + " names"}
		}
		return before, err
	})
}

// newModelsMove makes a verb of a function that tells which version an alias is to
// point at.
func newModelsMove(g *globals, cmd *cobra.Command, to func(ctx context.Context, c *cluster, alias string, args []string) (uint64, error)) *cobra.Command {
	alias := cmd.Flags().String("alias", thalweg.DefaultAlias, "the alias to move")
	cmd.RunE = g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
		v, err := to(cmd.Context(), c, *alias, args)
		if err != nil {
			return answer{}, err
		}
		res, err := c.Promote(cmd.Context(), &apiv1.PromoteRequest{Model: args[0], Alias: *alias, Version: v})
		return answer{value: res, table: func(w io.Writer) {
			fmt.Fprintf(w, "%s of %s is now version %d (was %d)\n", *alias, args[0], v, res.Previous)
			if res.Rejected != "" {
				fmt.Fprintln(w, "it did not pass its gates: "+res.Rejected)
			}
		}}, err
	})
	return cmd
}

func findModel(ctx context.Context, c *cluster, name string) (*apiv1.Model, error) {
	res, err := c.ListModels(ctx, &apiv1.ListModelsRequest{Model: name, Retired: true})
	if err != nil {
		return nil, err
	}
	for _, m := range res.Models {
		if m.Name == name {
			return m, nil
		}
	}
	return nil, &thalweg.Error{Op: "find model", Kind: thalweg.NotFound, Subject: name, Hint: "see `thalweg models`"}
}

// noVersion says that a model has no such version, and which alias may be meant.
func noVersion(m *apiv1.Model, text, want string) error {
	return &thalweg.Error{Op: "find model version", Kind: thalweg.NotFound, Subject: m.Name + " " + text,
		Hint: cmp.Or(spelling.Hint(text, maps.Keys(m.Aliases)), want)}
}

// checkpointOf returns the checkpoint of a version, if it is kept.
func checkpointOf(model string, v *apiv1.ModelVersion) (thalweg.CheckpointRef, error) {
	if v.Collected {
		return thalweg.CheckpointRef{}, &thalweg.Error{Op: "find model version", Kind: thalweg.NotFound, Subject: fmt.Sprintf("%s %d", model, v.Version),
			Hint: "its checkpoint was collected (trainer.keep_checkpoints); `thalweg models` tells which versions have theirs"}
	}
	return thalweg.ParseObjectRef(v.Checkpoint)
}
