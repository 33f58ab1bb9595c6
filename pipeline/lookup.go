package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// LookupTable is a small table that rows are joined to: at most 200,000 rows, and 4 MiB
// of values with the other tables of the spec.
type LookupTable struct {
	// Name is what steps and tests call the table.
	Name string `yaml:"name" json:"name" jsonschema:"pattern=^[a-zA-Z0-9][-_a-zA-Z0-9]{0\\,62}$" means:"a name has letters, digits, '_' and '-', at most 63"`
	// Connection names the store that has the files. Default: the operator's default.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// S3 is where files lie, at most 1,000 of them.
	S3 *S3Location `yaml:"s3" json:"s3"`
	// Format is how rows are encoded, as that of the training data.
	Format Choice `yaml:"format,omitempty" json:"format,omitempty" catalog:"dataset_formats" refused:"json,avro" default:"parquet"`
	// Key says which columns of a row, on the left, have the values of which columns of
	// the table: {origin: iata}. They are strings, whole numbers, bools or timestamps,
	// and no two rows of the table have the same ones.
	Key map[string]string `yaml:"key" json:"key"`
	// Columns are those of the table that rows get. Default: none, for a table that
	// tests alone look at.
	Columns []string `yaml:"columns,omitempty" json:"columns,omitempty"`
}

const (
	// maxLookups bounds the tables of a spec.
	maxLookups = 50
	// lookupsPath is where they stand.
	lookupsPath = "spec.lookups"
)

// KeyColumns returns the columns of rows that have the key, and those of the table, in
// the order of the former.
func (l *LookupTable) KeyColumns() (rows, table []string) {
	rows = slices.Sorted(maps.Keys(l.Key))
	for _, name := range rows {
		table = append(table, l.Key[name])
	}
	return rows, table
}

// Check implements Checker.
func (l *LookupTable) Check(at Place) {
	if l.S3 != nil {
		at.files(l.S3.Path, l.Format)
	}
	if len(l.Key) == 0 {
		at.Problem("key", "write {COLUMN OF ROWS: COLUMN OF THE TABLE}", "the key names no columns")
	}
	seen := make(map[string]bool)
	rows, _ := l.KeyColumns()
	for _, name := range rows {
		of := l.Key[name]
		if seen[of] || of == "" {
			at.Problem("key", "", "column %q of the table is there twice, or has no name", of)
		}
		seen[of] = true
	}
	for i, name := range l.Columns {
		field := fmt.Sprintf("columns[%d]", i)
		if seen[name] {
			at.Problem(field, "derive a copy of the column of rows", "column %s of the table is there twice, or in its key", name)
		}
		seen[name] = true
		at.ColumnName(field, name)
	}
}

// lookup returns a table of the spec by name.
func (b *Body) lookup(name string) (int, *LookupTable) {
	i := slices.IndexFunc(b.Lookups, func(l LookupTable) bool { return l.Name == name })
	if i < 0 {
		return i, nil
	}
	return i, &b.Lookups[i]
}

// checkLookups checks the tables beside each other, and that each is used.
func (b *Body) checkLookups(at Place) {
	if len(b.Lookups) > maxLookups {
		at.Problem("lookups", "", "there are %d tables, at most %d are possible", len(b.Lookups), maxLookups)
	}
	used := make(map[string]bool)
	use := func(at Place, field string, options any) {
		if l, ok := options.(LooksUp); ok {
			used[l.LooksUp()] = true
			if _, known := b.lookup(l.LooksUp()); known == nil && l.LooksUp() != "" {
				at.Problem(field, b.nearestLookup(l.LooksUp()), "table %s is missing in lookups", l.LooksUp())
			}
		}
	}
	for i, step := range b.Preprocessing.Clean {
		use(at.in("preprocessing.clean").item(i).in(step.Name), "table", step.Options)
	}
	for i, test := range b.Tests {
		use(at.in("tests").item(i), test.Test.Name, test.Test.Options)
	}
	names := at.in("lookups").names("table")
	for i, l := range b.Lookups {
		if names(i, l.Name); !used[l.Name] && l.Name != "" {
			at.in("lookups").item(i).Problem("name", "add a cleaning step {lookup: {table: "+l.Name+"}}, or leave the table out", "table %s needs a step or a test that looks at it", l.Name)
		}
	}
}

// nearestLookup is a hint at the table that a name may mean.
func (b *Body) nearestLookup(name string) string {
	return spelling.Hint(name, func(yield func(string) bool) {
		for _, l := range b.Lookups {
			if !yield(l.Name) {
				return
			}
		}
	})
}

// LooksUp is options of a step or a test that looks at a table, and names it.
type LooksUp interface{ LooksUp() string }

// openLookups indexes the tables that were read, and returns those of the spec.
func (c *compiler) openLookups(have []*table.Lookup) (used []*table.Lookup) {
	c.lookups = make(map[string]*table.LookupIndex)
	total := 0
	for i := range c.spec.Spec.Lookups {
		l, path := &c.spec.Spec.Lookups[i], fmt.Sprintf("%s[%d]", lookupsPath, i)
		at := slices.IndexFunc(have, func(t *table.Lookup) bool { return t.Name == l.Name })
		if at < 0 {
			c.found.add(path+".name", "", "table %s was not read", l.Name)
			continue
		}
		_, names := l.KeyColumns()
		names = append(names, l.Columns...)
		x, err := table.OpenLookup(have[at])
		if total += have[at].Bytes(); err == nil && total > table.MaxLookupBytes {
			err = fmt.Errorf("the tables have more than %d MiB together", table.MaxLookupBytes>>20)
		}
		if err == nil && (x.Keys != len(l.Key) || !slices.EqualFunc(x.Columns, names, func(c table.Column, name string) bool { return c.Name == name })) {
			err = fmt.Errorf("the table that was read has other columns")
		}
		if err != nil {
			c.found.add(path, "", "%v", err)
			continue
		}
		c.lookups[l.Name] = x
		used = append(used, have[at])
	}
	return used
}

// table returns the table that a field names, nil after a problem.
func (c *compiler) table(path, name string) (*LookupTable, *table.LookupIndex) {
	i, l := c.spec.Spec.lookup(name)
	if l == nil {
		return nil, nil // which checkLookups has said
	}
	if c.found.covers(fmt.Sprintf("%s[%d]", lookupsPath, i)) {
		return nil, nil
	}
	return l, c.lookups[name]
}

// joins reports whether the values of a column can be those of the k-th column of a table's
// key, or says at a path why not.
func (c *compiler) joins(path string, column table.Column, x *table.LookupIndex, k int) bool {
	switch of := x.Columns[k]; {
	case column.PII != "":
		c.found.add(path, "leave pii out of the column, or do not look it up", "column %s has pii: %s, so that no key of table %s has its values", column.Name, column.PII, x.Name)
	case column.Type != of.Type:
		c.found.add(path, "cast one of them", "column %s is %s, and column %s of table %s is %s", column.Name, column.Type, of.Name, x.Name, of.Type)
	default:
		return true
	}
	return false
}

// Table returns the table that a field names, and the columns of rows that have its key;
// nil after a problem.
func (c *Columns) Table(field, name string) (_ *table.LookupIndex, key []string) {
	l, x := c.compiler.table(c.at(field), name)
	if x == nil {
		return nil, nil
	}
	key, _ = l.KeyColumns()
	for k, name := range key {
		column, ok := c.Lookup(field, name)
		if !ok || !c.compiler.joins(c.at(field), column, x, k) {
			return nil, nil
		}
	}
	return x, key
}

// LabelFile is files of any size with the columns of the label, to whose rows those of the
// training data are joined by a key in a shuffle. A row that none has the key of gets nulls,
// as does one without a key; it is counted, and a row of a null label is not learned from. So
// are labels of which no row has the key. Two rows of the files that have one key end the run;
// two rows of the training data may have one.
type LabelFile struct {
	// Connection names the store that has the files. Default: the operator's default.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// S3 is where files lie.
	S3 *S3Location `yaml:"s3" json:"s3"`
	// Format is how rows are encoded, as that of the training data. A row that cannot be
	// read ends the run.
	Format Choice `yaml:"format,omitempty" json:"format,omitempty" catalog:"dataset_formats" refused:"json,avro" default:"parquet"`
	// Key is the column, in the training data and in the files, by which rows are joined: a
	// string, a whole number or a timestamp, of one type in both.
	Key string `yaml:"key" json:"key" jsonschema:"minLength=1" example:"flight_id"`
	// Columns are those that rows get, in training only. The training data have none of
	// their names.
	Columns []string `yaml:"columns" json:"columns" jsonschema:"minItems=1,maxItems=16" example:"delay"`
}

const (
	labelFilePath = "spec.sources.train.label_file"
	// LabelStep is what counts call the join with the label file, and its pass.
	LabelStep = "label_file"
)

// labelKeyTypes are the types of a label file's key.
var labelKeyTypes = []table.Type{table.String, table.Int64, table.Timestamp}

// Check implements Checker.
func (f *LabelFile) Check(at Place) {
	if f.S3 != nil {
		at.files(f.S3.Path, f.Format)
	}
	for i, name := range f.Columns {
		field := fmt.Sprintf("columns[%d]", i)
		at.ColumnName(field, name)
		switch {
		case name == "":
			at.Problem(field, "", "the column has no name")
		case name == f.Key:
			at.Problem(field, "leave it out: rows have it", "column %s is the key", name)
		case slices.Contains(f.Columns[:i], name):
			at.Problem(field, "", "column %s appears twice", name)
		}
	}
}

// Declared is what a schema says of the columns in the label file, its key among them, or of
// those in the training data.
func (f *LabelFile) Declared(s *SchemaSpec, labels bool) (out SchemaSpec) {
	if s == nil {
		return out
	}
	if out = *s; f != nil {
		out.Columns = nil
		for _, c := range s.Columns {
			if joined := slices.Contains(f.Columns, c.Name); joined == labels || c.Name == f.Key {
				out.Columns = append(out.Columns, c)
			}
		}
	}
	return out
}

// checkLabelFile checks what the schema says of the columns that are joined.
func (b *Body) checkLabelFile(at Place) {
	f := b.Sources.Train.LabelFile
	if f == nil || b.Schema == nil {
		return
	}
	for i, c := range b.Schema.Columns {
		of := at.in("schema.columns").item(i)
		switch {
		case c.Name == f.Key && (c.PII == table.PIIMask || c.PII == table.PIIDrop):
			of.Problem("pii", "write pii: hash", "column %s is the key of label_file, and with pii: %s no value of it is left to join by", c.Name, c.PII)
		case !slices.Contains(f.Columns, c.Name):
		case slices.Contains(c.AvailableIn, InScoring):
			of.Problem("available_in", "write available_in: [training]", "column %s comes from label_file, which events do not have", c.Name)
		case c.Nullable != nil && !*c.Nullable:
			of.Problem("nullable", "leave it out", "column %s comes from label_file, and a row that is not in it has null", c.Name)
		case c.PII == table.PIIDrop:
			of.Problem("pii", "leave the column out of label_file", "column %s has pii: drop", c.Name)
		}
	}
}

// labels adds the columns of the label file in training, before all steps.
func (c *compiler) labels(have table.Schema) {
	f := c.spec.Spec.Sources.Train.LabelFile
	if f == nil {
		return
	}
	c.passes(labelFilePath)
	if have.Labels == nil {
		c.found.add(labelFilePath, "", "the files were not read")
		return
	}
	of := *have.Labels
	files := table.Schema{Columns: of.Columns, Unsupported: of.Unsupported}
	_, key, known := c.plan.Input.Lookup(f.Key)
	_, column, ok := files.Lookup(f.Key)
	switch at := labelFilePath + ".key"; {
	case !known:
		c.missing(at, f.Key, c.plan.Input, nil)
	case !ok:
		c.missing(at, f.Key, files, nil)
	case !slices.Contains(labelKeyTypes, column.AtSource().Type):
		c.found.add(at, "", "column %s is %s: rows are joined by %s", f.Key, column.AtSource().Type, anyOf(labelKeyTypes))
	case key.AtSource().Type != column.AtSource().Type:
		c.found.add(at, "write the files with one type", "column %s is %s in the training data, and %s in the label file", f.Key, key.AtSource().Type, column.AtSource().Type)
	}
	key.Nullable, key.From = true, ""
	c.uses(c.training, []string{f.Key}, LabelStep)
	of.Columns, of.Unsupported = []table.Column{key}, nil
	for i, name := range f.Columns {
		path := fmt.Sprintf("%s.columns[%d]", labelFilePath, i)
		_, column, ok := files.Lookup(name)
		column = column.AtSource()
		declared := slices.IndexFunc(c.spec.Spec.Schema.Columns, func(d ColumnSpec) bool { return d.Name == name })
		_, _, twice := have.Lookup(name)
		switch {
		case !ok:
			c.missing(path, name, files, nil)
			continue
		case twice:
			c.found.add(path, "leave it out here, or write the training data without it", "the training data have a column %s too", name)
			continue
		case !slices.Contains(table.ValueTypes, column.Type):
			c.found.add(path, "write a column for each part", "columns of type %s are not joined", column.Type)
			continue
		case declared >= 0 && c.spec.Spec.Schema.Columns[declared].Type != column.Type:
			c.found.add(fmt.Sprintf("spec.schema.columns[%d].type", declared), fmt.Sprintf("declare it as %s and add a cast step", column.Type), "column %s is %s in the label file", name, column.Type)
			continue
		}
		column = table.Column{Name: name, Type: column.Type, Nullable: true, TrainingOnly: true}
		if declared >= 0 {
			column = c.spec.Spec.Schema.Columns[declared].protect(column)
		}
		of.Columns = append(of.Columns, column)
		c.training.schema.Columns = append(c.training.schema.Columns, column)
		c.training.from[name], c.training.needs[name] = lineage{name: nil}, []string{name}
	}
	c.plan.Input.Labels = &of
	c.plan.Steps = append(c.plan.Steps, PlannedStep{Name: LabelStep, Training: &unjoined{f.Key, of.Columns[1:]}})
}

// unjoined is the join with the label file, before anybody has said what the shuffle found.
type unjoined struct {
	key     string
	columns []table.Column
}

// Shuffle implements Shuffler.
func (o *unjoined) Shuffle() Shuffle { return Shuffle{Keys: []string{o.key}, Labels: o.columns} }

// With implements Shuffler.
func (o *unjoined) With(found *Settled) Op { return &joinLabels{*o, found} }

// Apply implements Op.
func (*unjoined) Apply(context.Context, memory.Allocator, arrow.Record, *Report) (arrow.Record, error) {
	return nil, ErrUnsettled
}

// joinLabels gives rows the values that were found for them.
type joinLabels struct {
	unjoined
	found *Settled
}

// Apply implements Op. It counts the rows that no label was found for, those without a key
// by themselves.
func (o *joinLabels) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *Report) (arrow.Record, error) {
	cells, missing := make([]string, batch.NumRows()), batch.NumRows()
	for i, at := range o.found.In(batch) {
		cells[i] = o.found.Values[at]
		missing--
	}
	for _, i := range batch.Schema().FieldIndices(o.key) {
		keyless := int64(batch.Column(i).NullN())
		rep.NotMatched(LabelStep+", no "+o.key, keyless)
		missing -= keyless
	}
	rep.NotMatched(LabelStep, missing)
	added, err := table.JoinCells(mem, o.columns, cells)
	defer func() {
		for _, a := range added {
			a.Release()
		}
	}()
	if err != nil {
		return nil, err
	}
	last := int(batch.NumCols()) - 1 // table.RowColumn
	fields, columns := slices.Clone(batch.Schema().Fields()), slices.Clone(batch.Columns())
	for i, c := range o.columns {
		fields = slices.Insert(fields, last+i, arrow.Field{Name: c.Name, Type: c.Type.ArrowType(), Nullable: true})
		columns = slices.Insert(columns, last+i, added[i])
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, batch.NumRows()), nil
}
