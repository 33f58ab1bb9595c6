package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg/pipeline/spelling"
)

// Crosses are the features that are combined. In a spec the word pairs may stand for
// [{all: pairs}], and the list of its features for a cross.
type Crosses []CrossSpec

// CrossSpec says which input features are combined: a model of crosses learns of each
// combination of their values by itself.
type CrossSpec struct {
	// Columns names the input features of one cross, two to four: categories, and
	// numbers with encoder bins.
	Columns []string `yaml:"columns,omitempty" json:"columns,omitempty" jsonschema:"minItems=2,maxItems=4"`
	// All, instead of columns, makes a cross of every two features of type category, but
	// for those that are in the list by name.
	All string `yaml:"all,omitempty" json:"all,omitempty" jsonschema:"enum=pairs"`
	// Buckets is how many weights a cross has. A combination has the one that its hash
	// says, and shares it with others where there are more combinations than buckets.
	Buckets int `yaml:"buckets,omitempty" json:"buckets,omitempty" jsonschema:"minimum=2,maximum=4194304" default:"65536"`
}

// allPairs is the word for a cross of every two categories.
const allPairs = "pairs"

// maxCrosses bounds the crosses of a model: all pairs of 45 features.
const maxCrosses = 1000

// Cross is one cross, resolved.
type Cross struct {
	Name string // "origin × weekday"
	// Of are the places of its features in the plan.
	Of      []int
	Buckets int
}

// crossName is what a cross of features is called.
func crossName(features []string) string { return strings.Join(features, " × ") }

// Check implements Checker.
func (s *CrossSpec) Check(at Place) {
	switch given := len(s.Columns) > 0 || !at.Omits("columns"); {
	case given && s.All != "":
		at.Problem("all", "", "a cross has columns, or is all pairs, not both")
	case !given && s.All == "":
		at.Problem("columns", "", "the field is missing")
	}
	for i, name := range s.Columns {
		if slices.Contains(s.Columns[:i], name) {
			at.in("columns").item(i).Problem("", "", "feature %s appears twice", quoteShort(name))
		}
	}
}

// decodeShort implements shortForm: the word pairs.
func (c *Crosses) decodeShort(_ *decoder, n ast.Node, _ string) bool {
	text, ok := n.(*ast.StringNode)
	if ok = ok && text.Value == allPairs; ok {
		*c = Crosses{{All: allPairs}}
	}
	return ok
}

// decodeShort implements shortForm: a list of features.
func (s *CrossSpec) decodeShort(d *decoder, n ast.Node, path string) bool {
	_, ok := n.(*ast.SequenceNode)
	if ok {
		d.list(n, path, reflect.ValueOf(&s.Columns).Elem())
	}
	return ok
}

// crosses resolves the crosses, once the features are.
func (c *compiler) crosses() {
	taken := make(map[string]bool) // by their features, sorted
	add := func(path string, of []int, buckets int) {
		names := make([]string, len(of))
		for i, at := range of {
			names[i] = c.plan.Features[at].Name
		}
		key := strings.Join(slices.Sorted(slices.Values(names)), "\x00")
		name := crossName(names)
		switch {
		case c.found.covers(path):
		case taken[key]:
			c.found.add(path, "", "a second cross of %s", strings.Join(names, " and "))
		case slices.ContainsFunc(c.plan.Features, func(f Feature) bool { return f.Name == name }):
			c.found.add(path, "give that feature another name", "a feature has the name of the cross %s", name)
		case len(c.plan.Crosses) == maxCrosses:
			c.found.add(path, "cross fewer features", "a model has at most %d crosses", maxCrosses)
		default:
			c.plan.Crosses = append(c.plan.Crosses, Cross{name, of, buckets})
		}
		taken[key] = true
	}
	for i, s := range c.spec.Spec.Crosses {
		if path := fmt.Sprintf("spec.crosses[%d]", i); s.All == "" {
			if of := c.crossed(path+".columns", s.Columns); of != nil {
				add(path, of, s.Buckets)
			}
		}
	}
	for i, s := range c.spec.Spec.Crosses {
		if s.All == "" {
			continue
		}
		path, pairs := fmt.Sprintf("spec.crosses[%d]", i), 0
		for a, left := range c.plan.Features {
			for b, right := range c.plan.Features[:a] {
				key := strings.Join(slices.Sorted(slices.Values([]string{left.Name, right.Name})), "\x00")
				if left.Type == inputCategory && right.Type == inputCategory && !taken[key] {
					add(path, []int{b, a}, s.Buckets)
					pairs++
				}
			}
		}
		if pairs == 0 {
			c.found.add(path, "name the features of a cross", "there are no two features of type category")
		}
	}
	if n := len(c.plan.Crosses); n > 0 {
		c.plan.Matched = append(c.plan.Matched, fmt.Sprintf("crosses: %d, from %s to %s", n, quoteShort(c.plan.Crosses[0].Name), quoteShort(c.plan.Crosses[n-1].Name)))
	}
}

// crossed returns the places of features by name; nil after a diagnostic.
func (c *compiler) crossed(path string, names []string) (of []int) {
	for k, name := range names {
		item := Place{path, c.found}.item(k).path
		at := slices.IndexFunc(c.plan.Features, func(f Feature) bool { return f.Name == name })
		if at < 0 {
			c.found.add(item, spelling.Hint(name, func(yield func(string) bool) {
				for _, f := range c.plan.Features {
					if !yield(f.Name) {
						return
					}
				}
			}), "there is no input feature %s", quoteShort(name))
			return nil
		}
		f := c.plan.Features[at]
		if _, binned := f.Options.Encoder.Options.(Binner); f.Type != inputCategory && !binned {
			hint := "a cross is of categories"
			if f.Type == inputNumber {
				hint = "write type: category, or encoder: {type: bins}"
			}
			c.found.add(item, hint, "feature %s is a %s", quoteShort(name), f.Type)
			return nil
		}
		of = append(of, at)
	}
	return of
}
