package main

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// draftRows is how many rows a spec is drafted from.
const draftRows = 100_000

func newNew(*globals) *cobra.Command {
	var from, label, topic, path string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Write a spec for a table: features, label, split, with comments",
		Long: "new reads a local Parquet file, or several by a pattern in quotes, and writes a\n" +
			"spec for it that can be validated and trained as it is. Columns that look like\n" +
			"identifiers, constants, or known only after the label are left out, and said.",
		Example: "  thalweg new --from flights.parquet --label 'delay > 15' > flights.yaml\n" +
			"  thalweg new --from 'visits-*.parquet' --label visits --topic visits > visits.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &draft{file: from, topic: topic, path: path}
			d.name = pipelineName(from)
			if d.path == "" {
				d.path = "s3://lake/" + d.name + "/*.parquet"
			}
			local, err := openLocal(cmd.Context(), from)
			if err != nil {
				return err
			}
			if err := d.profile(cmd.Context(), local); err != nil {
				return err
			}
			if err := d.readLabel(cmd.Context(), local, label); err != nil {
				return err
			}
			if d.chooseFeatures(); len(d.inputs) == 0 {
				return &thalweg.Error{Op: "draft spec", Kind: thalweg.Invalid, Subject: from,
					Err: fmt.Errorf("no column is left to learn from: %s", strings.Join(d.left, "; ")), Hint: "write the spec by hand"}
			}
			text := d.text()
			if _, err := pipeline.ParseAndCompile(catalog.All(), "the drafted spec", []byte(text), local.schema); err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "a local Parquet file, or several by a pattern in quotes")
	flags.StringVar(&label, "label", "", "what to predict: a column, or an expression over columns")
	flags.StringVar(&topic, "topic", "", "the Kafka topic whose JSON events are scored; without it nothing is")
	flags.StringVar(&path, "path", "", "where the data will lie (s3://bucket/prefix/*.parquet); default s3://lake/NAME/*.parquet")
	_ = cmd.MarkFlagRequired("from")
	_ = cmd.MarkFlagRequired("label")
	return cmd
}

// pipelineName makes a name of a pipeline of the name of a file.
func pipelineName(file string) string {
	base := strings.ToLower(filepath.Base(file))
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(base, "-"), "-")
	if name == "" {
		return "pipeline"
	}
	return name[:min(len(name), 40)]
}

// draft is a spec that is being made.
type draft struct {
	file, name, path, topic string

	columns []*draftColumn
	rows    int
	label   *expression.Program
	labels  []float32 // by row; NaN where there is none
	output  string    // as the spec has it, with what is said of it
	time    *draftColumn
	inputs  []string // likewise
	left    []string // out, with the reason
}

// profile looks at the first rows of each column.
func (d *draft) profile(ctx context.Context, local *localDataset) error {
	for _, c := range local.schema.Columns {
		d.columns = append(d.columns, newDraftColumn(c))
	}
	return d.firstRows(ctx, local, func(batch arrow.Record) error {
		d.rows += int(batch.NumRows())
		for i, c := range d.columns {
			c.observe(batch.Column(i))
		}
		return nil
	})
}

// firstRows calls look with batches of the first draftRows rows.
func (d *draft) firstRows(ctx context.Context, local *localDataset, look func(batch arrow.Record) error) error {
	left := int64(draftRows)
	return local.each(ctx, func(batch arrow.Record) error {
		part := batch.NewSlice(0, min(left, batch.NumRows()))
		defer part.Release()
		left -= part.NumRows()
		return look(part)
	})
}

// readLabel says what the output is, and looks at its values. A column of two texts
// is made a condition.
func (d *draft) readLabel(ctx context.Context, local *localDataset, label string) (err error) {
	refuse := func(err error, hint string) error {
		return &thalweg.Error{Op: "read --label", Kind: thalweg.Invalid, Subject: label, Err: err, Hint: hint}
	}
	name, source, says := "label", label, ""
	if c := d.column(label); c != nil {
		name, source = label, expression.Reference(label)
		if values := c.common(); c.Type == table.String && len(values) == 2 {
			source += " == " + quote(values[1])
			says = ", the rarer of two values"
		}
	}
	if d.label, err = expression.Compile(source, local.schema, nil); err != nil {
		return refuse(err, spelling.Hint(label, d.names()))
	}
	switch {
	case len(d.label.Columns()) == 0:
		return refuse(nil, "it reads no column")
	case d.label.Type() == table.String || d.label.Type() == table.Timestamp:
		return refuse(fmt.Errorf("it is a %s", d.label.Type()), `what is learned is a number, or true or false: write a condition such as status == "late"`)
	}
	seen := newDraftColumn(table.Column{Name: name, Type: d.label.Type()})
	if err := d.firstRows(ctx, local, func(batch arrow.Record) error {
		values, err := d.label.Eval(batch)
		if err != nil {
			return err
		}
		defer values.Release()
		seen.observe(values)
		return nil
	}); err != nil {
		return err
	}
	d.labels = seen.numbers
	switch {
	case seen.nulls == len(d.labels):
		return refuse(nil, "it is null in every row")
	case seen.moments.Squares == 0:
		return refuse(nil, fmt.Sprintf("it is %v in every row", seen.moments.Mean))
	}
	kind, what := "number", fmt.Sprintf("%.4g to %.4g", seen.min, seen.max)
	if seen.Type == table.Bool || seen.isBinary() {
		kind, what = "binary", fmt.Sprintf("true in %.3g %% of the rows", 100*seen.moments.Mean)
	}
	if source != expression.Reference(name) {
		for d.column(name) != nil {
			name += "_is"
		}
		d.output = fmt.Sprintf("{name: %s, type: %s, expression: %s}  # %s%s", plainOrQuoted(name), kind, quote(source), what, says)
	} else {
		d.output = fmt.Sprintf("{name: %s, type: %s}  # %s", plainOrQuoted(name), kind, what)
	}
	return nil
}

// column returns the column of a name, nil if there is none.
func (d *draft) column(name string) *draftColumn {
	if i := slices.IndexFunc(d.columns, func(c *draftColumn) bool { return c.Name == name }); i >= 0 {
		return d.columns[i]
	}
	return nil
}

func (d *draft) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, c := range d.columns {
			if !yield(c.Name) {
				return
			}
		}
	}
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// quote quotes a text for YAML and for expressions alike.
func quote(s string) string { return strconv.Quote(s) }

// plainOrQuoted writes a name for YAML.
func plainOrQuoted(s string) string {
	if identifier.MatchString(s) && !slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	return quote(s)
}

// chooseFeatures says what becomes of each column that the label does not read.
func (d *draft) chooseFeatures() {
	for _, c := range d.columns {
		if slices.Contains(d.label.Columns(), c.Name) {
			continue
		}
		if c.Type == table.Timestamp && d.time == nil && c.distinct() > 1 {
			d.time = c
		}
		if reason := c.reasonToLeaveOut(d.rows, d.labels); reason != "" {
			d.left = append(d.left, c.Name+": "+reason)
			continue
		}
		name := plainOrQuoted(c.Name)
		switch c.Type {
		case table.Timestamp:
			for _, part := range []string{"hour", "weekday"} {
				d.inputs = append(d.inputs, fmt.Sprintf("{name: %s, type: category, expression: %s}", plainOrQuoted(c.Name+"_"+part), quote(part+"("+expression.Reference(c.Name)+")")))
			}
		case table.String, table.Bool:
			d.inputs = append(d.inputs, fmt.Sprintf("{name: %s, type: category}  # %s", name, c.says(d.rows)))
		default:
			d.inputs = append(d.inputs, fmt.Sprintf("{name: %s, type: number}  # %s", name, c.says(d.rows)))
		}
	}
}

// text writes the spec.
func (d *draft) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Drafted from the first %s rows of %s. The comments are what they showed: change", thousands(int64(d.rows)), filepath.Base(d.file))
	line("# what you know better. `thalweg explain` tells of every field, `thalweg render` of the defaults.")
	line("apiVersion: thalweg/v1\nkind: Pipeline\nmetadata: {name: %s}\nspec:\n  sources:", d.name)
	line("    train: {s3: {path: %s}, format: {type: parquet}}", quote(d.path))
	if d.topic != "" {
		line("    events: {kafka: {topic: %s}, format: {type: json}}", quote(d.topic))
	}
	line("  input_features:")
	for _, in := range d.inputs {
		line("    - %s", in)
	}
	for _, out := range d.left {
		line("    # left out: %s", out)
	}
	line("  output_features:\n    - %s", d.output)
	if d.time != nil {
		line("  preprocessing:\n    # The earliest rows train, as the model will meet later ones than it knows.")
		line("    split: {type: datetime, column: %s, probabilities: [0.7, 0.15, 0.15]}", plainOrQuoted(d.time.Name))
	}
	if d.topic != "" {
		line("  scoring:\n    source: events\n    sink: {s3: {path: %s}, format: {type: parquet}}", quote("s3://lake/scored/"+d.name+"/"))
	}
	return b.String()
}
