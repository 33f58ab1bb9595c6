package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// stage is the columns of one phase at one place among its steps.
type stage struct {
	phase  Phase
	schema table.Schema
	// from tells what each column is made of.
	from map[string]lineage
	// needs are the source columns without which a column has no value: from,
	// but for what a step fills.
	needs map[string][]string
	// made names the step that made a column which the source does not have.
	made map[string]string
	// learnt names the step whose values, or what is made of them, a column has that are
	// not known before the training rows are.
	learnt map[string]string
}

// lineage is the source columns that a value reaches, each with the derived
// columns on the way, from the value to the source.
type lineage map[string][]link

// link is a derived column and the step that makes it.
type link struct{ column, step string }

func newStage(phase Phase, in table.Schema) *stage {
	s := &stage{phase: phase, schema: table.Schema{Unsupported: in.Unsupported},
		from: make(map[string]lineage), needs: make(map[string][]string), made: make(map[string]string), learnt: make(map[string]string)}
	for _, c := range in.Columns {
		if phase == InScoring && c.TrainingOnly {
			continue
		}
		s.schema.Columns = append(s.schema.Columns, c)
		s.from[c.Name] = lineage{c.Name: nil}
		s.needs[c.Name] = []string{c.Name}
	}
	return s
}

// reach returns the source columns that columns reach.
func (s *stage) reach(columns []string) lineage {
	out := make(lineage)
	for _, c := range columns {
		for source, chain := range s.from[c] {
			if _, ok := out[source]; !ok {
				out[source] = chain
			}
		}
	}
	return out
}

// needed returns the source columns without which columns have no value.
func (s *stage) needed(columns []string) []string {
	var out []string
	for _, c := range columns {
		out = append(out, s.needs[c]...)
	}
	return out
}

// meets returns the first source column, in order of names, that both reach.
func (l lineage) meets(other lineage) (source string, ok bool) {
	for _, source := range slices.Sorted(maps.Keys(l)) {
		if _, ok := other[source]; ok {
			return source, true
		}
	}
	return "", false
}

// way tells how a source column is reached: " by way of grade (2 derive) ←
// late (1 derive) ← delay", or nothing where it is read as it is.
func (l lineage) way(source string) string {
	if len(l[source]) == 0 {
		return ""
	}
	way := " by way of "
	for _, link := range l[source] {
		way += link.column + " (" + link.step + ") ← "
	}
	return way + source
}

// trainingOnly says why a column of the training phase is not there in the
// scoring phase, or "" where it is in neither.
func (c *compiler) trainingOnly(name string) string {
	if _, _, ok := c.training.schema.Lookup(name); !ok {
		return ""
	}
	if l := c.spec.Spec.Sources.Train.LabelFile; l != nil && slices.Contains(l.Columns, name) {
		return "it comes from sources.train.label_file"
	}
	if _, in, ok := c.plan.Input.Lookup(name); ok && in.TrainingOnly {
		return "it is available in training only"
	}
	return fmt.Sprintf("step %q makes it in training only", c.training.made[name])
}

// step binds one cleaning step in the phases that it applies to.
func (c *compiler) step(i int) {
	out := PlannedStep{Name: fmt.Sprintf("%d %s", i+1, c.spec.Spec.Preprocessing.Clean[i].Name)}
	out.Training = c.bind(i, c.training)
	out.Scoring = c.bind(i, c.scoring)
	c.plan.Steps = append(c.plan.Steps, out)
}

// bind lets a step change the columns of a phase, and returns its operator: nil
// where it does not apply, and where it is wrong. What is wrong in training is
// not said again for scoring.
func (c *compiler) bind(i int, at *stage) Op {
	choice := c.spec.Spec.Preprocessing.Clean[i]
	step := choice.Options.(StepSpec)
	path := fmt.Sprintf("spec.preprocessing.clean[%d].%s", i, choice.Name)
	if !slices.Contains(step.Phases().ApplyTo, at.phase) || at.phase == InScoring && !c.spec.Trains() || c.found.covers(path) {
		return nil
	}
	before := at.schema.Columns
	op := step.Bind(&Columns{Place{path, c.found}, c, at, fmt.Sprintf("%d %s", i+1, choice.Name), i == len(c.spec.Spec.Preprocessing.Clean)-1})
	if _, ok := op.(Shuffler); ok {
		c.shuffled(path)
	}
	if _, ok := op.(Learner); ok && !slices.EqualFunc(before, at.schema.Columns, sameColumn) {
		c.found.add(path, "", "a step that learns cannot change the names and types of columns")
	}
	return op
}

// sameColumn reports whether two columns have one name and one type.
func sameColumn(a, b table.Column) bool { return a.Name == b.Name && a.Type == b.Type }

// bindScoring binds the steps of the scoring phase once more: only now is it
// known which columns events can lack.
func (c *compiler) bindScoring() {
	at := newStage(InScoring, c.plan.ScoringInput)
	c.scoring = at
	first := len(c.plan.Steps) - len(c.spec.Spec.Preprocessing.Clean) // behind the join with labels
	for i := range c.spec.Spec.Preprocessing.Clean {
		c.plan.Steps[first+i].Scoring = c.bind(i, at)
	}
	for i := range c.plan.Tests {
		c.plan.Tests[i].Scoring = c.test(i, at)
	}
	c.plan.ScoringCleaned = at.schema
}

// Columns are the columns of one phase where a step finds them. The step says by
// its methods what it makes of them.
type Columns struct {
	Place
	compiler *compiler
	stage    *stage
	step     string
	last     bool
}

// Last reports whether no step comes after it.
func (c *Columns) Last() bool { return c.last }

// Step returns the name of the step for counters and reasons: "2 case".
func (c *Columns) Step() string { return c.step }

// Zone returns the time zone of text without an offset.
func (c *Columns) Zone() *time.Location { return c.compiler.zone }

// Lookup returns the column that a field names, or notes that there is none.
func (c *Columns) Lookup(field, name string) (table.Column, bool) {
	_, column, ok := c.stage.schema.Lookup(name)
	c.compiler.uses(c.stage, []string{name}, "step "+c.step)
	if !ok {
		c.compiler.missing(c.at(field), name, c.stage.schema, c.stage)
	}
	return column, ok
}

// Has reports whether there is a column of a name.
func (c *Columns) Has(name string) bool {
	_, _, ok := c.stage.schema.Lookup(name)
	return ok
}

// Compile compiles the expression of a field; nil after a problem.
func (c *Columns) Compile(field, text string) *expression.Program {
	program := c.compiler.compile(c.at(field), text, c.stage)
	if program != nil {
		c.compiler.uses(c.stage, program.Columns(), "step "+c.step)
	}
	return program
}

// Set changes the type of a column, or whether it may be null.
func (c *Columns) Set(column table.Column) {
	c.stage.schema.Columns = append(make([]table.Column, 0, len(c.stage.schema.Columns)+1), c.stage.schema.Columns...)
	if i, _, ok := c.stage.schema.Lookup(column.Name); ok {
		c.stage.schema.Columns[i] = column
		return
	}
	c.stage.schema.Columns = append(c.stage.schema.Columns, column)
}

// Fill notes that a column has a value in every row, whether events have one
// or not.
func (c *Columns) Fill(column table.Column) {
	column.Nullable = false
	c.Set(column)
	c.stage.needs[column.Name] = nil
}

// Learns notes that the step changes values of a column by what it learns from the
// training rows.
func (c *Columns) Learns(column string) { c.stage.learnt[column] = c.step }

// Derive adds a column that is made of others, or replaces it.
func (c *Columns) Derive(column table.Column, reads []string) {
	from := c.stage.reach(reads)
	for source, chain := range from {
		from[source] = append([]link{{column.Name, c.step}}, chain...)
	}
	c.stage.from[column.Name] = from
	c.stage.needs[column.Name] = c.stage.needed(reads)
	c.stage.made[column.Name] = c.step
	step := ""
	for _, name := range reads {
		step = cmp.Or(step, c.stage.learnt[name])
	}
	c.stage.learnt[column.Name] = step
	c.Set(column)
}

// Mix notes that values of a column become such as they are by other columns too.
func (c *Columns) Mix(column string, with ...string) {
	from := make(lineage)
	maps.Copy(from, c.stage.from[column])
	for source, chain := range c.stage.reach(with) {
		if _, ok := from[source]; !ok {
			from[source] = append([]link{{column, c.step}}, chain...)
		}
	}
	c.stage.from[column] = from
}

// Remove notes that the step removes rows by columns; field says so.
func (c *Columns) Remove(field string, columns []string) {
	if c.stage.phase == InScoring {
		c.compiler.removing = append(c.compiler.removing, removal{c.at(field), c.stage.reach(columns), "removed"})
		c.compiler.require(c.stage.needed(columns))
	}
}

// removal is a step or a test of the scoring phase that removes rows by columns.
type removal struct {
	path  string // of the field that names them
	reads lineage
	what  string // removed, or tested
}

// removals refuses steps that remove events by what the label reads.
func (c *compiler) removals() {
	for _, r := range c.removing {
		if source, ok := r.reads.meets(c.labelReads); ok {
			c.found.add(r.path, "write apply_to: [training]", "events cannot be %s by column %s%s: label %s reads it%s, and it is not known yet",
				r.what, source, r.reads.way(source), c.plan.Label.Name, c.labelReads.way(source))
		}
	}
}
