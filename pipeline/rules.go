package pipeline

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg/pipeline/credential"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// rule is what the tags of a field say that it may hold.
type rule struct {
	enum    []string
	fitting []string // of enum, what goes with the type beside the field; nil: all
	refused []string // values of the format that this build cannot fulfil
	instead string   // a=b,…: what elsewhere is called a is b here
	pattern string
	means   string // the pattern in words
	example string // what to write where a required field is missing
	// Bounds of a number, or of the length of a list; nil: none.
	atLeast, atMost, above, below *float64
	minItems, maxItems            int // 0: no bound
	nonEmpty                      bool
	required                      bool
	expression                    bool
}

// ruleOf reads the tags of a field. They are part of the program, so that a
// malformed one is a mistake that any test of a spec meets.
func ruleOf(tag reflect.StructTag) rule {
	var r rule
	if s := tag.Get("refused"); s != "" {
		r.refused = strings.Split(s, ",")
	}
	r.instead = tag.Get("instead")
	_, options, _ := strings.Cut(tag.Get("json"), ",")
	r.required = options == ""
	r.expression = tag.Get("syntax") == "expression"
	r.means = tag.Get("means")
	// A comma within a value is escaped.
	const comma = "\x00"
	for part := range strings.SplitSeq(strings.ReplaceAll(tag.Get("jsonschema"), `\,`, comma), ",") {
		name, value, _ := strings.Cut(part, "=")
		value = strings.ReplaceAll(value, comma, ",")
		number, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "enum":
			r.enum = append(r.enum, value)
		case "pattern":
			r.pattern = value
		case "minimum":
			r.atLeast = &number
		case "maximum":
			r.atMost = &number
		case "exclusiveMinimum":
			r.above = &number
		case "exclusiveMaximum":
			r.below = &number
		case "minItems":
			r.minItems = int(number)
		case "maxItems":
			r.maxItems = int(number)
		case "minLength":
			r.nonEmpty = number > 0
		}
	}
	return r
}

// typeValues are the values of string types that have a few.
var typeValues = map[reflect.Type][]string{
	reflect.TypeFor[Phase]():          {string(InTraining), string(InScoring)},
	reflect.TypeFor[table.Type]():     typeNames(),
	reflect.TypeFor[ExportFormat]():   {string(ONNX)},
	reflect.TypeFor[FairnessMetric](): {string(DemographicParity), string(EqualOpportunity)},
}

func typeNames() (names []string) {
	for _, t := range table.Types() {
		names = append(names, string(t))
	}
	return names
}

// connectionField is the field by which parts of a spec name a connection.
const connectionField = "connection"

// checkRules applies the rules of the fields of v and of what is in them, and
// then those between its fields.
func checkRules(v reflect.Value, at Place) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			checkRules(v.Elem(), at)
		}
	case reflect.Map:
		if v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		for _, key := range sortedKeys(v) {
			item := reflect.New(v.Type().Elem())
			item.Elem().Set(v.MapIndex(key))
			checkRules(item, Place{join(at.path, key.String()), at.found})
		}
	case reflect.Slice:
		for i := range v.Len() {
			item := at.item(i)
			number := v.Index(i).Kind() == reflect.Float64 // 0 of a default list is none that is missing
			checkValue(v.Index(i), item.path, rule{required: !number}, at.found)
			checkRules(v.Index(i), item)
		}
	case reflect.Struct:
		beside := ""
		for _, f := range fields(v) {
			in := at.in(f.name)
			r, value, path := ruleOf(f.tag), f.value, in.path
			if body, ok := v.Addr().Interface().(*Body); ok && body.without(f.name) {
				continue
			}
			if f.name == "type" {
				beside = f.value.String()
			}
			if kind := Kind(f.tag.Get("catalog")); kind != "" {
				r.enum, r.fitting = at.found.catalog.names(kind), at.found.catalog.namesFor(kind, beside)
			}
			if c, ok := f.value.Interface().(Choice); ok {
				value = f.value.Field(0)
				if len(r.enum) > 0 {
					r.example = fmt.Sprintf("such as {%s: %s}", c.key(), r.enum[0])
				}
				if c.Name != "" || !at.Omits(f.name) {
					path = in.at(c.key())
				}
			}
			checkValue(value, path, r, at.found)
			if f.name == connectionField && strings.ContainsAny(f.value.String(), ":/@ ") {
				at.Problem(f.name, credential.Hint, "an address has no place in a spec, and this is no name of a connection")
			}
			checkRules(f.value, in)
		}
	}
	if v.CanAddr() {
		if c, ok := optionsOf(v).(Checker); ok {
			c.Check(at)
		}
	}
}

// checkValue applies a rule to one value. Zero is a value that is not there,
// unless the text has it.
func checkValue(v reflect.Value, path string, r rule, found *diagnostics) {
	if found.covers(path) {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if v.IsZero() && (!found.source.has(path) || v.Type() == reflect.TypeFor[Count]()) {
		if r.required && !slices.Contains(found.meant, path) {
			found.add(path, r.example, "the field is missing")
		}
		return
	}
	if values, ok := typeValues[v.Type()]; ok {
		r.enum = values
	}
	switch v.Kind() {
	case reflect.String:
		checkText(v.String(), path, r, found)
	case reflect.Slice:
		checkLength(v.Len(), path, r, found)
	case reflect.Int, reflect.Int64:
		checkNumber(float64(v.Int()), fmt.Sprint(v.Interface()), path, r, found)
	case reflect.Float64:
		checkNumber(v.Float(), fmt.Sprint(v.Interface()), path, r, found)
	}
}

func checkText(s, path string, r rule, found *diagnostics) {
	switch {
	case len(r.enum) > 0 && !slices.Contains(r.enum, s):
		fitting := r.fitting
		if fitting == nil {
			fitting = r.enum
		}
		if slices.Contains(r.refused, s) {
			found.refuse(path, oneOf(fitting), s)
			return
		}
		hint := spelling.Hint(s, slices.Values(slices.Concat(fitting, r.refused)))
		for pair := range strings.SplitSeq(r.instead, ",") {
			if name, ours, ok := strings.Cut(pair, "="); ok && s == name {
				hint = "write " + ours + ", which does that"
			}
		}
		if hint == "" {
			hint = oneOf(fitting)
		}
		found.add(path, hint, "%s is not allowed here", strconv.Quote(s))
	case r.nonEmpty && strings.TrimSpace(s) == "", r.required && s == "":
		found.add(path, "", "the field is empty")
	case r.pattern != "" && !regexp.MustCompile(r.pattern).MatchString(s):
		found.add(path, cmp.Or(r.means, "it must match "+r.pattern), "%s is not allowed here", strconv.Quote(s))
	case r.expression && found.checkSyntax:
		if err := expression.CheckSyntax(s); err != nil {
			found.syntax++
			found.addExpression(path, s, err)
		}
	}
}

// oneOf lists what is allowed.
func oneOf(values []string) string {
	if len(values) == 1 {
		return "only " + values[0] + " is"
	}
	return "one of " + strings.Join(values, ", ")
}

// tooManyItems says that a list is too long: of the items it may have, and has.
const tooManyItems = "the list is too long: at most %d belong here, not %d"

func checkLength(n int, path string, r rule, found *diagnostics) {
	switch {
	case r.minItems > 0 && r.minItems == r.maxItems && n != r.minItems:
		found.add(path, "", "%d values belong here, not %d", r.minItems, n)
	case r.maxItems > 0 && n > r.maxItems:
		found.add(path, "", tooManyItems, r.maxItems, n)
	case n < r.minItems:
		found.add(path, "", "the list is too short: at least %d belongs here", r.minItems)
	}
}

func checkNumber(x float64, shown, path string, r rule, found *diagnostics) {
	bound := func(what string, limit float64) {
		found.add(path, "", "%s is out of range: it must be %s %s", shown, what, strconv.FormatFloat(limit, 'f', -1, 64))
	}
	switch {
	case r.above != nil && x <= *r.above:
		bound("above", *r.above)
	case r.below != nil && x >= *r.below:
		bound("below", *r.below)
	case r.atLeast != nil && x < *r.atLeast:
		bound("at least", *r.atLeast)
	case r.atMost != nil && x > *r.atMost:
		bound("at most", *r.atMost)
	}
}

// field is a field of a struct.
type field struct {
	name  string // in YAML
	value reflect.Value
	tag   reflect.StructTag
}

// fields lists the fields of a struct in order: those of inlined structs too,
// and of an inlined choice the entry chosen. Those of another choice are its
// type and its options.
func fields(of reflect.Value) []field {
	out := make([]field, 0, of.NumField()+1)
	if of.Type() == choiceType {
		c := of.Interface().(Choice)
		out = append(out, field{c.key(), of.Field(0), `yaml:",omitempty" json:",omitempty"`})
		if c.Options != nil {
			out = append(out, fields(reflect.ValueOf(c.Options).Elem())...)
		}
		return out
	}
	for i := range of.NumField() {
		f, v := of.Type().Field(i), of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline" && f.Type == choiceType:
			if c := v.Interface().(Choice); c.Options != nil {
				out = append(out, field{c.Name, reflect.ValueOf(c.Options), `yaml:",omitempty" json:",omitempty"`})
			}
		case options == "inline":
			out = append(out, fields(v)...)
		case name != "":
			out = append(out, field{name, v, f.Tag})
		}
	}
	return out
}
