package clean

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Replace puts other values in the place of some: whole values, or the parts of a
// text that match a pattern. Missing values stay missing.
type Replace struct {
	// Column is the one to change. Of column and columns there is one.
	Column string `yaml:"column,omitempty" json:"column,omitempty"`
	// Columns are those to change.
	Columns []string `yaml:"columns,omitempty" json:"columns,omitempty"`
	// Values are whole values, in quotes, and what each becomes, which may be null:
	// {"NYC": JFK, "N/A": null}. Numbers, bools and times are compared as such.
	Values map[string]any `yaml:"values,omitempty" json:"values,omitempty"`
	// Pattern is a regular expression (RE2) of the parts of a text to replace. A text
	// that would get longer than 1 MiB becomes null.
	Pattern string `yaml:"pattern,omitempty" json:"pattern,omitempty" example:"(\\d+)-.*"`
	// With is what comes in the place of each part that matches pattern; $1 or ${name}
	// is what a group of the pattern matched there, $$ a dollar sign.
	With                *string `yaml:"with,omitempty" json:"with,omitempty" example:"$1"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// maxReplaced bounds the text that a pattern makes, and maxReferences how often
// what is put in may refer to groups.
const (
	maxReplaced   = 1 << 20
	maxReferences = 32
)

// reference is what stands in With for a group, as regexp expands it, or a dollar
// sign that is none.
var reference = regexp.MustCompile(`\$(?:(\$)|(\w+)|\{(\w+)\}|)`)

// Check implements pipeline.Checker.
func (s *Replace) Check(at pipeline.Place) {
	switch {
	case s.Column == "" && len(s.Columns) == 0:
		at.Problem("", "", "replace needs column or columns")
	case s.Column != "" && len(s.Columns) > 0:
		at.Problem("columns", "", "of column and columns there is one")
	}
	switch {
	case s.Pattern == "" && s.With != nil:
		at.Problem("with", "", "with needs a pattern")
	case s.Pattern == "" && len(s.Values) == 0:
		at.Problem("", `write values: {"NYC": JFK}, or pattern: "-+" and with: "-"`, "replace needs values or a pattern")
	case s.Pattern != "" && len(s.Values) > 0:
		at.Problem("pattern", "write them as two steps", "of values and pattern there is one")
	case s.Pattern != "" && s.With == nil:
		at.Problem("", `write with: "" to leave out what matches`, "a pattern needs with")
	case s.Pattern != "":
		s.checkPattern(at)
	}
}

func (s *Replace) checkPattern(at pipeline.Place) {
	pattern := at.Pattern("pattern", s.Pattern)
	if pattern == nil {
		return
	}
	references := reference.FindAllStringSubmatch(*s.With, -1)
	for _, r := range references {
		name := r[2] + r[3]
		switch {
		case r[1] != "":
		case name == "":
			at.Problem("with", "write $$ for a dollar sign", "a $ is followed by no group")
		case !hasGroup(pattern, name):
			hint := ""
			if number := strings.TrimRight(name, "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"); r[2] != "" && number != name && hasGroup(pattern, number) {
				hint = fmt.Sprintf("write ${%s}%s", number, name[len(number):])
			}
			at.Problem("with", hint, "the pattern has no group %s", name)
		}
	}
	if len(references) > maxReferences {
		at.Problem("with", "", "with refers to groups more than %d times", maxReferences)
	}
}

// hasGroup reports whether a pattern has the group of a name or number.
func hasGroup(pattern *regexp.Regexp, name string) bool {
	if n, ok := textToInt(name, nil); ok {
		return n <= int64(pattern.NumSubexp())
	}
	return name != "" && pattern.SubexpIndex(name) >= 0
}

// Bind implements pipeline.StepSpec: the columns keep their types.
func (s *Replace) Bind(at *pipeline.Columns) pipeline.Op {
	op := &replace{name: at.Step(), columns: s.Columns, to: make(map[string]arrayMapping), nullable: s.Pattern != ""}
	for _, v := range s.Values {
		op.nullable = op.nullable || v == nil
	}
	if s.Column != "" {
		op.columns = []string{s.Column}
	}
	var pattern *regexp.Regexp // as Check has compiled it
	if s.Pattern != "" {
		pattern = regexp.MustCompile(s.Pattern)
	}
	for i, name := range op.columns {
		field := fmt.Sprintf("columns[%d]", i)
		if s.Column != "" {
			field = "column"
		}
		column, ok := at.Lookup(field, name)
		if !ok {
			continue
		}
		if s.Pattern != "" {
			if column.Type != table.String {
				at.Problem(field, "", "column %s is %s, not string", name, column.Type)
				continue
			}
			op.to[name] = textMapping(replacing(pattern, *s.With))
		} else if op.to[name] = s.bindValues(at, column); op.to[name] == nil {
			continue
		}
		column.Nullable = column.Nullable || op.nullable
		at.Set(column)
	}
	return op
}

// bindValues returns the mapping of a column's values; nil after a problem.
func (s *Replace) bindValues(at *pipeline.Columns, column table.Column) arrayMapping {
	parse, ok := keys[column.Type]
	if !ok {
		at.Problem("values", "", "column %s is %s, whose values cannot be replaced", column.Name, column.Type)
		return nil
	}
	to, texts := make(map[any]any), make(map[any]string)
	for _, text := range slices.Sorted(maps.Keys(s.Values)) {
		key, ok := parse(text, at.Zone())
		if !ok {
			at.Problem("values", "", "column %s is %s, which has no value %q", column.Name, column.Type, text)
			return nil
		}
		if other, twice := texts[key]; twice {
			at.Problem("values", "", "%q and %q are one value of column %s, which is %s", other, text, column.Name, column.Type)
			return nil
		}
		v := s.Values[text]
		if v != nil {
			if v, ok = constant(at, "values", column, v); !ok {
				return nil
			}
		}
		to[key], texts[key] = v, text
	}
	switch column.Type {
	case table.Float64:
		return valueMapping(to, float64Values, float64Column)
	case table.Bool:
		return valueMapping(to, trueValues, boolColumn)
	case table.Int64:
		return valueMapping(to, int64Values, int64Column)
	case table.Timestamp:
		return valueMapping(to, int64Values, timestampColumn)
	}
	return textMapping(func(s string) (string, bool) {
		if v, ok := to[s]; ok {
			text, ok := v.(string)
			return text, ok
		}
		return s, true
	})
}

// keys read a value to be replaced in a column of each type.
var keys = map[table.Type]func(string, *time.Location) (any, bool){
	table.String:    func(s string, _ *time.Location) (any, bool) { return s, true },
	table.Int64:     keyOf(textToInt),
	table.Float64:   keyOf(textToFloat),
	table.Bool:      keyOf(textToBool),
	table.Timestamp: keyOf(table.ParseTime),
}

func keyOf[T any](parse func(string, *time.Location) (T, bool)) func(string, *time.Location) (any, bool) {
	return func(s string, zone *time.Location) (any, bool) {
		v, ok := parse(s, zone)
		return v, ok
	}
}

func trueValues(a arrow.Array) []bool {
	b := a.(*array.Boolean)
	out := make([]bool, b.Len())
	for i := range out {
		out[i] = b.Value(i)
	}
	return out
}

// arrayMapping returns what a column becomes, and how many of its values changed.
type arrayMapping func(mem memory.Allocator, a arrow.Array) (arrow.Array, int64)

func textMapping(f mapping) arrayMapping {
	return func(mem memory.Allocator, a arrow.Array) (arrow.Array, int64) {
		return mapText(mem, a.(*array.Dictionary), f)
	}
}

// valueMapping replaces the values of a column that are in to; nil is null.
func valueMapping[T comparable](to map[any]any, source func(arrow.Array) []T, into sink[T]) arrayMapping {
	typed := make(map[T]*T, len(to))
	for from, v := range to {
		if v == nil {
			typed[from.(T)] = nil
			continue
		}
		v := v.(T)
		typed[from.(T)] = &v
	}
	return func(mem memory.Allocator, a arrow.Array) (arrow.Array, int64) {
		changed := int64(0)
		out := values(source, func(v T) (T, bool) {
			to, ok := typed[v]
			switch {
			case !ok:
				return v, true
			case to == nil:
				changed++
				return v, false
			case *to != v:
				changed++
			}
			return *to, true
		}, into)(a, mem, nil)
		if changed > 0 {
			return out, changed
		}
		out.Release()
		a.Retain()
		return a, 0
	}
}

// replacing replaces what a pattern matches.
func replacing(pattern *regexp.Regexp, with string) mapping {
	references := len(reference.FindAllString(with, -1))
	return func(s string) (string, bool) {
		// Matches do not overlap, so that each reference adds at most the text itself.
		if most := len(s)*(1+references) + (len(s)+1)*len(with); most > maxReplaced {
			matches := 0
			pattern.ReplaceAllStringFunc(s, func(string) string { matches++; return "" })
			literal := len(reference.ReplaceAllString(with, ""))
			if matches*literal > maxReplaced {
				return "", false
			}
		}
		out := pattern.ReplaceAllString(s, with)
		return out, len(out) <= maxReplaced
	}
}

type replace struct {
	name    string
	columns []string
	to      map[string]arrayMapping // by column
	// nullable: some values become null.
	nullable bool
}

// Apply implements pipeline.Op. It counts the values changed, by column.
func (o *replace) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	return eachColumn(batch, o.columns, func(batch arrow.Record, i int) (arrow.Record, error) {
		field := batch.Schema().Field(i)
		mapped, changed := o.to[field.Name](mem, batch.Column(i))
		rep.Change(o.name+" "+field.Name, changed)
		field.Nullable = field.Nullable || o.nullable
		return setColumn(batch, field, mapped), nil
	})
}
