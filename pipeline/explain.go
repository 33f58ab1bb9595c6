package pipeline

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// The specs that examples of fields are cut out of, the simplest first. The first
// one sets so little that defaults can be read off it.
var (
	//go:embed testdata/flights.yaml
	minimalExample string
	//go:embed testdata/flights-rest.yaml
	fullExample string
	//go:embed testdata/flights-csv.yaml
	csvExample string
	//go:embed testdata/flights-clean.yaml
	cleanExample string
)

// Explanation says what a field of a spec means. It comes of the types, tags and
// comments that Parse and JSONSchema go by.
type Explanation struct {
	Path string `json:"path"`
	// Of names the entry of a catalog that has the field: one optimizer of several.
	Of       string `json:"of,omitempty"`
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	// Default is YAML, empty where there is none or it depends on other fields.
	Default string `json:"default,omitempty"`
	Meaning string `json:"meaning,omitempty"`
	// Fields are those of a mapping, or of the items of a list; they have no fields
	// of their own here.
	Fields []Explanation `json:"fields,omitempty"`
	// Example is YAML of the field in its place.
	Example string `json:"example,omitempty"`
}

// NewExplainer reads what explanations are made of: the comments of a catalog and the
// example specs.
func NewExplainer(catalog Catalog) (x *Explainer, err error) {
	x = &Explainer{catalog: catalog, described: descriptions()}
	for _, text := range []string{minimalExample, fullExample, csvExample, cleanExample} {
		s, found := parse(catalog, "", []byte(text))
		if x.example == nil {
			x.example, err = s, found.err()
		}
		x.examples = append(x.examples, example{text, slices.Sorted(maps.Keys(s.source.values))})
	}
	return x, err
}

// Explain explains the field at a path such as spec.trainer.optimizer, or the spec
// as a whole where the path is empty; indices of lists may be there and mean
// nothing. A field that entries of a catalog have in common gets one explanation
// for each.
func (x *Explainer) Explain(path string) ([]Explanation, error) {
	x.lists, x.of = make(map[string]bool), make(map[string]yaml.MapItem)
	at := []explained{x.root()}
	path = indices.ReplaceAllString(path, "")
	for name := range strings.SplitSeq(path, ".") {
		if name == "" && path == "" {
			break
		}
		var next, known []explained
		for _, e := range at {
			known = append(known, x.fields(e)...)
		}
		for _, e := range known {
			// What several entries have in common within them is said once.
			told := slices.ContainsFunc(next, func(o explained) bool {
				return o.Path == e.Path && o.Of == e.Of && o.Meaning == e.Meaning && o.Default == e.Default
			})
			if e.name() == name && !told {
				next = append(next, e)
			}
		}
		if len(next) == 0 {
			return nil, x.unknown(at[0].Path, name, path, known)
		}
		at = next
	}
	var out []Explanation
	for _, e := range at {
		for _, f := range x.fields(e) {
			e.Fields = append(e.Fields, f.Explanation)
		}
		e.Example = x.exampleOf(e)
		out = append(out, e.Explanation)
	}
	return out, nil
}

// indices are those of lists in a path.
var indices = regexp.MustCompile(`\[[0-9]*\]`)

// Explainer explains the fields of a spec. It is for one goroutine.
type Explainer struct {
	catalog   Catalog
	described map[string]string
	example   *Spec
	examples  []example
	lists     map[string]bool         // the paths of lists met on the way
	of        map[string]yaml.MapItem // by the path of a field of some entry, met on the way: the entry
}

// example is a spec and the fields that it sets, in order.
type example struct {
	text string
	sets []string
}

// explained is a field with its value in the example, or with one that has nothing
// but defaults.
type explained struct {
	Explanation
	value reflect.Value
	tag   reflect.StructTag
	// sample is a value that the field may have; key is the field that says Of.
	sample any
	key    string
	choose string // the entry that a choice takes by default, or the first
}

func (e *explained) name() string { return e.Path[strings.LastIndexByte(e.Path, '.')+1:] }

// root is the spec as a whole.
func (x *Explainer) root() explained {
	return explained{Explanation: Explanation{Type: "mapping"}, value: reflect.ValueOf(x.example).Elem()}
}

// unknown is the error of a path that names no field.
func (x *Explainer) unknown(in, name, path string, known []explained) error {
	var names []string
	for _, e := range known {
		if !slices.Contains(names, e.name()) {
			names = append(names, e.name())
		}
	}
	err := &thalweg.Error{Op: "explain", Kind: thalweg.NotFound, Subject: join(in, name), Err: fmt.Errorf("there is no such field"),
		Hint: spelling.Hint(name, slices.Values(names))}
	switch {
	case err.Hint != "":
	case in == "" && slices.ContainsFunc(fields(reflect.ValueOf(&x.example.Spec).Elem()), func(f field) bool { return f.name == name }):
		err.Hint = "did you mean spec." + path + "?"
	case len(names) == 0:
		err.Hint = in + " has no fields"
	default:
		err.Hint = "known are " + strings.Join(names, ", ")
	}
	return err
}

// fields explains the fields of what a field holds.
func (x *Explainer) fields(of explained) []explained {
	v := of.value
	if v.IsValid() && v.Type() == choiceType {
		c := v.Interface().(Choice)
		kind := Kind(of.tag.Get("catalog"))
		out := []explained{{sample: of.choose, Explanation: Explanation{Path: join(of.Path, c.key()), Type: choiceOf(x.catalog.names(kind)), Default: of.Default,
			Required: of.Required, Meaning: "Says which one; the fields beside it are those of that one."}}}
		for _, e := range x.catalog[kind] {
			for _, f := range x.structFields(of.Path, defaulted(e.new())) {
				f.Of, f.key = e.Name, c.key()
				x.of[f.Path] = yaml.MapItem{Key: f.key, Value: f.Of}
				out = append(out, f)
			}
		}
		return out
	}
	if !v.IsValid() || v.Kind() != reflect.Struct {
		return nil
	}
	return x.structFields(of.Path, v)
}

// structFields explains the fields of a struct.
func (x *Explainer) structFields(path string, v reflect.Value) (out []explained) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		kind := Kind(f.Tag.Get("catalog"))
		meaning := x.described[t.PkgPath()+"."+t.Name()+"."+f.Name]
		switch {
		case strings.HasSuffix(meaning, "is not supported here."):
		case options == "inline" && f.Type == choiceType:
			for _, e := range x.catalog[kind] {
				o := reflect.TypeOf(e.Options).Elem()
				of := explained{Explanation: Explanation{Path: join(path, e.Name), Type: "mapping",
					Meaning: renamed(firstSentence(x.described[o.PkgPath()+"."+o.Name()+"."]), o.Name(), e.Name)}, value: defaulted(e.new())}
				if o.Kind() != reflect.Struct {
					of.tag = `json:",omitempty"`
					x.describe(&of)
				}
				out = append(out, of)
			}
		case options == "inline":
			out = append(out, x.structFields(path, v.Field(i))...)
		case name != "":
			e := explained{value: v.Field(i), tag: f.Tag, Explanation: Explanation{Path: join(path, name), Meaning: renamed(meaning, f.Name, name)}}
			x.describe(&e)
			out = append(out, e)
		}
	}
	return out
}

// describe says what a field may hold and what it holds by default, and makes its
// value one that has fields: that of a pointer or of an item.
func (x *Explainer) describe(e *explained) {
	r := ruleOf(e.tag)
	e.Required = r.required
	e.Default = e.tag.Get("default")
	text := ""
	if !x.example.source.has(e.Path) && !e.value.IsZero() && e.Default == "" {
		text = valueText(e.value)
	}
	if !strings.Contains(text, x.example.Metadata.Name) { // else it follows from the name
		e.Default += text
	}
	t, list := e.value.Type(), false
	if t == reflect.TypeFor[Count]() && e.value.IsZero() {
		e.Default = e.value.Interface().(Count).String()
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		item := reflect.New(t.Elem()).Elem()
		switch {
		case t.Kind() == reflect.Pointer && !e.value.IsNil():
			item = e.value.Elem()
		case t.Kind() == reflect.Slice:
			list = true
			fallthrough
		default:
			fillDefaults(item, Place{found: &diagnostics{source: new(source), catalog: x.catalog}})
		}
		e.value, t = item, item.Type()
	}
	values := slices.Concat(r.enum, typeValues[t], x.catalog.names(Kind(e.tag.Get("catalog"))))
	switch {
	case t == choiceType:
		e.Type, e.key = "mapping", e.value.Addr().Interface().(*Choice).key()
		if len(values) > 0 {
			e.choose = cmp.Or(e.Default, values[0])
			e.Type += " with a " + e.key + ", " + choiceOf(values)
			e.sample = yaml.MapSlice{{Key: e.key, Value: e.choose}}
		}
	case len(values) > 0:
		e.Type, e.sample = choiceOf(values), values[0]
	case r.expression:
		e.Type, e.sample = "expression", "distance > 100"
	default:
		e.Type, e.sample = typeOf(t, &r)
		if text := e.tag.Get("example"); text != "" {
			e.sample = text
		}
		if rest, ok := strings.CutPrefix(e.Type, "value "); ok && list {
			e.Type = "values " + rest
		} else if list {
			e.Type += "s"
		}
		e.Type += r.bounds()
	}
	if list {
		items := []any{e.sample}
		for i := 2; i <= r.minItems; i++ {
			items = append(items, fmt.Sprint(e.sample, i))
		}
		e.Type, e.sample = "list of "+e.Type, items
		x.lists[e.Path] = true
	}
	if e.Default != "" && t != choiceType {
		e.sample = yamlOf(e.Default)
	}
}

// choiceOf lists values of which a field has one.
func choiceOf(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return oneOf(values)
}

// renamed gives a comment that begins with the name of what it is of in Go the name
// that it has in a spec.
func renamed(text, inGo, inSpec string) string {
	if rest, ok := strings.CutPrefix(text, inGo+" "); ok {
		return inSpec + " " + rest
	}
	return text
}

// defaulted returns the struct of options with their defaults.
func defaulted(options any) reflect.Value {
	v := reflect.ValueOf(options)
	fillDefaults(v, Place{found: &diagnostics{source: new(source)}})
	return v.Elem()
}

// valueText is a scalar, or a list of them, in YAML; empty for what has fields.
func valueText(v reflect.Value) string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Type() == choiceType {
		return v.Interface().(Choice).Name
	}
	if v.Kind() == reflect.Struct || v.Kind() == reflect.Map || v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct {
		return ""
	}
	text, err := yaml.MarshalWithOptions(v.Interface(), yaml.Flow(true))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// typeOf says what values of a type are, and names one that meets a rule.
func typeOf(t reflect.Type, r *rule) (name string, sample any) {
	least := 1
	if r.atLeast != nil {
		least = int(*r.atLeast)
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return "duration such as 200ms or 1m", "1m"
	case reflect.TypeFor[ByteSize]():
		return "size such as 8MiB", "8MiB"
	case reflect.TypeFor[Limit]():
		return `limit such as "> 100" or "> 0.1%"`, "> 0.1%"
	case reflect.TypeFor[Percent]():
		return "percentage such as 5%", "5%"
	case reflect.TypeFor[Factor]():
		return "number above 0, or auto", auto
	case reflect.TypeFor[ClassWeights]():
		return "auto, or mapping", auto
	case reflect.TypeFor[WarmStart]():
		return "none, champion, or the number of a version", thalweg.DefaultAlias
	case reflect.TypeFor[Count]():
		return "whole number, or auto", "auto"
	case reflect.TypeFor[Threshold]():
		return "number, or mapping", 0.5
	case reflect.TypeFor[OnBadRow]():
		return "word, or mapping", rejectRows
	case reflect.TypeFor[OnBadShard]():
		return "word, or mapping", skipShards
	}
	switch t.Kind() {
	case reflect.String:
		if strings.HasPrefix(r.pattern, "^s3://") {
			return "text", "s3://lake/schemas/flight.avsc"
		}
		return "text", "name"
	case reflect.Bool:
		return "true or false", true
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "whole number", least
	case reflect.Float64:
		return "number", 0.5
	case reflect.Struct, reflect.Map:
		return "mapping", yaml.MapSlice{}
	}
	return "value of any type", "value"
}

// bounds says what a rule asks of a number, a text or a list.
func (r *rule) bounds() string {
	var all []string
	number := func(what string, limit *float64) {
		if limit != nil {
			all = append(all, what+" "+strconv.FormatFloat(*limit, 'f', -1, 64))
		}
	}
	number("at least", r.atLeast)
	number("above", r.above)
	number("at most", r.atMost)
	number("below", r.below)
	switch {
	case r.minItems > 0 && r.minItems == r.maxItems:
		all = append(all, fmt.Sprintf("%d of them", r.minItems))
	case r.minItems > 0:
		all = append(all, fmt.Sprintf("at least %d", r.minItems))
	}
	if r.pattern != "" {
		all = append(all, "matching "+r.pattern)
	}
	if len(all) == 0 {
		return ""
	}
	return ", " + strings.Join(all, ", ")
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		return s[:i+1]
	}
	return s
}

// exampleOf cuts a field out of the first example spec that sets it; of one that
// none sets it shows the defaults.
func (x *Explainer) exampleOf(e explained) string {
	if e.Path == "" {
		return minimalExample
	}
	for _, of := range x.examples {
		at := slices.IndexFunc(of.sets, func(p string) bool { return indices.ReplaceAllString(p, "") == e.Path })
		var whole yaml.MapSlice
		if at < 0 || e.Of != "" || yaml.UnmarshalWithOptions([]byte(of.text), &whole, yaml.UseOrderedMap()) != nil {
			continue
		}
		if out, ok := cut(whole, strings.Split(of.sets[at], ".")); ok {
			return marshal(x.known(out, x.root()))
		}
	}
	value := e.sample
	if e.value.IsValid() && e.value.Kind() == reflect.Struct && e.value.Type() != choiceType {
		var set yaml.MapSlice
		for _, f := range x.structFields(e.Path, e.value) {
			if f.Default != "" || f.Required {
				set = append(set, yaml.MapItem{Key: f.name(), Value: f.sample})
			}
		}
		if all := x.structFields(e.Path, e.value); len(set) == 0 && x.lists[e.Path] && len(all) > 0 {
			set = yaml.MapSlice{{Key: all[0].name(), Value: yaml.MapSlice{}}} // an item of nothing says nothing
		}
		value = set
		if x.lists[e.Path] {
			value = []any{set}
		}
	}
	names := strings.Split(e.Path, ".")
	for i, name := range slices.Backward(names) {
		if i < len(names)-1 && x.lists[strings.Join(names[:i+1], ".")] {
			value = []any{value}
		}
		m := yaml.MapSlice{{Key: name, Value: value}}
		if e.Of != "" && i == len(names)-1 {
			m = append(yaml.MapSlice{{Key: e.key, Value: e.Of}}, m...)
		} else if entry, ok := x.of[strings.Join(names[:i+1], ".")]; ok && i < len(names)-1 {
			m = append(yaml.MapSlice{entry}, m...)
		}
		value = m
	}
	return marshal(value)
}

// known returns of an example what the fields are that this build has.
func (x *Explainer) known(v any, e explained) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = x.known(v[i], e)
		}
	case yaml.MapSlice:
		fields := x.fields(e)
		var kept yaml.MapSlice
		for _, item := range v {
			for _, f := range fields {
				if f.name() == item.Key {
					kept = append(kept, yaml.MapItem{Key: item.Key, Value: x.known(item.Value, f)})
					break
				}
			}
		}
		if len(fields) > 0 {
			return kept
		}
	}
	return v
}

func yamlOf(text string) (value any) {
	if yaml.UnmarshalWithOptions([]byte(text), &value, yaml.UseOrderedMap()) != nil {
		return text
	}
	return value
}

func marshal(value any) string {
	out, err := yaml.MarshalWithOptions(value, yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return ""
	}
	return string(out)
}

// cut returns the part of a document that holds nothing but what is at a path.
func cut(v any, path []string) (any, bool) {
	if len(path) == 0 {
		return v, true
	}
	m, ok := v.(yaml.MapSlice)
	if !ok {
		return nil, false
	}
	name, index, listed := strings.Cut(strings.TrimSuffix(path[0], "]"), "[")
	for _, item := range m {
		if item.Key != name {
			continue
		}
		value := item.Value
		if listed {
			list, _ := value.([]any)
			i, err := strconv.Atoi(index)
			if err != nil || i >= len(list) {
				return nil, false
			}
			value = list[i]
		}
		inner, ok := cut(value, path[1:])
		if listed {
			inner = []any{inner}
		}
		return yaml.MapSlice{{Key: name, Value: inner}}, ok
	}
	return nil, false
}
