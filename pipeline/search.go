package pipeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg/pipeline/spelling"
)

// SearchSpec looks for the values of fields with which the model is best: each trial trains
// a model by the spec with other values in it. The version is that of the best trial.
type SearchSpec struct {
	// Goal is to maximize the metric or to minimize it. Default: what is better of it.
	Goal string `yaml:"goal,omitempty" json:"goal,omitempty" jsonschema:"enum=maximize,enum=minimize"`
	// Metric is what trials are compared by, one of the output's type, on the validation
	// rows at the best epoch. Default trainer.validation_metric.
	Metric string `yaml:"metric,omitempty" json:"metric,omitempty" catalog:"metrics"`
	// Split has the rows on which it is measured. The test rows judge the version, so that
	// nothing may be chosen by them.
	Split string `yaml:"split,omitempty" json:"split,omitempty" jsonschema:"enum=validation" default:"validation"`
	// Algorithm says which values are tried: those of a trial follow from trainer.seed and
	// the trials of the generations before, whatever the workers.
	Algorithm Choice `yaml:"algorithm,omitempty" json:"algorithm,omitempty" catalog:"search_algorithms" default:"random"`
	// MaxTrials is how many models are trained at most. A grid that has more points is
	// refused.
	MaxTrials int `yaml:"max_trials,omitempty" json:"max_trials,omitempty" jsonschema:"minimum=1,maximum=1000" default:"20"`
	// ParallelTrials is how many trials run at once at most, each by one worker. It does
	// not change what is found. Default: as many as workers have slots for.
	ParallelTrials int `yaml:"parallel_trials,omitempty" json:"parallel_trials,omitempty" jsonschema:"minimum=1,maximum=1000"`
	// Folds is by how many folds of the training and validation rows trials are compared, of a
	// random, hash or stratify split: a trial trains a model without each fold and is measured on
	// its rows, so that all rows have a say, and counts by the mean. The test rows are in no fold.
	// 1: by the validation rows alone. Default auto: the folds of the split or else 5 where there
	// are fewer than 300 validation rows, of which the luckiest trial looks best, and else 1.
	Folds Count `yaml:"folds,omitempty" json:"folds,omitempty" jsonschema:"maximum=20"`
	// Parameters are the fields that have other values in each trial, by their paths below
	// spec: trainer.optimizer.learning_rate, input_features.distance.normalization. Each has
	// a space: {space: uniform, lower: 0.0, upper: 0.5}, loguniform (as many values between
	// 0.001 and 0.01 as between 0.01 and 0.1), int and logint (whole numbers, both ends
	// among them), or {space: choice, values: [adam, sgd]}, whose values may be lists. A
	// grid takes steps values of a space, evenly from lower to upper.
	Parameters map[string]SearchSpace `yaml:"parameters" json:"parameters"`
}

// SearchSpace is the values that a field can have.
type SearchSpace struct {
	// Space is uniform or loguniform for a number, int or logint for a whole one, or choice
	// for one of some values.
	Space string `yaml:"space" json:"space" jsonschema:"enum=uniform,enum=loguniform,enum=int,enum=logint,enum=choice" instead:"randint=int,lograndint=logint,grid_search=choice,categorical=choice,double=uniform,float=uniform,integer=int,grid=choice"`
	// Lower is the least value.
	Lower *float64 `yaml:"lower,omitempty" json:"lower,omitempty"`
	// Upper is the largest value.
	Upper *float64 `yaml:"upper,omitempty" json:"upper,omitempty"`
	// Steps is how many values a grid takes. Default of a grid: all of a choice, and of
	// whole numbers; of others it has to be written.
	Steps int `yaml:"steps,omitempty" json:"steps,omitempty" jsonschema:"minimum=1,maximum=1000"`
	// Values are those of a choice: texts, numbers, bools, or lists of them.
	Values SearchValues `yaml:"values,omitempty" json:"values,omitempty"`
}

// The spaces of a SearchSpace.
const (
	SpaceUniform    = "uniform"
	SpaceLogUniform = "loguniform"
	SpaceInt        = "int"
	SpaceLogInt     = "logint"
	SpaceChoice     = "choice"
)

// SearchValues are scalars of YAML, and lists of them.
type SearchValues []any

// Values are fields' values by their paths below spec, each as YAML on one line.
type Values map[string]string

// SearchAlgorithm is the options of an entry of the kind SearchAlgorithms.
type SearchAlgorithm interface {
	// CheckSearch notes what is wrong with a search by it.
	CheckSearch(of *Body, at Place)
}

// BudgetedSearch is a SearchAlgorithm that itself sets a field of trainer or model: how much
// a trial may use.
type BudgetedSearch interface {
	// Budget returns the path of the field, and what trials get, ascending; nothing where
	// that is not known.
	Budget(of *Body) (path string, amounts []int)
}

// Bounds of what is searched.
const (
	maxParameters   = 32
	maxSearchValues = 100
	// maxCorners bounds the specs that are checked before anything runs.
	maxCorners = 100
	// MaxValuesBytes bounds the values of a trial as JSON: the best ones are an output of the
	// run, which coordinators hold.
	MaxValuesBytes = 4096
)

// decodeShort implements shortForm: values may be lists.
func (v *SearchValues) decodeShort(d *decoder, n ast.Node, path string) bool {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrong(n, path, "a list belongs here")
		return true
	}
	for i, item := range list.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		if !d.begin(item, at) {
			continue
		}
		value, ok := searchValue(item)
		if !ok {
			d.wrong(item, at, "a text, a number, true or false, or a list of them belongs here")
			continue
		}
		*v = append(*v, value)
	}
	return true
}

// searchValue returns a scalar, or a list.
func searchValue(n ast.Node) (any, bool) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return anyScalar(n)
	}
	out := make([]any, len(list.Values))
	for i, item := range list.Values {
		if out[i], ok = searchValue(item); !ok {
			return nil, false
		}
	}
	return out, true
}

// Check implements Checker.
func (s *SearchSpace) Check(at Place) {
	if s.Space == SpaceChoice {
		switch {
		case s.Lower != nil || s.Upper != nil || s.Steps > 0:
			at.Problem("values", "leave lower, upper and steps out", "a choice has values alone")
		case len(s.Values) == 0:
			at.Problem("values", "write values: [adam, sgd]", "a choice needs values")
		case len(s.Values) > maxSearchValues:
			at.Problem("values", "", "there are %d; at most %d are possible", len(s.Values), maxSearchValues)
		}
		seen := make(map[string]bool)
		for i, text := range s.Texts() {
			if seen[text] {
				at.in("values").item(i).Problem("", "", "%s is there twice", text)
			}
			seen[text] = true
		}
		return
	}
	if s.Space == "" {
		return
	}
	if len(s.Values) > 0 {
		at.Problem("values", "write space: choice, or lower and upper", "a space %s has no values", s.Space)
	}
	for _, end := range []struct {
		name  string
		value *float64
	}{{"lower", s.Lower}, {"upper", s.Upper}} {
		switch v := end.value; {
		case v == nil:
			at.Problem(end.name, "", "the field is missing")
			return
		case s.Whole() && *v != math.Trunc(*v):
			at.Problem(end.name, "write a whole number, or space: uniform", "%v is no whole number", *v)
		case math.Abs(*v) > 1<<53:
			at.Problem(end.name, "", "the number is out of range")
		}
	}
	switch {
	case *s.Lower > *s.Upper:
		at.Problem("lower", "", "it is above upper")
	case s.Logarithmic() && *s.Lower <= 0:
		at.Problem("lower", "write a number above 0, or space: "+strings.TrimPrefix(strings.Replace(s.Space, "logint", SpaceInt, 1), "log"), "a space %s is of numbers above 0", s.Space)
	}
}

// Complete reports whether a space has the values or ends that it needs.
func (s *SearchSpace) Complete() bool {
	if s.Space == SpaceChoice {
		return len(s.Values) > 0
	}
	return s.Lower != nil && s.Upper != nil && *s.Lower <= *s.Upper
}

// Whole reports whether a space is of whole numbers.
func (s *SearchSpace) Whole() bool { return s.Space == SpaceInt || s.Space == SpaceLogInt }

// Logarithmic reports whether a space is even in the logarithm of its numbers.
func (s *SearchSpace) Logarithmic() bool { return s.Space == SpaceLogUniform || s.Space == SpaceLogInt }

// Texts returns the values of a choice as Values has them.
func (s *SearchSpace) Texts() []string {
	out := make([]string, len(s.Values))
	for i, v := range s.Values {
		out[i] = valueOnALine(v)
	}
	return out
}

// valueOnALine is a scalar or a list as YAML on one line.
func valueOnALine(v any) string {
	switch v := v.(type) {
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = valueOnALine(v[i])
		}
		return "[" + strings.Join(items, ", ") + "]"
	case string:
		return quoted(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

// ends returns the values at the ends of a space, or of a choice all.
func (s *SearchSpace) ends() []string {
	if s.Space == SpaceChoice {
		return s.Texts()
	}
	return []string{valueOnALine(*s.Lower), valueOnALine(*s.Upper)}
}

// searchable are the parts of a spec whose fields can be searched, with those of their
// fields that cannot, and why.
var searchable = map[string]map[string]string{
	"trainer": {
		"seed":             "it decides which rows are for validation",
		"warm_start":       "it is where all trials start",
		"keep_checkpoints": "no model depends on it",
		"resume":           "no model depends on it",
	},
	"model":          {"uncertainty": "it says what is known of a model, and chooses none"},
	"defaults":       {},
	"crosses":        {},
	"input_features": {"name": "it says what a feature is", "columns": "it says what features there are", "expression": "it says what a feature is", "type": "it says what a feature is"},
	"output_features": {"name": "it says what the model learns", "type": "it says what the model learns", "expression": "it says what the model learns",
		"threshold": "it changes no model: write optimize: f1", "calibration": "it changes no model before it is trained"},
}

// checkSearch checks what is searched, and by what.
func (b *Body) checkSearch(at Place) {
	s := b.Search
	if s == nil {
		return
	}
	at = at.in("search")
	if len(s.Parameters) == 0 {
		at.Problem("parameters", "write parameters: {trainer.optimizer.learning_rate: {space: loguniform, lower: 0.0001, upper: 0.1}}", "there is nothing to search")
	} else if len(s.Parameters) > maxParameters {
		at.Problem("parameters", "", "there are %d; at most %d are possible", len(s.Parameters), maxParameters)
	}
	for _, path := range slices.Sorted(maps.Keys(s.Parameters)) {
		b.checkParameter(path, at.in("parameters"), join("", path))
	}
	if path, _ := s.budget(b); path != "" {
		if part, _, _ := strings.Cut(path, "."); part == "trainer" || part == "model" {
			b.checkParameter(path, at, budgetField)
		} else {
			at.Problem(budgetField, "write trainer.epochs", "%s is no field of trainer or model", quoteShort(path))
		}
	}
	if n := s.longestValues(b); n > MaxValuesBytes {
		at.Problem("parameters", "search fewer fields, or write shorter values", "the values of a trial may have %d bytes with the paths of their fields, at most %d are possible", n, MaxValuesBytes)
	}
	if len(b.OutputFeatures) == 1 {
		kind := b.OutputFeatures[0].answer()
		at.among("metric", s.Metric, (&Body{}).metrics(at.found.catalog, kind), kind)
		if rises, ok := at.found.catalog.rises(s.Metric, kind); ok && s.Goal != goalOf(rises) {
			at.Problem("goal", "write "+goalOf(rises)+", or leave it out", "of %s %s is better", s.Metric, map[bool]string{true: "more", false: "less"}[rises])
		}
	}
	if shares := b.Preprocessing.Split.Probabilities; len(shares) > 1 && shares[1] == 0 {
		at.Problem("split", "give validation a share of the rows", "there are no validation rows to compare trials by")
	}
	b.checkTrialFolds(at)
	if m, ok := b.Model.Options.(Importer); ok && m.Imports() != "" {
		at.Unsupported("", "leave it out", "a search with a model that is imported, and not trained")
	}
	if b.Trainer.WarmStart != FromNone {
		at.Unsupported("", "leave trainer.warm_start out", "a search that starts from a version")
	}
	if a, ok := s.Algorithm.Options.(SearchAlgorithm); ok {
		a.CheckSearch(b, at)
	}
}

// budgetField is where a search says what its algorithm sets itself.
const budgetField = "algorithm.resource"

// checkParameter checks that a path is one of a field that can be searched; field is where
// it stands.
func (b *Body) checkParameter(path string, at Place, field string) {
	parts := strings.Split(path, ".")
	fields, ok := searchable[parts[0]]
	switch {
	case slices.Contains(parts, ""):
		at.Problem(field, "write trainer.optimizer.learning_rate", "%s is no path of a field", quoteShort(path))
		return
	case parts[0] == "spec":
		at.Problem(field, "write "+strings.TrimPrefix(path, "spec."), "paths begin below spec")
		return
	case !ok || len(parts) == 1 && parts[0] != "crosses":
		at.Problem(field, "fields of "+strings.Join(slices.Sorted(maps.Keys(searchable)), ", ")+" can be", "the field cannot be searched: trials share the cleaned rows, and are judged alike")
		return
	}
	name := parts[min(1, len(parts)-1)]
	if parts[0] == "input_features" || parts[0] == "output_features" {
		name = parts[min(2, len(parts)-1)]
	}
	if why := fields[name]; why != "" {
		at.Problem(field, "leave it out", "the field cannot be searched: %s", why)
	}
	var names []string
	switch parts[0] {
	case "input_features":
		for _, f := range b.InputFeatures {
			names = append(names, f.Name)
		}
	case "output_features":
		for _, f := range b.OutputFeatures {
			names = append(names, f.Name)
		}
	default:
		return
	}
	if n, err := strconv.Atoi(parts[1]); !slices.Contains(names, parts[1]) && (err != nil || n < 0 || n >= len(names)) {
		at.Problem(field, spelling.Hint(parts[1], slices.Values(names)), "there is no feature %s with a name of its own", quoteShort(parts[1]))
	}
}

// rises reports whether more of a metric of a type of output is better.
func (c Catalog) rises(metric, output string) (rises, ok bool) {
	for _, m := range c[Metrics] {
		if d, ordered := m.Options.(Ordered); ordered && m.Name == metric && slices.Contains(typesOf(m.Options), output) {
			return d.Rises(), true
		}
	}
	return false, false
}

// longestValues returns how many bytes the values of a trial have at most as JSON.
func (s *SearchSpec) longestValues(of *Body) int {
	longest := make(Values, len(s.Parameters)+1)
	for path, space := range s.Parameters {
		longest[path] = "-1.23457e-300" // a number of six digits
		if !space.Complete() {
			continue // that is told already
		}
		for _, text := range space.ends() {
			if len(asJSON(text)) > len(asJSON(longest[path])) {
				longest[path] = text
			}
		}
	}
	if path, amounts := s.budget(of); len(amounts) > 0 {
		longest[path] = strconv.Itoa(amounts[len(amounts)-1])
	}
	return len(asJSON(longest))
}

// asJSON is a text, or a map of texts, as JSON.
func asJSON(v any) []byte {
	text, _ := json.Marshal(v) // texts can always be written
	return text
}

// budget is what the algorithm sets itself; "" where it sets nothing.
func (s *SearchSpec) budget(of *Body) (path string, amounts []int) {
	if a, ok := s.Algorithm.Options.(BudgetedSearch); ok {
		return a.Budget(of)
	}
	return "", nil
}

// goalOf is the goal of a search by a metric.
func goalOf(rises bool) string {
	if rises {
		return "maximize"
	}
	return "minimize"
}

// searchDefaults fills in what the search does not say.
func (b *Body) searchDefaults(at Place) {
	s := b.Search
	if s == nil || len(b.OutputFeatures) == 0 {
		return
	}
	Default(at.in("search"), "metric", &s.Metric, b.Trainer.ValidationMetric)
	if rises, ok := at.found.catalog.rises(s.Metric, b.OutputFeatures[0].answer()); ok {
		Default(at.in("search"), "goal", &s.Goal, goalOf(rises))
	}
}

// Searches reports whether a run looks for values of fields.
func (s *Spec) Searches() bool { return s.Spec.Search != nil }

// SearchesFeatures reports whether the search has other features, so that each trial fits
// its own.
func (s *Spec) SearchesFeatures() bool {
	for path := range s.Spec.SearchParameters() {
		if part, _, _ := strings.Cut(path, "."); part != "trainer" && part != "model" || path == "model.type" {
			return true
		}
	}
	return false
}

// SearchParameters are those of the search, none where there is none.
func (b *Body) SearchParameters() map[string]SearchSpace {
	if b.Search == nil {
		return nil
	}
	return b.Search.Parameters
}

// checkCorners tries the specs of trials at the ends of the space, so that a value which
// the spec refuses, or a path that it does not have, is told before anything runs.
func (s *Spec) checkCorners(data []byte, found *diagnostics) {
	told := make(map[string]bool)
	for values := range s.corners() {
		_, of := parseWith(s.catalog, found.source.file, data, values)
		for _, d := range of.list {
			path := blamed(values, d.Path)
			if text := path + d.Message; !told[text] && !found.full() {
				told[text] = true
				at := "spec.search.parameters"
				what := ""
				if path != "" {
					at, what = join(at, path), " with "+values[path]
				}
				if _, searched := s.Spec.Search.Parameters[path]; path != "" && !searched {
					at = "spec.search." + budgetField
				}
				found.addAt(found.source.position(at), at, d.Kind, d.Hint, fmt.Sprintf("a trial%s is refused: %s: %s", what, strings.TrimPrefix(d.Path, "spec."), d.Message))
			}
		}
	}
}

// blamed returns the parameter that a field belongs to, or which belongs to it; the only
// one where there is one.
func blamed(values Values, field string) (path string) {
	for _, p := range slices.Sorted(maps.Keys(values)) {
		full := "spec." + p
		if field == full || strings.HasPrefix(field, full+".") || strings.HasPrefix(field, full+"[") || strings.HasPrefix(full, field+".") || len(values) == 1 {
			if len(p) > len(path) {
				path = p
			}
		}
	}
	return path
}

// corners yields values at the ends of the spaces: all combinations where they are few,
// else those in which one field differs from the first ends of the others, or from their
// last.
func (s *Spec) corners() func(yield func(Values) bool) {
	return func(yield func(Values) bool) {
		all := s.Spec.Search.Parameters
		paths := slices.Sorted(maps.Keys(all))
		ends := make([][]string, len(paths))
		combinations := 1
		for i, path := range paths {
			of := all[path]
			ends[i] = of.ends()
			combinations = min(combinations*len(ends[i]), maxCorners+1)
		}
		if path, amounts := s.Spec.Search.budget(&s.Spec); len(amounts) > 0 {
			paths = append(paths, path)
			ends = append(ends, []string{strconv.Itoa(amounts[0]), strconv.Itoa(amounts[len(amounts)-1])})
			combinations = min(combinations*2, maxCorners+1)
		}
		corner := func(at func(i int) int) Values {
			v := make(Values, len(paths))
			for i, path := range paths {
				v[path] = ends[i][at(i)]
			}
			return v
		}
		if combinations <= maxCorners {
			for n := range combinations {
				left := n
				if !yield(corner(func(i int) int {
					at := left % len(ends[i])
					left /= len(ends[i])
					return at
				})) {
					return
				}
			}
			return
		}
		for _, last := range []bool{false, true} {
			for k := range paths {
				for own := range ends[k] {
					if !yield(corner(func(i int) int {
						switch {
						case i == k:
							return own
						case last:
							return len(ends[i]) - 1
						}
						return 0
					})) {
						return
					}
				}
			}
		}
	}
}

// Text is values for people, in the order of their paths; of each the last part of its path
// where that is enough to tell them apart.
func (v Values) Text() string {
	short := make(map[string]int)
	for path := range v {
		short[path[strings.LastIndexByte(path, '.')+1:]]++
	}
	var all []string
	for _, path := range slices.Sorted(maps.Keys(v)) {
		name := path[strings.LastIndexByte(path, '.')+1:]
		if short[name] > 1 {
			name = path
		}
		all = append(all, name+"="+cmp.Or(v[path], "none"))
	}
	return strings.Join(all, " ")
}

// ParameterField is the field of a parameter's space in the search; "" is the space itself.
func ParameterField(path, field string) string {
	if field == "" {
		return join("parameters", path)
	}
	return join(join("parameters", path), field)
}

// Field returns the value of a field at a path below spec, as YAML on one line; ok is false
// where the spec has no such field, or none with one value.
func (b *Body) Field(path string) (text string, ok bool) {
	v := reflect.ValueOf(b).Elem()
	for name := range strings.SplitSeq(path, ".") {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return "", false
		}
		all := fields(v)
		i := slices.IndexFunc(all, func(f field) bool { return f.name == name })
		if i < 0 {
			return "", false
		}
		v = all[i].value
	}
	if k := v.Kind(); k == reflect.Struct || k == reflect.Map || k == reflect.Pointer && v.IsNil() {
		return "", false
	}
	return scalarText(reflect.Indirect(v)), true
}
