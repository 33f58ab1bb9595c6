package pipeline

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/document"
)

// Render returns a spec as YAML with every default written out. Fields come in
// the order of the format, so that two specs of one meaning are the same text:
// Parse of the result is s, and rendering that gives the same bytes.
func Render(s *Spec) ([]byte, error) {
	var w strings.Builder
	renderFields(&w, reflect.ValueOf(s).Elem(), "")
	if flaw := document.Excess("spec, with its defaults,", []byte(w.String())); flaw != nil {
		return nil, &thalweg.Error{Op: "render spec", Kind: thalweg.Exhausted, Subject: s.Metadata.Name, Hint: flaw.Message}
	}
	return []byte(w.String()), nil
}

// shortened is a type with a shorter form in which it is rendered.
type shortened interface {
	// short returns the shorter form; ok is false where it says too little.
	short() (form reflect.Value, ok bool)
}

// renderFields writes the fields of a struct, each on lines of its own. The
// indent of the first has been written.
func renderFields(w *strings.Builder, v reflect.Value, indent string) {
	first := true
	for _, f := range fields(v) {
		if strings.Contains(f.tag.Get("yaml"), "omitempty") && (isEmpty(f.value) || f.value.Type() == reflect.TypeFor[Trainer]() && f.value.IsZero()) {
			continue
		}
		if !first {
			w.WriteString(indent)
		}
		first = false
		w.WriteString(f.name + ":")
		renderValue(w, f.value, indent)
	}
}

// isEmpty reports whether a field with omitempty is left out: zero, or a
// struct with nothing to write.
func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Struct {
		for _, f := range fields(v) {
			if !strings.Contains(f.tag.Get("yaml"), "omitempty") || !isEmpty(f.value) {
				return false
			}
		}
		return true
	}
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// renderValue writes what stands behind a colon or a dash, and the end of the
// line.
func renderValue(w *strings.Builder, v reflect.Value, indent string) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			w.WriteString(" null\n") // of a value that stands for no value, as replace has
			return
		}
		v = v.Elem()
	}
	if s, ok := v.Interface().(shortened); ok {
		if form, ok := s.short(); ok {
			v = form
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		if isEmpty(v) {
			w.WriteString(" {}\n")
			return
		}
		w.WriteString("\n" + indent + "  ")
		renderFields(w, v, indent+"  ")
	case reflect.Map:
		w.WriteByte('\n')
		for _, key := range sortedKeys(v) {
			w.WriteString(indent + "  " + quoted(key.String()) + ":")
			renderValue(w, v.MapIndex(key), indent+"  ")
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			w.WriteByte('\n')
			for i := range v.Len() {
				w.WriteString(indent + "  - ")
				renderFields(w, v.Index(i), indent+"    ")
			}
			return
		}
		w.WriteString(" " + scalarText(v) + "\n")
	default:
		w.WriteString(" " + scalarText(v) + "\n")
	}
}

// sortedKeys returns the keys of a map by strings in order.
func sortedKeys(v reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(v.MapKeys()), func(x, y reflect.Value) int { return cmp.Compare(x.String(), y.String()) })
}

// scalarText returns a scalar, or a list of them, as YAML on one line.
func scalarText(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			panic(fmt.Sprintf("pipeline: %v", err)) // the units of a spec have no failure
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return "null"
		}
		return scalarText(v.Elem())
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = scalarText(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.String:
		return quoted(v.String())
	case reflect.Float64:
		return floatText(v.Float())
	}
	return fmt.Sprint(v.Interface())
}

// floatText keeps a float a float: a fill_value of 1.0 is not 1.
func floatText(x float64) string {
	s := strconv.FormatFloat(x, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	} else if strings.Contains(s, "e") && !strings.Contains(s, ".") {
		// 1e-08 is a string to some readers of YAML.
		s = strings.Replace(s, "e", ".0e", 1)
	}
	return s
}

// plain are the strings that need no quotes, and mean no other type to any
// reader of YAML.
var plain = regexp.MustCompile(`^[A-Za-z_/][-A-Za-z0-9_./]*$`)

func quoted(s string) string {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if plain.MatchString(s) {
			return s
		}
	}
	return strconv.Quote(s) // YAML has all escapes of Go
}

// Change is a field in which two specs differ, defaults filled in.
type Change struct {
	// Path names the field: spec.input_features[origin].type, an item of a list by its
	// name if it has one.
	Path string `json:"path"`
	// Before and After are the values as JSON, empty where there is none.
	Before string `json:"before"`
	After  string `json:"after"`
	// Trains: a version depends on the field.
	Trains bool `json:"trains"`
}

// Changes returns the fields in which two specs differ, by path.
func Changes(before, after *Spec) ([]Change, error) {
	var sides [2]struct{ all, trains map[string]string }
	for i, s := range []*Spec{before, after} {
		rendered, err := Render(s)
		if err != nil {
			return nil, err
		}
		if sides[i].all, err = leaves(string(rendered)); err == nil {
			sides[i].trains, err = leaves(trainingText(s))
		}
		if err != nil {
			return nil, err
		}
	}
	from, to := sides[0], sides[1]
	paths := maps.Clone(from.all)
	maps.Copy(paths, to.all)
	var changes []Change
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if a, b := from.all[path], to.all[path]; a != b {
			changes = append(changes, Change{path, a, b, from.trains[path] != to.trains[path]})
		}
	}
	return changes, nil
}

// leaves returns the values of a document that are no mappings and no lists of them,
// as JSON, by path.
func leaves(text string) (map[string]string, error) {
	var document any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	out := map[string]string{}
	return out, addLeaves(out, "", document)
}

func addLeaves(out map[string]string, path string, v any) error {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if err := addLeaves(out, join(path, name), inner); err != nil {
				return err
			}
		}
		return nil
	case []any:
		for i, item := range v {
			m, ok := item.(map[string]any)
			if !ok {
				break
			}
			at := fmt.Sprint(i)
			if name, named := m["name"].(string); named {
				at = name
			}
			if err := addLeaves(out, path+"["+at+"]", item); err != nil {
				return err
			}
			if i == len(v)-1 {
				return nil
			}
		}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	out[path] = strings.TrimSpace(text.String())
	return err
}
