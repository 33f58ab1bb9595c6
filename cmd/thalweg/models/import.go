package models

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/worker/cluster"
)

// LightGBMTolerance is how far a sum of float64s may be off: as far as another order
// of adding them would bring it.
const LightGBMTolerance = 1e-9

// Imported is a model that was imported.
type Imported struct {
	// From is what a spec says: model: {type: trees, from: …}.
	From    string  `json:"from"`
	Library string  `json:"library"`
	Trees   int     `json:"trees"`
	Inputs  int     `json:"inputs"`
	Rows    int64   `json:"sample_rows"`
	Worst   float64 `json:"largest_difference"`
}

func newImport(g *verb.Globals) *cobra.Command {
	var expect, name, column string
	cmd := &cobra.Command{
		Use:   "import FILE --expect SAMPLE.parquet",
		Short: "Take over trees of LightGBM or XGBoost, once they score a sample as their library did",
		Long: "import reads a model that LightGBM has saved as text, or XGBoost as JSON, and keeps it for specs\n" +
			"to name: model: {type: trees, from: NAME@HASH}. SAMPLE holds rows that the library has\n" +
			"scored: the model's inputs by their names, and in one more column the sums of the trees\n" +
			"(LightGBM: predict(rows, raw_score=True); XGBoost: predict(rows, output_margin=True)).\n" +
			"A model is taken if all sums are met: LightGBM's to 1e-9, XGBoost's, which are of float32s,\n" +
			"to the bit.",
		Example:     "  thalweg models import model.txt --expect sample.parquet --name flights-lightgbm",
		Annotations: map[string]string{verb.UsesFlags: verb.Reads + "state-bucket"},
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if name == "" {
				name = strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimSuffix(filepath.Base(args[0]), filepath.Ext(args[0]))), "-"), "-")
			}
			if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`).MatchString(name) {
				return verb.Answer{}, terminal.UsageError("--name", name, "small letters, digits and -, as in flights-lightgbm")
			}
			data, err := terminal.ReadFile("import model", args[0], imported.MaxFileBytes, "")
			if err != nil {
				return verb.Answer{}, err
			}
			e, err := imported.Parse(args[0], data)
			if err != nil {
				return verb.Answer{}, err
			}
			out := Imported{From: imported.Reference(name, e), Library: e.Library, Trees: len(e.Trees), Inputs: len(e.Inputs)}
			if err := tryImported(cmd.Context(), c, e, expect, column, &out); err != nil {
				return verb.Answer{}, err
			}
			state, err := c.State(cmd.Context())
			if err != nil {
				return verb.Answer{}, err
			}
			if _, err := state.Put(cmd.Context(), imported.Key(out.From), e.Encode()); err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{Value: out, Table: func(w io.Writer) {
				fmt.Fprintf(w, "%d trees of %s, which read %d features, score %s rows as expected (largest difference %.3g)\n\nmodel: {type: trees, from: %s}\n",
					out.Trees, out.Library, out.Inputs, humanize.Comma(out.Rows), out.Worst, out.From)
			}}, nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&expect, "expect", "", "Parquet with rows and what the library makes of them: a file, a folder, or s3://bucket/prefix/")
	flags.StringVar(&column, "sums", "", "the sample's column of sums; default: the one that is no input of the model, or else raw")
	flags.StringVar(&name, "name", "", "what specs shall call the model; default: the file's name")
	verb.Must(cmd.MarkFlagRequired("expect"))
	return cmd
}

// tryImported scores the sample and refuses the ensemble unless all sums are as they
// shall be.
func tryImported(ctx context.Context, c *cluster.Client, e *imported.Ensemble, expect, column string, out *Imported) error {
	refuse := func(hint, format string, args ...any) error {
		return &thalweg.Error{Op: "import model", Kind: thalweg.Invalid, Subject: expect, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	sample, err := localdata.Open(ctx, c.Conns, "", expect, nil)
	if err != nil {
		return err
	}
	var others []string
	for name := range sample.Schema.Names() {
		if !slices.ContainsFunc(e.Inputs, func(in imported.Input) bool { return in.Name == name }) {
			others = append(others, name)
		}
	}
	switch {
	case column != "":
	case len(others) == 1:
		column = others[0]
	default:
		column = "raw"
	}
	if !slices.Contains(others, column) {
		return refuse("name it by --sums", "there is no column %q of sums; columns that are no input: %s", column, strings.Join(others, ", "))
	}
	inputs, err := feature.NewImported(e)
	if err != nil {
		return err
	}
	add, err := model.Sums(e, inputs.Shape())
	if err != nil {
		return err
	}
	var wrong int64
	var first string
	err = sample.Each(ctx, func(batch arrow.Record) error {
		b, err := inputs.Block(batch)
		if err != nil {
			return err
		}
		sums := make([]float64, b.Rows)
		add(b, sums)
		want, ok := batch.Column(batch.Schema().FieldIndices(column)[0]).(*array.Float64)
		if !ok || want.NullN() > 0 {
			return refuse("", "column %q has something else than numbers, or nulls", column)
		}
		for i, sum := range sums {
			d := math.Abs(sum - want.Value(i))
			out.Worst = max(out.Worst, d)
			if !(d == 0 || !e.Single && d <= LightGBMTolerance*max(1, math.Abs(want.Value(i)))) {
				if wrong == 0 {
					first = fmt.Sprintf("row %d: %v, and not %v", out.Rows+int64(i), sum, want.Value(i))
				}
				wrong++
			}
		}
		out.Rows += batch.NumRows()
		return nil
	})
	switch {
	case err != nil:
		return err
	case out.Rows == 0:
		return refuse("", "it has no rows")
	case wrong > 0:
		return refuse("the sample must hold the rows as the model was given them, and sums, not probabilities: predict(rows, raw_score=True) of LightGBM, predict(rows, output_margin=True) of XGBoost; a model that stopped early has more trees than its best: save it with those alone",
			"%s of %s rows score otherwise than %s has it, the first is %s", humanize.Comma(wrong), humanize.Comma(out.Rows), "column "+column, first)
	}
	return nil
}
