// Package draft writes a first spec for a table: types, features, a label, a split by
// time where there is one, with comments on what its rows showed and on what is left
// out. What it writes can be validated and trained as it is.
package draft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// maxRows is how many rows a spec is drafted from.
const maxRows = 100_000

// Source is the table.
type Source struct {
	// From is the path of it on this machine, or s3://bucket/prefix/; Pattern is what
	// names its objects below that.
	From, Pattern string
	// Format is how the objects are read, as a spec says it.
	Format string
	// Extension is how the names of the objects end.
	Extension string
	Schema    table.Schema
	// Each calls fn with batches of the rows in the canonical form, until one fails.
	Each func(ctx context.Context, fn func(batch arrow.Record) error) error
}

// Options say what a spec is for.
type Options struct {
	Label      string // a column, or an expression over columns
	Topic      string // of events in JSON; empty: nothing is scored
	Connection string // of the store that the data are in; empty: the default one
	// Bucket is where data of this machine will lie, unless Path says where.
	Bucket, Path string
}

// Spec drafts a spec. It fails with Invalid where the label cannot be learned or no
// column is left to learn from.
func Spec(ctx context.Context, s Source, o Options) (string, error) {
	d := &draft{Source: s, Options: o}
	d.place()
	if err := d.profile(ctx); err != nil {
		return "", err
	}
	if err := d.readLabel(ctx); err != nil {
		return "", err
	}
	if err := d.chooseFeatures(); err != nil {
		return "", err
	}
	return d.text(), nil
}

// place says what the pipeline is called, and where its data and its rows lie.
func (d *draft) place() {
	bucket, _, err := pipeline.SplitS3Path(d.From)
	stored := err == nil
	named := d.From
	if full, err := filepath.Abs(d.From); err == nil && !stored {
		named = filepath.ToSlash(full)
	}
	d.name = pipelineName(strings.TrimSuffix(named, d.Extension))
	d.path = cmp.Or(d.Path, "s3://"+cmp.Or(bucket, d.Bucket)+"/"+d.Pattern)
	if !stored && d.path == "s3://"+d.Bucket+"/"+d.Pattern {
		objects := "*" + d.Extension
		if strings.Contains(d.Pattern, "/") {
			objects = "**/" + objects
		}
		d.path = "s3://" + d.Bucket + "/" + d.name + "/" + objects
	}
	if bucket, _, err = pipeline.SplitS3Path(d.path); err == nil {
		d.sink = "s3://" + bucket + "/scored/" + d.name + "/"
	}
	if folder, _, found := strings.Cut(d.path, "*"); found && !stored {
		d.put = fmt.Sprintf("thalweg put %s %s", shellWord(d.From), folder)
	}
}

// shellWord writes a word as a shell takes it.
func shellWord(s string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./:-]+$`).MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// pipelineName makes a name of a pipeline of the last part of a path that has
// letters or digits of its own, a file's or a folder's.
func pipelineName(file string) string {
	for file = strings.TrimPrefix(file, "s3://"); file != ""; {
		i := strings.LastIndexByte(file, '/')
		base := file[i+1:]
		file = file[:max(0, i)]
		base = strings.ToLower(strings.TrimSuffix(base, path.Ext(base)))
		name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(base, "-"), "-")
		if name != "" {
			return strings.Trim(name[:min(len(name), 40)], "-")
		}
	}
	return "pipeline"
}

// draft is a spec that is being made.
type draft struct {
	Source
	Options
	name, path, sink string

	put     string // the command that puts the data where the spec has it; "": it is there
	columns []*column
	rows    int
	label   *expression.Program
	labels  []float32 // by row; NaN where there is none
	kind    string
	output  string // as the spec has it, with what is said of it
	time    *column
	clean   []string // likewise: steps
	inputs  []string // likewise
	left    []string // out, with the reason
	clash   []string // columns that scored rows cannot have
}

// profile looks at the first rows of each column.
func (d *draft) profile(ctx context.Context) error {
	for _, c := range d.Schema.Columns {
		d.columns = append(d.columns, newColumn(c))
	}
	return d.firstRows(ctx, func(batch arrow.Record) error {
		d.rows += int(batch.NumRows())
		for i, c := range d.columns {
			c.observe(batch.Column(i))
		}
		return nil
	})
}

// firstRows calls look with batches of the first maxRows rows.
func (d *draft) firstRows(ctx context.Context, look func(batch arrow.Record) error) error {
	left := int64(maxRows)
	enough := errors.New("enough")
	err := d.Each(ctx, func(batch arrow.Record) error {
		if left == 0 {
			return enough
		}
		part := batch.NewSlice(0, min(left, batch.NumRows()))
		defer part.Release()
		left -= part.NumRows()
		return look(part)
	})
	if errors.Is(err, enough) {
		return nil
	}
	return err
}

// readLabel says what the output is, and looks at its values. A column of two texts
// is made a condition.
func (d *draft) readLabel(ctx context.Context) (err error) {
	label := d.Label
	refuse := func(err error, hint string) error {
		return &thalweg.Error{Op: "read --label", Kind: thalweg.Invalid, Subject: label, Err: err, Hint: hint}
	}
	name, source, says := "label", label, ""
	c := d.find(label)
	if c != nil {
		name, source = label, expression.Reference(label)
		if value, why := c.positive(); value != "" {
			source, says = source+" == "+value, why
		}
	}
	if d.label, err = expression.Compile(source, d.Schema, nil); err != nil {
		return refuse(err, spelling.Hint(label, d.names()))
	}
	switch {
	case len(d.label.Columns()) == 0:
		return refuse(nil, "it reads no column")
	case d.label.Type().Element() != "":
		return refuse(fmt.Errorf("it is a %s", d.label.Type()), fmt.Sprintf("take an element, %s[0], or the length, len(%s)", label, label))
	case d.label.Type() == table.String || d.label.Type() == table.Timestamp:
		return refuse(fmt.Errorf("it is a %s", d.label.Type()), "what is learned is a number, or true or false: write "+c.condition())
	}
	seen := newColumn(table.Column{Name: name, Type: d.label.Type()})
	if err := d.firstRows(ctx, func(batch arrow.Record) error {
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
	d.kind = kind
	if source != expression.Reference(name) {
		for d.find(name) != nil {
			name += "_is"
		}
		d.output = fmt.Sprintf("{name: %s, type: %s, expression: %s}  # %s%s", plainOrQuoted(name), kind, quote(source), what, says)
	} else {
		d.output = fmt.Sprintf("{name: %s, type: %s}  # %s", plainOrQuoted(name), kind, what)
	}
	return nil
}

// column returns the column of a name, nil if there is none.
func (d *draft) find(name string) *column {
	if i := slices.IndexFunc(d.columns, func(c *column) bool { return c.Name == name }); i >= 0 {
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

// quote quotes a text for YAML and for expressions alike.
func quote(s string) string { return strconv.Quote(s) }

// plainName matches names that YAML reads as text.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// plainOrQuoted writes a name for YAML.
func plainOrQuoted(s string) string {
	if plainName.MatchString(s) && !slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	return quote(s)
}

// chooseFeatures says what becomes of each column that the label does not read;
// an error where none is left.
func (d *draft) chooseFeatures() error {
	refuse := func(hint, format string, args ...any) error {
		return &thalweg.Error{Op: "draft spec", Kind: thalweg.Invalid, Subject: d.From, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	taken := map[string]bool{}
	if d.Topic != "" {
		for _, c := range pipeline.OutputColumns(d.kind, false) {
			taken[strings.ToLower(c.Name)] = true
		}
	}
	for _, c := range d.columns {
		leave := func(reason string) { d.left = append(d.left, plainOrQuoted(c.Name)+": "+reason) }
		folded, clashes := strings.ToLower(c.Name), d.Topic != ""
		clashes, taken[folded] = clashes && taken[folded], true
		if clashes {
			d.clash = append(d.clash, c.Name)
		}
		switch read := slices.Contains(d.label.Columns(), c.Name); {
		case read && clashes:
			return refuse("give it another name in the data, or leave --topic out", "the label reads column %s, and scored rows have one of this name, or of one that differs in case only", c.Name)
		case read:
			continue
		case clashes:
			leave("scored rows have a column of this name, or of one that differs in case only")
			continue
		}
		if reason := c.reasonToLeaveOut(d.rows, d.labels); reason != "" {
			leave(reason)
			continue
		}
		steps, features, why := c.features(d.rows)
		d.clean = append(d.clean, steps...)
		if c.micros != nil && c.splits(d.time, d.labels) {
			d.time = c
		}
		if d.inputs = append(d.inputs, features...); len(features) == 0 {
			leave(why)
		}
	}
	for _, c := range d.Schema.Unsupported {
		if slices.ContainsFunc(d.Schema.Columns, func(of table.Column) bool { return strings.HasPrefix(of.Name, c.Name+".") }) {
			continue // its fields are columns
		}
		d.left = append(d.left, fmt.Sprintf("%s: no feature is made of %s", plainOrQuoted(c.Name), c.Type))
	}
	if len(d.inputs) == 0 {
		return refuse("write the spec by hand", "no column is left to learn from: %s", cmp.Or(strings.Join(d.left, "; "), "it has those of the label only"))
	}
	return nil
}

// text writes the spec.
func (d *draft) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Drafted from the first %s rows of %s. The comments are what they showed: change", humanize.Comma(int64(d.rows)), plainOrQuoted(path.Base(filepath.ToSlash(d.From))))
	line("# what you know better. `thalweg explain` tells of every field, `thalweg render` of the defaults.")
	if d.put != "" {
		line("# Next, beside `thalweg dev`: %q, then `thalweg apply -f` this file `--wait`.", d.put)
	}
	line("apiVersion: thalweg/v1\nkind: Pipeline\nmetadata: {name: %s}\nspec:\n  sources:", plainOrQuoted(d.name))
	connection := ""
	if d.Connection != "" {
		connection = "connection: " + plainOrQuoted(d.Connection) + ", "
	}
	line("    train: {%ss3: {path: %s}, format: %s}", connection, quote(d.path), d.Format)
	if d.Topic != "" {
		line("    events: {kafka: {topic: %s}, format: {type: json}}", quote(d.Topic))
	}
	if len(d.clash) > 0 {
		line("  schema:\n    columns:  # all but those that scored rows cannot have: %s", strings.Join(quoted(d.clash), ", "))
		for _, c := range d.columns {
			if !strings.HasPrefix(c.Name, "_") && !slices.Contains(d.clash, c.Name) {
				line("      - {name: %s, type: %s, nullable: %t}", plainOrQuoted(c.Name), c.Type, c.Nullable)
			}
		}
	}
	line("  input_features:")
	for _, in := range d.inputs {
		line("    - %s", in)
	}
	for _, out := range d.left {
		line("    # left out: %s", out)
	}
	line("  output_features:\n    - %s", d.output)
	if len(d.clean) > 0 || d.time != nil {
		line("  preprocessing:")
	}
	if len(d.clean) > 0 {
		line("    clean:")
		for _, step := range d.clean {
			line("      - %s", step)
		}
	}
	if d.time != nil {
		line("    # The earliest rows train, as the model will meet later ones than it knows.")
		line("    split: {type: datetime, column: %s, probabilities: [0.7, 0.15, 0.15]}", plainOrQuoted(d.time.Name))
	}
	if d.Topic != "" {
		line("  scoring:\n    source: events\n    sink: {%ss3: {path: %s}, format: {type: parquet}}", connection, quote(d.sink))
	}
	return b.String()
}

// quoted quotes texts.
func quoted(texts []string) (out []string) {
	for _, s := range texts {
		out = append(out, plainOrQuoted(s))
	}
	return out
}
