package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline/counterfactual"
	"github.com/thalweg/thalweg/worker/cluster"
)

// maxRowBytes bounds a row that is read from a file.
const maxRowBytes = 1 << 20

func newCounterfactual(g *verb.Globals) *cobra.Command {
	var row string
	var above, below float64
	var cfg counterfactual.Config
	cmd := &cobra.Command{
		Use:   "counterfactual MODEL [VERSION] --row ROW",
		Short: "Find the smallest change of a row that turns a model's prediction",
		Long: "counterfactual finds, by a genetic search, the smallest change of a row's features that turns\n" +
			"the prediction of a version, champion by default. Values stay within what training saw: a\n" +
			"number within its range, a category one of its known values. Texts, sets and lists stay as\n" +
			"they are, and so do the features of --keep.\n\n" +
			"The distance is Gower's: a category that differs counts 1, a number the share of its training\n" +
			"range that it moved, and all is summed. The same seed finds the same. A search may miss a\n" +
			"smaller change; what it finds does turn the prediction.\n\n" +
			"The row is a JSON object with the fields of an event, @FILE with one, or - for standard\n" +
			"input: one that `thalweg results PIPELINE --head 1` prints will do.",
		Example: "  thalweg counterfactual flight-delays --row '{\"date\": \"2001-06-30T17:05:00Z\", …}'\n" +
			"  thalweg counterfactual flight-delays 2 --row @…row.json --keep origin,destination -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			body, err := readRow(cmd.InOrStdin(), row)
			if err != nil {
				return verb.Answer{}, err
			}
			if cmd.Flags().Changed("above") {
				cfg.Above = &above
			}
			if cmd.Flags().Changed("below") {
				cfg.Below = &below
			}
			m, v, err := c.FindRegistered(cmd.Context(), args[0], cmp.Or(verb.Argument(args, 1), thalweg.DefaultAlias))
			if err != nil {
				return verb.Answer{}, err
			}
			a, err := jobs.Artifact(cmd, c, m.Name, v)
			if err != nil {
				return verb.Answer{}, err
			}
			found, err := counterfactual.Find(cmd.Context(), a, body, cfg)
			if err != nil {
				return verb.Answer{}, err
			}
			out := verb.Answer{Value: found, Table: func(w io.Writer) { printCounterfactual(w, found) }}
			if found.After == nil {
				out.Failed = &thalweg.Error{Op: "find counterfactual", Kind: thalweg.NotFound, Subject: fmt.Sprintf("%s %d", m.Name, v.Version),
					Err: fmt.Errorf("none of %d rows within what training saw turns the prediction", found.Tried), Hint: "keep fewer features, or try another --seed"}
			}
			return out, nil
		}),
	}
	f := cmd.Flags()
	f.StringVar(&row, "row", "", "the row: a JSON object, @FILE, or - for standard input")
	f.StringSliceVar(&cfg.Keep, "keep", nil, "features that may not change")
	f.StringVar(&cfg.To, "to", "", "the prediction that is wanted: true, false or a class; default any other")
	f.Float64Var(&above, "above", 0, "what the prediction of a number is to exceed")
	f.Float64Var(&below, "below", 0, "what the prediction of a number is to stay below")
	f.Uint64Var(&cfg.Seed, "seed", 42, "of the search")
	verb.Must(cmd.MarkFlagRequired("row"))
	return cmd
}

// readRow returns the text of a row.
func readRow(in io.Reader, row string) ([]byte, error) {
	if path, ok := strings.CutPrefix(row, "@"); ok {
		f, err := os.Open(path)
		if err != nil {
			return nil, &thalweg.Error{Op: "read row", Kind: thalweg.NotFound, Subject: path, Err: err}
		}
		defer f.Close()
		in, row = f, "-"
	}
	if row != "-" {
		return []byte(row), nil
	}
	body, err := io.ReadAll(io.LimitReader(in, maxRowBytes+1))
	if err == nil && len(body) > maxRowBytes {
		err = &thalweg.Error{Op: "read row", Kind: thalweg.Exhausted, Subject: "row", Err: fmt.Errorf("more than %d bytes", maxRowBytes)}
	}
	return []byte(strings.TrimSpace(string(body))), err
}

func printCounterfactual(w io.Writer, r *counterfactual.Result) {
	fmt.Fprintf(w, "prediction %v, score %.6g\n", r.Before.Prediction, r.Before.Score)
	if r.After == nil {
		fmt.Fprintf(w, "no change was found among %d rows, seed %d\n", r.Tried, r.Seed)
	} else {
		fmt.Fprintf(w, "would be   %v, score %.6g, with distance %.4g (%d rows were tried, seed %d)\n", r.After.Prediction, r.After.Score, r.Distance, r.Tried, r.Seed)
		terminal.Row(w, "\nFEATURE", "NOW", "WANTED", "DISTANCE", "TRAINING HAD")
		for _, c := range r.Changes {
			within := "this value"
			if c.Range != nil {
				within = fmt.Sprintf("%g to %g", c.Range[0], c.Range[1])
			}
			terminal.Row(w, c.Feature, shownValue(c.From), shownValue(c.To), fmt.Sprintf("%.4g", c.Distance), within)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Kept)) {
		fmt.Fprintf(w, "\n%s stays: %s", name, r.Kept[name])
	}
	if len(r.Kept) > 0 {
		fmt.Fprintln(w)
	}
}

// shownValue is a value, or a word for one that is missing.
func shownValue(v any) string {
	if v == nil {
		return "(missing)"
	}
	return fmt.Sprint(v)
}
