// Package profile is the verb of that name: it says what the rows of a dataset or of a
// stream hold, and how two profiles differ.
package profile

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/profile"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	var from, file, connection string
	var cleaned bool
	var o choices
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "Say what the rows of a dataset hold",
		Long: "profile reads Parquet, CSV or JSON lines on this machine (a file, a folder, a pattern in\n" +
			"quotes) or in a store (s3://bucket/prefix/), or what the source of a spec names, and says of\n" +
			"each column what its values are: nulls, distinct values, extremes, quantiles, the most frequent\n" +
			"ones, what texts are written as, and what is suspicious: identifiers, leaks of the label,\n" +
			"personal data. A profile is the same bytes in whatever order the rows are. The rows are read\n" +
			"twice where a label is named, or a column has more than some 30,000 different values.",
		Example: "  thalweg profile --from flights.parquet\n" +
			"  thalweg profile --from 'flights*.parquet' -o json > flights.json\n" +
			"  thalweg profile -f flights.yaml --label 'delay > 15' --html flights.html\n" +
			"  thalweg profile -f flights.yaml --cleaned --where '_split == \"train\"'\n" +
			"  thalweg profile diff flights.json flights.json   # nothing has shifted",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var spec *pipeline.Spec
			var text string
			var rule pipeline.OnBadRow
			if cleaned && file == "" {
				return terminal.UsageError("--cleaned", "", "-f SPEC too, which says how rows are cleaned")
			}
			if file != "" {
				var err error
				if spec, text, err = verb.ParseSpec(file); err != nil {
					return err
				}
				rule = spec.Spec.Sources.Train.OnBadRow
			}
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			defer conns.Close()
			local, err := localdata.Open(cmd.Context(), conns, connection, from, spec)
			if err != nil {
				return err
			}
			rows := local.Rows()
			if spec != nil && spec.Spec.Sources.Train.LabelFile != nil && !cleaned {
				fmt.Fprintln(cmd.ErrOrStderr(), "note: rows are profiled as they lie, without the columns of the label file, which --cleaned joins")
			}
			if cleaned {
				warnings, err := local.Join(cmd.Context(), conns, spec, nil)
				if err != nil {
					return err
				}
				for _, text := range warnings {
					fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+text)
				}
				plan, err := pipeline.ParseAndCompile(catalog.All(), file, []byte(text), local.Schema)
				if err != nil {
					return err
				}
				if rows, err = local.CleanedRows(cmd.Context(), plan); err != nil {
					return err
				}
			}
			p, err := o.profile(cmd.Context(), rows, local.From)
			if err != nil {
				return err
			}
			for _, text := range local.Rejected(p.Rows, rule) {
				fmt.Fprintln(cmd.ErrOrStderr(), text)
			}
			return g.Print(cmd.OutOrStdout(), p, p.WriteTable)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the data: a file, a folder, a pattern in quotes, or s3://bucket/prefix/ (default: what the spec names)")
	flags.StringVarP(&file, "file", "f", "", "a spec, whose source says how the data are read: a file, or - for standard input")
	flags.StringVar(&connection, "connection", "", "the store of the data, by its name in the file of --connections")
	flags.BoolVar(&cleaned, "cleaned", false, "with -f: profile the rows as a run cleans them, and _split, which split each is in")
	o.register(cmd)
	cmd.MarkFlagsOneRequired("from", "file")
	cmd.AddCommand(newStream(g), newDiff(g))
	return cmd
}

// choices say what is profiled of rows, whatever they are of.
type choices struct{ where, label, page string }

func (o *choices) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.where, "where", "", "profile only the rows of which this expression is true")
	flags.StringVar(&o.label, "label", "", "what is to be predicted, a column or an expression: says what each column tells of it")
	flags.StringVar(&o.page, "html", "", "write the profile into this file too, as a page with plots that needs nothing else")
}

// profile profiles rows, and writes the page.
func (o *choices) profile(ctx context.Context, rows localdata.Rows, title string) (*profile.Profile, error) {
	rows, err := rows.Where(o.where)
	if err != nil {
		return nil, err
	}
	p, err := rows.Profile(ctx, o.label)
	if err != nil {
		return nil, err
	}
	if o.where != "" {
		title += " where " + o.where
	}
	return p, writePage(o.page, title, p, nil)
}

// writePage writes a page, unless its file has no name.
func writePage(file, title string, p *profile.Profile, d *profile.Diff) error {
	if file == "" {
		return nil
	}
	var out bytes.Buffer
	err := p.WriteHTML(&out, title, d)
	if err == nil {
		err = os.WriteFile(file, out.Bytes(), 0o644)
	}
	if err != nil {
		return &thalweg.Error{Op: "write page", Kind: thalweg.Invalid, Subject: file, Err: err}
	}
	return nil
}
