package pipeline

import (
	"fmt"
	"maps"
	"math"
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
}

// lineage is the source columns that a value reaches, each with the derived
// columns on the way, from the value to the source.
type lineage map[string][]link

// link is a derived column and the step that makes it.
type link struct{ column, step string }

func newStage(phase Phase, in table.Schema) *stage {
	s := &stage{phase: phase, schema: table.Schema{Unsupported: in.Unsupported},
		from: make(map[string]lineage), needs: make(map[string][]string), made: make(map[string]string)}
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

// put replaces a column, or adds it at the end.
func (s *stage) put(c table.Column) {
	s.schema.Columns = slices.Clone(s.schema.Columns)
	if i, _, ok := s.schema.Lookup(c.Name); ok {
		s.schema.Columns[i] = c
		return
	}
	s.schema.Columns = append(s.schema.Columns, c)
}

// step compiles one cleaning step in the phases that it applies to.
func (c *compiler) step(i int) {
	spec := c.spec.Spec.Preprocessing.Clean[i]
	operator, applyTo := spec.operator()
	path := fmt.Sprintf("spec.preprocessing.clean[%d].%s", i, operator)
	out := Step{Name: fmt.Sprintf("%d %s", i+1, operator), Spec: spec,
		Applies: Phases{Training: slices.Contains(*applyTo, InTraining), Scoring: slices.Contains(*applyTo, InScoring)}}
	for _, at := range []*stage{c.training, c.scoring} {
		// What is wrong in training is not said again for scoring.
		if out.Applies.Has(at.phase) && !c.found.covers(path) {
			if p := c.applyStep(&out, path, at); p != nil && out.Expression == nil {
				out.Expression = p
			}
		}
	}
	c.plan.Steps = append(c.plan.Steps, out)
}

// applyStep lets a step change a stage. It returns the step's expression.
func (c *compiler) applyStep(step *Step, path string, at *stage) *expression.Program {
	switch s := step.Spec; {
	case s.Trim != nil:
		c.textColumns(path, s.Trim.Columns, at)
	case s.Case != nil:
		c.textColumns(path, s.Case.Columns, at)
	case s.Filter != nil:
		return c.filter(path+".expression", s.Filter.Expression, at)
	case s.Derive != nil:
		return c.derive(step.Name, path+".expression", s.Derive, at)
	case s.Cast != nil:
		c.cast(path, s.Cast, at)
	case s.Fill != nil:
		c.fill(path, s.Fill, at)
	}
	return nil
}

// lookup returns a column of a stage, or notes that there is none.
func (c *compiler) lookup(path, name string, at *stage) (table.Column, bool) {
	_, column, ok := at.schema.Lookup(name)
	if !ok {
		c.missing(path, name, at.schema, at)
	}
	return column, ok
}

func (c *compiler) textColumns(path string, names []string, at *stage) {
	for i, name := range names {
		field := fmt.Sprintf("%s.columns[%d]", path, i)
		if column, ok := c.lookup(field, name, at); ok && column.Type != table.String {
			c.found.add(field, "", "column %s is %s, not string", name, column.Type)
		}
	}
}

func (c *compiler) filter(path, text string, at *stage) *expression.Program {
	p := c.compile(path, text, at)
	if p == nil {
		return nil
	}
	if p.Type() != table.Bool {
		c.found.add(path, "", "a filter keeps rows by a bool: this is %s", p.Type())
	}
	c.removes(path, p.Columns(), at)
	return p
}

// removes notes that a step of the scoring phase removes rows by columns.
func (c *compiler) removes(path string, columns []string, at *stage) {
	if at == c.scoring {
		c.removing = append(c.removing, removal{path, at.reach(columns)})
		c.require(at.needed(columns))
	}
}

func (c *compiler) derive(step, path string, s *DeriveStep, at *stage) *expression.Program {
	p := c.compile(path, s.Expression, at)
	if p == nil {
		return nil
	}
	from := make(lineage)
	for _, read := range p.Columns() {
		for source, chain := range at.from[read] {
			if _, ok := from[source]; !ok {
				from[source] = append([]link{{s.Column, step}}, chain...)
			}
		}
	}
	at.from[s.Column] = from
	at.needs[s.Column] = at.needed(p.Columns())
	at.made[s.Column] = step
	at.put(table.Column{Name: s.Column, Type: p.Type(), Nullable: true})
	return p
}

func (c *compiler) cast(path string, s *CastStep, at *stage) {
	column, ok := c.lookup(path+".column", s.Column, at)
	if !ok || column.Type == s.Type {
		return
	}
	if pair := [2]table.Type{column.Type, s.Type}; pair == [2]table.Type{table.Bool, table.Timestamp} || pair == [2]table.Type{table.Timestamp, table.Bool} {
		c.found.add(path+".type", "", "column %s is %s, which has no form as %s", s.Column, column.Type, s.Type)
		return
	}
	if s.OnError == "drop" {
		c.removes(path+".on_error", []string{s.Column}, at)
	} else {
		column.Nullable = true
	}
	column.Type = s.Type
	at.put(column)
}

func (c *compiler) fill(path string, s *FillStep, at *stage) {
	for i, name := range s.Columns {
		field := fmt.Sprintf("%s.columns[%d]", path, i)
		column, ok := c.lookup(field, name, at)
		if !ok {
			continue
		}
		if s.Strategy == fillWithConst && !c.holds(column.Type, s.Value) {
			c.found.add(path+".value", "", "column %s is %s, which cannot hold %v", name, column.Type, s.Value)
			return
		}
		column.Nullable = false
		at.put(column)
		if s.Strategy == fillWithConst {
			at.needs[name] = nil
		}
	}
	if s.Strategy == dropRow {
		c.removes(path+".strategy", s.Columns, at)
	}
}

// holds reports whether a column of type t can hold a scalar of YAML.
func (c *compiler) holds(t table.Type, v any) bool {
	x, isNumber := toNumber(v)
	text, isText := v.(string)
	_, isBool := v.(bool)
	switch t {
	case table.String:
		return true
	case table.Bool:
		return isBool
	case table.Float64:
		return isNumber
	case table.Int64:
		return isNumber && x == math.Trunc(x) && x >= math.MinInt64 && x < -math.MinInt64
	}
	if isText {
		for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05", time.DateOnly} {
			if _, err := time.ParseInLocation(layout, text, c.zone); err == nil {
				return true
			}
		}
	}
	return false
}
