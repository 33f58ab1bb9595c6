package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

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
