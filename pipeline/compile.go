package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Compile binds a spec to the schema of its training data: it resolves columns
// and types in both phases, compiles expressions, and refuses a feature that
// reaches a column which the label reads. What is wrong is reported at once, as
// Parse does it, as a *SpecError with the places in the text.
func Compile(s *Spec, input table.Schema) (*Plan, error) {
	c := &compiler{spec: s, found: &diagnostics{source: s.source, catalog: s.catalog}, plan: &Plan{Spec: s, Uses: make(map[string]string)},
		required: make(map[string]bool), read: make(map[string]bool)}
	zone, err := time.LoadLocation(s.Spec.Schema.Timezone)
	if err != nil {
		return nil, &thalweg.Error{Op: "compile spec", Kind: thalweg.Invalid, Subject: "spec.schema.timezone", Err: err}
	}
	c.zone = zone
	c.plan.Input = c.input(input)
	c.plan.Input.Lookups = c.openLookups(input.Lookups)
	c.training, c.scoring = newStage(InTraining, c.plan.Input), newStage(InScoring, c.plan.Input)
	c.labels(input)
	for i := range s.Spec.Preprocessing.Clean {
		if c.step(i); c.found.full() {
			return nil, c.found.err()
		}
	}
	c.plan.Cleaned = c.training.schema
	c.tests()
	c.split()
	if s.Trains() {
		c.label()
		c.features()
		c.crosses()
		c.slicing()
		c.removals()
	}
	c.outputColumns()
	c.watching()
	c.lateLabels()
	c.cleanedColumns()
	c.plan.ScoringInput, c.plan.Expected = c.scoringInput()
	c.bindScoring()
	c.eventColumns()
	c.rolling()
	c.freshness()
	if err := c.found.err(); err != nil {
		return nil, err
	}
	return c.plan, nil
}

// compiler follows the columns of a spec through its steps.
type compiler struct {
	spec  *Spec
	found *diagnostics
	plan  *Plan
	zone  *time.Location
	// training and scoring are the columns that each phase has behind the steps
	// so far.
	training, scoring *stage
	// labelReads are the source columns that the label reaches.
	labelReads lineage
	// required are the source columns without which an event is no row.
	required map[string]bool
	// read are the source columns that a feature or a step of scoring reads.
	read map[string]bool
	// lookups are the tables of the spec by name, nil where one cannot be used.
	lookups map[string]*table.LookupIndex
	// patterns counts those that were held against the columns.
	patterns int
	// removing are the steps that remove rows when scoring.
	removing []removal
	// dropped are the columns with pii: drop, and where each stood in plan.Input.
	dropped []DroppedColumn
}

// input returns the columns of the training data that the spec uses: those it
// declares, or all.
func (c *compiler) input(have table.Schema) table.Schema {
	declared := c.spec.Spec.Schema.Columns
	out := table.Schema{Unsupported: have.Unsupported}
	if c.zone != time.UTC {
		out.Timezone = c.spec.Spec.Schema.Timezone
	}
	labels := c.spec.Spec.Sources.Train.LabelFile
	joined := func(d ColumnSpec) bool { return labels != nil && slices.Contains(labels.Columns, d.Name) }
	if !slices.ContainsFunc(declared, func(d ColumnSpec) bool { return !joined(d) }) {
		out.Columns = slices.Clone(have.Columns)
		return out
	}
	for i, d := range declared {
		if joined(d) {
			continue
		}
		path := fmt.Sprintf("spec.schema.columns[%d]", i)
		_, found, ok := have.Lookup(d.Name)
		found = found.AtSource()
		column := d.protect(table.Column{Name: d.Name, Type: d.Type, Nullable: *d.Nullable,
			TrainingOnly: !slices.Contains(d.AvailableIn, InScoring), From: d.From})
		switch {
		case d.PII == table.PIIDrop:
			c.dropped = append(c.dropped, DroppedColumn{column, len(out.Columns)})
			continue
		case !ok && *d.Nullable && slices.Contains(have.Unsupported, table.UnsupportedColumn{Name: d.Name, Type: table.AllNull}):
			// Nulls throughout are of the type that is declared.
		case !ok:
			c.missing(path+".name", d.Name, have, nil)
			// As if it were there, for the rest of the spec.
		case found.Type != d.Type:
			c.found.add(path+".type", fmt.Sprintf("declare it as %s and add a cast step", found.Type),
				"column %s is %s in the training data", d.Name, found.Type)
		}
		out.Columns = append(out.Columns, column)
	}
	return out
}

// missing notes that a column is not in a schema; at, if not nil, is the stage
// that misses it.
func (c *compiler) missing(path, name string, in table.Schema, at *stage) {
	if c.isDropped(name) {
		c.found.add(path, "write pii: hash or mask where something may be learnt from it", "column %s is not there: it has pii: drop", name)
		return
	}
	for _, u := range in.Unsupported {
		if u.Name == name {
			hint := ""
			if strings.HasPrefix(u.Type, "list<") || strings.HasPrefix(u.Type, "struct<") {
				hint = "lists of numbers and bools are, one level deep: write the files with a column for each part"
			}
			for field := range in.Names() {
				if strings.HasPrefix(field, name+".") {
					hint = "its fields are columns: " + field
					break
				}
			}
			c.found.refuse(path, hint, fmt.Sprintf("column %s of type %s", name, u.Type))
			return
		}
	}
	if at == c.scoring && at != nil {
		if why := c.trainingOnly(name); why != "" {
			c.found.add(path, "write apply_to: [training]", "column %s is not there when events are scored: %s", name, why)
			return
		}
	}
	c.found.add(path, spelling.Hint(name, in.Names()), "there is no column %s", name)
}

// compile compiles the expression at path against a stage; nil after a
// diagnostic.
func (c *compiler) compile(path, text string, at *stage) *expression.Program {
	if c.found.patterns > maxPatternSize {
		return nil // as has been noted
	}
	p, err := expression.Compile(text, at.schema, c.zone)
	if err == nil {
		if !c.found.pattern(path, p.PatternSize()) {
			return nil
		}
		return p
	}
	var problem *expression.Problem
	if errors.As(err, &problem) {
		if name, ok := strings.CutPrefix(problem.Message, "there is no column "); ok && c.isDropped(name) {
			err = &expression.Problem{Offset: problem.Offset, Message: "column " + name + " is not there: it has pii: drop"}
		}
	}
	if problem != nil && at.phase == InScoring {
		for name := range c.training.schema.Names() {
			if why := c.trainingOnly(name); why != "" && problem.Message == "there is no column "+name {
				err = &expression.Problem{Offset: problem.Offset, Message: "column " + name + " is not there when events are scored: " + why,
					Hint: "write apply_to: [training]"}
			}
		}
	}
	c.found.addExpression(path, text, err)
	return nil
}

func (c *compiler) split() {
	const path = "spec.preprocessing.split.column"
	s := c.spec.Spec.Preprocessing.Split
	method, ok := c.spec.catalog.splitMethod(s.Type)
	if !ok {
		return
	}
	c.plan.Split = method
	types, _ := method.SplitBy()
	if types == nil {
		return
	}
	_, column, ok := c.plan.Cleaned.Lookup(s.Column)
	switch {
	case !ok:
		c.missing(path, s.Column, c.plan.Cleaned, c.training)
	case !slices.Contains(types, column.Type):
		c.found.add(path, "", "a %s split needs a %s: column %s is %s", s.Type, anyOf(types), s.Column, column.Type)
	case c.training.learnt[s.Column] != "":
		c.found.add(path, "derive a copy of it before that step, and split by the copy", "step %q changes column %s by what it learns from the training rows, and which these are the split has to say first", c.training.learnt[s.Column], s.Column)
	}
	c.uses(c.training, []string{s.Column}, "the split")
}

// anyOf lists types.
func anyOf(types []table.Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, " or ")
}

// slicing checks the columns that rows are sliced by, which are of types that a category
// can have.
func (c *compiler) slicing() {
	for i, s := range c.spec.Spec.Evaluation.Slices {
		c.sliced(fmt.Sprintf("spec.evaluation.slices[%d].columns", i), s.Columns, "a slice")
	}
	if f := c.spec.Spec.Evaluation.Fairness; f != nil {
		if o := c.spec.Spec.OutputFeatures; len(o) > 0 && o[0].Type != outputBinary {
			c.found.add("spec.evaluation.fairness", "leave it out", "answers of type %s are not compared between groups: those of a binary output are", o[0].Type)
		}
		c.sliced("spec.evaluation.fairness.sensitive", f.Sensitive, "evaluation.fairness")
	}
}

// sliced checks columns by whose values rows are cut, for something.
func (c *compiler) sliced(at string, columns []string, what string) {
	for k, name := range columns {
		path := fmt.Sprintf("%s[%d]", at, k)
		_, column, ok := c.plan.Cleaned.Lookup(name)
		switch {
		case !ok:
			c.missing(path, name, c.plan.Cleaned, c.training)
		case !slices.Contains(featureTypes[inputCategory], column.Type):
			c.found.add(path, "derive a string, int64 or bool", "rows cannot be sliced by column %s, which is %s", name, column.Type)
		default:
			c.uses(c.training, []string{name}, what)
		}
	}
}

// value resolves what a feature or label reads in the training phase: an
// expression, or the column of its name.
func (c *compiler) value(path, name, text string) (column string, program *expression.Program, t table.Type, reads []string) {
	if text != "" {
		if program = c.compile(path+".expression", text, c.training); program != nil {
			return "", program, program.Type(), program.Columns()
		}
		return "", nil, "", nil
	}
	_, found, ok := c.plan.Cleaned.Lookup(name)
	if !ok {
		c.missing(path+".name", name, c.plan.Cleaned, c.training)
		return "", nil, "", nil
	}
	return name, nil, found.Type, []string{name}
}

func (c *compiler) label() {
	const path = "spec.output_features[0]"
	o := c.spec.Spec.OutputFeatures[0]
	column, program, t, reads := c.value(path, o.Name, o.Expression)
	c.plan.Label = Label{Name: o.Name, Type: o.Type, Answer: o.answer(), Column: column, Expression: program, Loss: o.Loss}
	if u := c.spec.Uncertainty(); u != nil {
		c.plan.Label.Besides = u.Columns(c.plan.Label.Answer)
	}
	c.plan.Label.Besides = append(c.plan.Label.Besides, ExplanationColumns(c.spec.Explains())...)
	if o.Threshold != nil {
		c.plan.Label.Threshold, c.plan.Label.Optimize = o.Threshold.Value, o.Threshold.Optimize
	}
	c.labelReads = c.training.reach(reads)
	for source := range c.labelReads {
		c.plan.Uses[source] = "the label"
	}
	if (program != nil || column != "") && len(c.labelReads) == 0 {
		c.found.add(path, "name the column that holds the answer", "label %s reads no column: it is the same in every row", o.Name)
	}
	switch {
	case o.Type == outputCategory:
		if t != "" && !slices.Contains(featureTypes[inputCategory], t) {
			c.found.add(path+".type", "write type: number", "the classes of a category are strings, integers or bools: this is %s", t)
		}
	case t == table.String:
		c.found.add(path+".type", `write type: category, or an expression: status == "late"`, "a %s output is a bool or a number: this is %s", o.Type, t)
	case t == table.Timestamp || t.Element() != "":
		c.found.add(path+".type", `write an expression: status == "late"`, "a %s output is a bool or a number: this is %s", o.Type, t)
	}
}

// featureTypes are the types that each type of feature reads.
var featureTypes = map[string][]table.Type{
	inputNumber:   {table.Int64, table.Float64, table.Bool},
	inputCategory: {table.String, table.Int64, table.Bool},
	inputList:     {table.Float64List, table.Int64List, table.BoolList},
	inputText:     {table.String},
	inputSet:      {table.String, table.Int64List},
}

func (c *compiler) features() {
	taken := map[string]bool{c.plan.Label.Name: true}
	for _, f := range c.spec.Spec.InputFeatures {
		taken[f.Name] = true
	}
	for i, f := range c.spec.Spec.InputFeatures {
		if c.found.full() {
			return
		}
		path := fmt.Sprintf("spec.input_features[%d]", i)
		if f.Columns == nil {
			c.feature(path, f)
			continue
		}
		for _, f.Name = range c.expand(path, f, taken) {
			if c.feature(path, f); c.found.covers(path + ".columns") {
				break // what is wrong with one is with many
			}
		}
	}
}

// expand returns the columns that the patterns of a feature match, in the order of
// the data. What is taken is left out, and so is what the label reads.
func (c *compiler) expand(path string, f InputFeature, taken map[string]bool) (columns []string) {
	before := len(c.found.list)
	matched := c.match(path+".columns", f.Columns, c.plan.Cleaned, c.training)
	for name := range c.plan.Cleaned.Names() {
		if !matched[name] || taken[name] {
			continue
		}
		_, ofLabel := c.training.reach([]string{name}).meets(c.labelReads)
		if named := slices.Contains(f.Columns, name); named || !ofLabel { // the named one leaks
			taken[name] = true
			columns = append(columns, name)
		}
	}
	if len(columns) == 0 {
		if len(c.found.list) == before {
			c.found.add(path+".columns", "", "no column is left: features of their own and the label have what matches")
		}
		return nil
	}
	text := fmt.Sprintf("%s: %d of type %s, from %s to %s", quoteShort(strings.Join(f.Columns, ", ")),
		len(columns), f.Type, quoteShort(columns[0]), quoteShort(columns[len(columns)-1]))
	if n := len(matched) - len(columns); n > 0 {
		text += fmt.Sprintf("; %d that match are features of their own or the label's", n)
	}
	c.plan.Matched = append(c.plan.Matched, text)
	return columns
}

// feature resolves one feature.
func (c *compiler) feature(path string, f InputFeature) {
	column, program, t, reads := c.value(path, f.Name, f.Expression)
	if t == "" {
		return
	}
	normalization, _ := c.spec.catalog.find(Normalizations, f.Normalization)
	c.plan.Features = append(c.plan.Features, Feature{Name: f.Name, Type: f.Type, Options: f.FeatureOptions,
		Normalization: normalization.Options, Column: column, Expression: program})
	name, field, problem := "", path+".type", path+".name"
	switch {
	case f.Columns != nil:
		problem = path + ".columns"
		name, field = "column "+f.Name+": ", problem
	case program != nil:
		problem = path + ".expression"
	}
	if !slices.Contains(featureTypes[f.Type], t) {
		c.found.add(field, featureHint(f.Type, t), "%sa %s cannot be made of values of type %s", name, f.Type, t)
	}
	if _, isNumber := ToNumber(f.FillValue); isNumber && t == table.String {
		c.found.add(path+".fill_value", "put it in quotes", "a string belongs here, not %v", f.FillValue)
	}
	c.servable(problem, reads)
	c.leak(problem, f.Name, reads)
	c.uses(c.training, reads, "feature "+f.Name)
	c.uses(c.scoring, reads, "")
	c.require(c.scoring.needed(reads))
}

// leak refuses a feature that reaches what the label reads.
func (c *compiler) leak(path, feature string, reads []string) {
	for _, at := range []*stage{c.training, c.scoring} {
		reached := at.reach(reads)
		if source, ok := reached.meets(c.labelReads); ok {
			c.found.add(path, "a feature must be known before the label is", "the label leaks into feature %s: it reaches column %s%s, as label %s does%s",
				feature, source, reached.way(source), c.plan.Label.Name, c.labelReads.way(source))
			return
		}
	}
}

func featureHint(feature string, t table.Type) string {
	switch {
	case t == table.Timestamp:
		return "take a part of it: hour(…), weekday(…), month(…)"
	case t.Element() != "":
		return "write type: list"
	case feature == inputList && t == table.String:
		return "write type: category"
	case feature == inputText || feature == inputSet:
		return "write type: number or category"
	case feature == inputNumber:
		return "write type: category, or add a cast step"
	}
	return "write type: number, or add a cast step"
}

// servable checks that the scoring phase has the columns that a feature reads,
// of the same types.
func (c *compiler) servable(path string, reads []string) {
	for _, name := range reads {
		_, trained, _ := c.training.schema.Lookup(name)
		_, scored, ok := c.scoring.schema.Lookup(name)
		switch {
		case !ok:
			c.found.add(path, "", "column %s is not there when events are scored: %s", name, c.trainingOnly(name))
		case trained.Type != scored.Type:
			c.found.add(path, "let the cast step apply to both", "column %s is %s in training and %s when events are scored", name, trained.Type, scored.Type)
		}
	}
}

// require notes source columns without which an event is no row.
func (c *compiler) require(columns []string) {
	for _, name := range columns {
		c.required[name] = true
	}
}

// uses notes the source columns that columns reach, and in training what reads them.
func (c *compiler) uses(at *stage, columns []string, what string) {
	for source := range at.reach(columns) {
		if at.phase == InScoring {
			c.read[source] = true
		} else if c.plan.Uses[source] == "" {
			c.plan.Uses[source] = what
		}
	}
}

// outputColumns checks that scored rows can carry the cleaned columns beside
// those that scoring adds.
func (c *compiler) outputColumns() {
	if c.spec.Spec.Scoring == nil {
		return
	}
	const path, leaveOut = "spec.scoring", "leave the column out: name it in spec.scoring.output_columns.exclude"
	carried := c.spec.Spec.Scoring.OutputColumns
	include := c.match(path+".output_columns.include", carried.Include, c.scoring.schema, c.scoring)
	// What is there in training only may be left out by name too.
	all := table.Schema{Columns: slices.Concat(c.scoring.schema.Columns, c.training.schema.Columns), Unsupported: c.scoring.schema.Unsupported}
	exclude := c.match(path+".output_columns.exclude", carried.Exclude, all, c.scoring)
	maps.DeleteFunc(include, func(name string, _ bool) bool { return exclude[name] })
	c.plan.Carried = include
	names := make(map[string]string, len(include)) // by how readers of tables tell them apart
	for name := range c.scoring.schema.Names() {
		if !include[name] {
			continue
		}
		folded := strings.ToLower(name)
		if other, taken := names[folded]; taken {
			c.found.add(path, leaveOut, "columns %s and %s differ in case only: readers of tables do not tell them apart", other, name)
		}
		names[folded] = name
	}
	for _, added := range OutputColumns(c.plan.Label.Answer, c.spec.SaysSplit(), c.plan.Label.Besides...) {
		switch name, taken := names[strings.ToLower(added.Name)]; {
		case taken && name == added.Name:
			c.found.add(path, leaveOut, "scored rows have a column %s of their own", name)
		case taken:
			c.found.add(path, leaveOut, "scored rows have a column %s of their own, and column %s differs from it in case only", added.Name, name)
		}
	}
	c.partition(names)
	c.splitOfEvents(path + ".output_columns.split")
}

// splitOfEvents checks that an event can be told its split.
func (c *compiler) splitOfEvents(path string) {
	s := c.spec.Spec.Preprocessing.Split
	method, ok := c.spec.catalog.splitMethod(s.Type)
	if !ok || !c.spec.SaysSplit() {
		return
	}
	if why := method.NotOfEvents(); why != "" {
		c.found.add(path, "write type: "+c.spec.catalog.splitting(ofEvents)+" in spec.preprocessing.split", "a %s split goes by %s", s.Type, why)
		return
	}
	c.servable(path, []string{s.Column})
	c.uses(c.scoring, []string{s.Column}, "")
}

// rolling checks the column by which an event is of one version of a rollout or the other.
func (c *compiler) rolling() {
	r := c.spec.Spec.Rollout
	if r == nil || r.By == "" || c.spec.Spec.Scoring == nil && c.spec.Spec.Serving == nil {
		return
	}
	events := c.plan.EventColumns()
	if _, _, ok := events.Lookup(r.By); !ok {
		c.missing("spec.rollout.by", r.By, events, c.scoring)
	}
}

// eventColumns holds the fields that events are said to have against the
// columns.
func (c *compiler) eventColumns() {
	const path = "spec.sources.events.format.columns"
	events := c.spec.Spec.Sources.Events
	if events == nil {
		return
	}
	if _, flat := events.Format.Options.(FlatFormat); flat {
		for _, column := range c.plan.ScoringInput.Columns {
			if column.Type.Element() != "" && c.read[column.Name] {
				c.found.add("spec.sources.events.format.type", "use json or avro", "column %s is a %s, and %s events have no lists", column.Name, column.Type, events.Format.Name)
			}
		}
	}
	format, ok := events.Format.Options.(EventFormat)
	if !ok || len(format.FieldNames()) == 0 {
		return
	}
	fields := format.FieldNames()
	for _, column := range c.plan.ScoringInput.Columns {
		at := slices.Index(fields, column.Name)
		switch {
		case at >= 0 && column.From != "":
			c.found.add(fmt.Sprintf("%s[%d]", path, at), "give the field another name", "column %s comes from the %s of the record", column.Name, column.From)
		case at < 0 && column.From == "" && !column.Nullable:
			c.found.add(path, "", "column %s is missing, without which an event is no row", column.Name)
		}
	}
	c.misspelt(path, fields)
}

// misspelt refuses a field that is no column and nearly has the name of one that
// no field has: it would be null in every event. A field to pass over can have
// any other name.
func (c *compiler) misspelt(path string, fields []string) {
	known, missing := make(map[string]bool), []string(nil)
	for _, column := range c.plan.ScoringInput.Columns {
		known[column.Name] = true
		if column.From == "" && column.Nullable && !slices.Contains(fields, column.Name) {
			missing = append(missing, column.Name)
		}
	}
	for i, field := range fields {
		if known[field] {
			continue
		}
		if hint := spelling.Hint(field, slices.Values(missing)); hint != "" {
			c.found.add(fmt.Sprintf("%s[%d]", path, i), hint, "there is no column %s", field)
		}
	}
}
