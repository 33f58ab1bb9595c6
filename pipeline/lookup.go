package pipeline

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

//go:embed lookup.go
var lookupSource string

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
		at.files(l.S3.Path, l.Format.Name)
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
