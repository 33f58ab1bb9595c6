package pipeline

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// DataTest is one test of the rows that the cleaning steps leave, of all splits. A row
// fails where what is asked of it is false; null is not false, so that a missing value
// passes all tests but not_null, as in SQL.
type DataTest struct {
	// Column is the cleaned column that is tested: value in the expressions of tests.
	Column string `yaml:"column,omitempty" json:"column,omitempty"`
	// Columns are those that a test of several has: unique.
	Columns []string `yaml:"columns,omitempty" json:"columns,omitempty"`
	// Test is what is asked of rows.
	Test Choice `yaml:",inline" json:"-" catalog:"tests"`
	// Severity of error fails the run, and makes an event that fails the test a dead
	// letter; that of warn is a warning of the run and the version, and a count of the
	// stream.
	Severity string `yaml:"severity,omitempty" json:"severity,omitempty" jsonschema:"enum=error,enum=warn" default:"error"`
	// ErrorIf is how many rows of the training data, or which share of all that cleaning
	// leaves, must fail for the run to fail: "> 100", "> 0.1%". Default > 0. Events, which
	// come one by one, have no limit.
	ErrorIf Limit `yaml:"error_if,omitempty" json:"error_if,omitempty"`
	// WarnIf is how many, or which share, must fail for a warning. Default > 0.
	WarnIf Limit `yaml:"warn_if,omitempty" json:"warn_if,omitempty"`
	// StoreFailures is how many of the failing rows a run keeps for you to look at: the
	// first ones of the training data. Default 100.
	StoreFailures *int `yaml:"store_failures,omitempty" json:"store_failures,omitempty" jsonschema:"minimum=0,maximum=10000"`
	StepPhases    `yaml:",inline" json:",inline"`
}

// TestSpec is the Options of an entry of the kind Tests.
type TestSpec interface {
	// Condition is the expression of a column called value that is false for a row that
	// fails, and whether it stands in the spec as it is; "" where no row is looked at.
	Condition() (text string, written bool)
}

// CountSpec is a TestSpec that looks at the number of rows alone.
type CountSpec interface {
	TestSpec
	// Misses says how a number of rows is not as it should be, "" where it is.
	Misses(rows int64) string
}

// DistributionSpec is a TestSpec that looks at the values of all training rows of a column
// together.
type DistributionSpec interface {
	TestSpec
	Distribution()
}

const (
	// severityError is of tests that fail a run.
	severityError = "error"
	testedValue   = "value"
	// defaultStored is enough to see what is wrong.
	defaultStored = 100
)

// name is what counts, reasons and messages call the test in a place of the list.
func (t *DataTest) name(i int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", i+1, t.Test.Name, strings.Join(t.tested(), ", ")))
}

// tested returns the columns that are tested.
func (t *DataTest) tested() []string {
	if t.Column != "" {
		return []string{t.Column}
	}
	return t.Columns
}

// Fails reports whether failing rows end a run.
func (t *DataTest) Fails() bool { return t.Severity == severityError }

// Stored returns how many failing rows a run keeps.
func (t *DataTest) Stored() int {
	if t.StoreFailures == nil {
		return 0
	}
	return *t.StoreFailures
}

// Defaults implements Defaulter.
func (t *DataTest) Defaults(at Place) {
	Default(at, "severity", &t.Severity, severityError)
	_, counts := t.Test.Options.(CountSpec)
	_, whole := t.Test.Options.(DistributionSpec)
	if counts || whole || shuffles(t.Test.Options) {
		DefaultList(at, "apply_to", &t.ApplyTo, InTraining)
	}
	if counts || whole {
		return
	}
	if t.Fails() {
		Default(at, "error_if", &t.ErrorIf, "> 0")
	}
	Default(at, "warn_if", &t.WarnIf, "> 0")
	if stored := defaultStored; t.StoreFailures == nil {
		t.StoreFailures = &stored
	}
}

// Check implements Checker.
func (t *DataTest) Check(at Place) {
	spec, ok := t.Test.Options.(TestSpec)
	if !ok {
		at.Problem("", "", "what is tested is missing: one of %s belongs here", strings.Join(at.found.catalog.names(Tests), ", "))
		return
	}
	at.phases("apply_to", t.ApplyTo)
	if !t.Fails() && t.ErrorIf != "" {
		at.Problem("error_if", "leave it out, or write severity: error", "a test of severity warn fails no run")
	}
	if _, counts := spec.(CountSpec); counts {
		t.checkCount(at)
		return
	}
	if _, whole := spec.(DistributionSpec); whole {
		t.checkDistribution(at)
		return
	}
	if shuffles(spec) {
		t.checkKey(at)
		return
	}
	if t.Column == "" {
		at.Problem("column", "", "the field is missing")
	}
	if len(t.Columns) > 0 {
		at.Problem("columns", "write a test for each column", "%s looks at one column", t.Test.Name)
	}
	if text, written := spec.Condition(); written && at.found.checkSyntax {
		checkText(text, at.at(t.Test.Name), rule{expression: true}, at.found)
	}
}

// checkKey checks a test of the rows of each key.
func (t *DataTest) checkKey(at Place) {
	switch {
	case len(t.tested()) == 0:
		at.Problem("columns", "", "the field is missing")
	case t.Column != "" && len(t.Columns) > 0:
		at.Problem("column", "name it in columns", "only one of column and columns can be there")
	}
	for i, name := range t.Columns {
		if slices.Contains(t.Columns[:i], name) {
			at.Problem(fmt.Sprintf("columns[%d]", i), "", "column %s appears twice", name)
		}
	}
	t.TrainingOnly(at, t.Test.Name)
}

// checkCount checks a test of the number of rows.
func (t *DataTest) checkCount(at Place) {
	if t.Column != "" {
		at.Problem("column", "leave it out", "%s looks at no single row", t.Test.Name)
	}
	t.checkWhole(at)
}

// checkDistribution checks a test of all values of a column.
func (t *DataTest) checkDistribution(at Place) {
	if t.Column == "" {
		at.Problem("column", "", "the field is missing")
	}
	t.checkWhole(at)
}

// checkWhole checks a test that looks at no single row.
func (t *DataTest) checkWhole(at Place) {
	for _, f := range []struct {
		name string
		set  bool
	}{{"columns", len(t.Columns) > 0}, {"error_if", t.ErrorIf != ""}, {"warn_if", t.WarnIf != ""}, {"store_failures", t.StoreFailures != nil}} {
		if f.set {
			at.Problem(f.name, "leave it out", "%s looks at no single row", t.Test.Name)
		}
	}
	t.TrainingOnly(at, t.Test.Name)
}

// PlannedTest is one data test, bound to the columns of each phase in which it applies.
type PlannedTest struct {
	Name string // "2 regex origin": position from 1, test and column
	Spec *DataTest
	// Training and Scoring are its condition; nil where the test looks at no row of the
	// phase.
	Training, Scoring Condition
	// Key is what rows fail by that are not the first of it; nil where single rows fail.
	Key *Shuffle
}

// Condition is what a test asks of rows, whose tested column is called value.
type Condition interface {
	// Eval returns a bool for each row of a batch, null where nothing is asked of it. The
	// caller releases it.
	Eval(batch arrow.Record) (arrow.Array, error)
	// Source is what is asked, for people.
	Source() string
}

// inTable is the Condition that a table has a value as a key.
type inTable struct{ table *table.LookupIndex }

// Source implements Condition.
func (t *inTable) Source() string { return "value in lookup " + t.table.Name }

// Eval implements Condition.
func (t *inTable) Eval(batch arrow.Record) (arrow.Array, error) {
	value := batch.Column(batch.Schema().FieldIndices(testedValue)[0])
	valid, found := table.Valid(value), table.NewMask(value.Len())
	for i, row := range t.table.Find(value) {
		if row >= 0 {
			found.Set(i)
		}
	}
	return table.NewColumn(memory.DefaultAllocator, table.Bool, value.Len(), found.Buffer(memory.DefaultAllocator), valid), nil
}

// inTable binds a test of a table; nil after a problem.
func (c *compiler) inTable(field, of string, column table.Column) Condition {
	_, x := c.table(field, of)
	switch {
	case x == nil:
		return nil
	case x.Keys > 1:
		c.found.add(field, "derive a column that joins them, in the rows and in the table", "the key of table %s has %d columns, and a test looks at one", of, x.Keys)
		return nil
	case !c.joins(field, column, x, 0):
		return nil
	}
	return &inTable{x}
}

// PassName is what the test's pass over the rows is called.
func (t *PlannedTest) PassName() string { return "test " + t.Name }

// In returns the condition of a phase.
func (t *PlannedTest) In(phase Phase) Condition {
	if phase == InScoring {
		return t.Scoring
	}
	return t.Training
}

// Count returns how the test looks at the number of training rows; nil where it does not.
func (t *PlannedTest) Count() CountSpec {
	c, _ := t.Spec.Test.Options.(CountSpec)
	return c
}

// Whole reports whether the test looks at all values of a column together.
func (t *PlannedTest) Whole() bool {
	_, whole := t.Spec.Test.Options.(DistributionSpec)
	return whole
}

// distribution holds the column of a test of all its values against the columns that the
// steps leave.
func (c *compiler) distribution(i int) {
	t, path := &c.spec.Spec.Tests[i], fmt.Sprintf("spec.tests[%d]", i)
	if _, whole := t.Test.Options.(DistributionSpec); !whole || c.found.covers(path) {
		return
	}
	switch _, column, ok := c.training.schema.Lookup(t.Column); {
	case !c.spec.Trains():
		c.found.add(path, "test its range or accepted_values", "%s compares rows with those of a version, and a pipeline with output has none", t.Test.Name)
	case !ok:
		c.missing(path+".column", t.Column, c.training.schema, c.training)
	case !slices.Contains([]table.Type{table.Int64, table.Float64, table.String, table.Bool}, column.Type):
		c.found.add(path+".column", "", "%s compares numbers, strings and bools: column %s is %s", t.Test.Name, t.Column, column.Type)
	default:
		c.uses(c.training, []string{t.Column}, "test "+t.name(i))
	}
}

// WithValue returns the columns, of which the one called value is the tested one.
func WithValue[T any](columns []T, name func(T) string, value T) []T {
	out := slices.DeleteFunc(slices.Clone(columns), func(c T) bool { return name(c) == testedValue })
	return append(out, value)
}

// test binds a data test to the columns that the steps of a phase leave.
func (c *compiler) test(i int, at *stage) Condition {
	t, path := &c.spec.Spec.Tests[i], fmt.Sprintf("spec.tests[%d]", i)
	text, written := t.Test.Options.(TestSpec).Condition()
	of, looksUp := t.Test.Options.(LooksUp)
	if text == "" && !looksUp || !slices.Contains(t.ApplyTo, at.phase) || at.phase == InScoring && !c.spec.Trains() || c.found.covers(path) {
		return nil
	}
	_, column, ok := at.schema.Lookup(t.Column)
	if !ok {
		c.missing(path+".column", t.Column, at.schema, at)
		return nil
	}
	field := path + "." + t.Test.Name
	if looksUp {
		condition := c.inTable(field, of.LooksUp(), column)
		c.tested(i, field, at, []string{t.Column})
		return condition
	}
	column.Name = testedValue
	tested := *at
	tested.schema.Columns = WithValue(at.schema.Columns, func(c table.Column) string { return c.Name }, column)
	var program *expression.Program
	if written {
		program = c.compile(field, text, &tested)
	} else {
		var err error
		if program, err = expression.Compile(text, tested.schema, c.zone); err != nil {
			c.found.add(field, "", "it does not go with column %s, which is %s: %s", t.Column, column.Type, text)
		} else if !c.found.pattern(field, program.PatternSize()) {
			program = nil
		}
	}
	switch {
	case program == nil:
		return nil
	case program.Type() != table.Bool:
		c.found.add(field, "", "a row passes a test by a bool: this is %s", program.Type())
	}
	reads := slices.Clone(program.Columns())
	for k, name := range reads {
		if name == testedValue {
			reads[k] = t.Column
		}
	}
	c.tested(i, field, at, reads)
	return program
}

// tested notes what a test reads.
func (c *compiler) tested(i int, field string, at *stage, reads []string) {
	t := &c.spec.Spec.Tests[i]
	c.uses(at, append(reads, t.Column), "test "+t.name(i))
	if at.phase == InScoring {
		c.removing = append(c.removing, removal{field, at.reach(reads), "tested"})
	}
}

// tests binds the data tests in both phases.
func (c *compiler) tests() {
	for i := range c.spec.Spec.Tests {
		if c.found.full() {
			return
		}
		t := &c.spec.Spec.Tests[i]
		c.distribution(i)
		c.plan.Tests = append(c.plan.Tests, PlannedTest{t.name(i), t, c.test(i, c.training), c.test(i, c.scoring), c.key(i)})
	}
}

// key binds a test of the rows of each key to the columns that all steps leave.
func (c *compiler) key(i int) *Shuffle {
	t, path := &c.spec.Spec.Tests[i], fmt.Sprintf("spec.tests[%d]", i)
	if !shuffles(t.Test.Options) || c.found.covers(path) {
		return nil
	}
	at := &Columns{Place{path, c.found}, c, c.training, "test " + t.name(i), false}
	for k, name := range t.tested() {
		field := "column"
		if t.Column == "" {
			field = fmt.Sprintf("columns[%d]", k)
		}
		at.Key(field, name)
	}
	c.passes(path)
	return &Shuffle{Keys: t.tested()}
}

// Limit is a number of rows, or a share of them: "> 100", ">= 0.1%".
type Limit string

var limitForm = regexp.MustCompile(`^(>=?) *([0-9]{1,15})(\.[0-9]{1,9})?(%?)$`)

// UnmarshalText reads > or >=, and a whole number or a percentage.
func (l *Limit) UnmarshalText(text []byte) error {
	m := limitForm.FindStringSubmatch(string(text))
	if m == nil || m[3] != "" && m[4] == "" {
		return fmt.Errorf("%q is no limit", text)
	}
	*l = Limit(m[1] + " " + m[2] + m[3] + m[4])
	of, _ := new(big.Rat).SetString(m[2] + m[3])
	if m[1] == ">=" && of.Sign() == 0 || m[4] != "" && of.Cmp(big.NewRat(100, 1)) > 0 {
		return fmt.Errorf("%q is no limit", text)
	}
	return nil
}

// Met reports whether n of all rows are as many as the limit says, to the row.
func (l Limit) Met(n, all int64) bool {
	m := limitForm.FindStringSubmatch(string(l))
	if m == nil {
		return false
	}
	than, _ := new(big.Rat).SetString(m[2] + m[3])
	if m[4] != "" {
		than.Mul(than, big.NewRat(all, 100))
	}
	order := big.NewRat(n, 1).Cmp(than)
	return order > 0 || order == 0 && m[1] == ">=" && n > 0
}

// Freshness bounds the age of the newest value of a column, from it to the time at which
// a run began: a run of older rows has a warning, or fails. One that its schedule started
// is judged also where no object is new. Times in the future are not old.
type Freshness struct {
	// Column is a timestamp, as it is read, before any cleaning step.
	Column string `yaml:"column" json:"column" jsonschema:"minLength=1"`
	// WarnAfter is the age beyond which the run and the version have a warning. Default 1
	// day, if there is no error_after either.
	WarnAfter *Age `yaml:"warn_after,omitempty" json:"warn_after,omitempty"`
	// ErrorAfter is the age beyond which the run fails.
	ErrorAfter *Age `yaml:"error_after,omitempty" json:"error_after,omitempty"`
}

// Age is a stretch of time.
type Age struct {
	// Count is how many periods it has.
	Count int `yaml:"count" json:"count" jsonschema:"minimum=1,maximum=100000"`
	// Period is 60 seconds, 60 minutes, or 24 hours.
	Period string `yaml:"period" json:"period" jsonschema:"enum=minute,enum=hour,enum=day"`
}

// periods are the values of Age.Period.
var periods = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

// Duration returns how long an age is.
func (a *Age) Duration() time.Duration { return time.Duration(a.Count) * periods[a.Period] }

// String returns an age as people write it: 2 days.
func (a *Age) String() string {
	if a.Count == 1 {
		return "1 " + a.Period
	}
	return fmt.Sprintf("%d %ss", a.Count, a.Period)
}

// Defaults implements Defaulter.
func (f *Freshness) Defaults(Place) {
	if f.WarnAfter == nil && f.ErrorAfter == nil {
		f.WarnAfter = &Age{Count: 1, Period: "day"}
	}
}

// Check implements Checker.
func (f *Freshness) Check(at Place) {
	if f.WarnAfter != nil && f.ErrorAfter != nil && f.WarnAfter.Duration() >= f.ErrorAfter.Duration() {
		at.Problem("warn_after", "warn earlier", "a run whose rows are older than %s fails after %s anyway", f.WarnAfter, f.ErrorAfter)
	}
}

// Judge says what is wrong with rows whose newest value is the given one, in microseconds
// since 1970 UTC, and nil where no row has any, in a run that began at a time. failed says
// that the run fails; an empty text that nothing is wrong.
func (f *Freshness) Judge(newest *int64, began time.Time) (text string, failed bool) {
	for _, limit := range []*Age{f.ErrorAfter, f.WarnAfter} {
		if limit == nil {
			continue
		}
		name := "warn_after"
		if failed = limit == f.ErrorAfter; failed {
			name = "error_after"
		}
		if newest == nil {
			return fmt.Sprintf("column %s has no value in any row, so that nobody knows how old they are; %s is %s", f.Column, name, limit), failed
		}
		value := time.UnixMicro(*newest).UTC()
		// A Duration holds 292 years, and timestamps lie further apart.
		if value.Add(limit.Duration()).Before(began) {
			return fmt.Sprintf("column %s: its newest value is %s, %s before the run began at %s; %s is %s", f.Column, value.Format(time.RFC3339), since(began.Unix()-value.Unix()), began.UTC().Format(time.RFC3339), name, limit), failed
		}
	}
	return "", false
}

// since is an age of so many seconds, in its two largest units.
func since(seconds int64) string {
	var parts []string
	for _, unit := range []struct {
		name    string
		seconds int64
	}{{"days", 24 * 3600}, {"hours", 3600}, {"minutes", 60}, {"seconds", 1}} {
		if n := seconds / unit.seconds; (n > 0 || unit.seconds == 1 && parts == nil) && len(parts) < 2 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
		}
		seconds %= unit.seconds
	}
	return strings.Join(parts, " ")
}

// freshness holds the column whose values say how old rows are against the schema.
func (c *compiler) freshness() {
	f := c.spec.Spec.Sources.Train.Freshness
	if f == nil {
		return
	}
	const path = "spec.sources.train.freshness.column"
	_, column, ok := c.plan.Input.Lookup(f.Column)
	switch {
	case !ok:
		c.missing(path, f.Column, c.plan.Input, nil)
	case column.Type != table.Timestamp:
		c.found.add(path, "declare it as a timestamp in spec.schema.columns, or name another", "column %s is %s, which is no time", f.Column, column.Type)
	case c.plan.Uses[f.Column] == "":
		c.plan.Uses[f.Column] = "spec.sources.train.freshness"
	}
}
