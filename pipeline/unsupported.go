package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg/pipeline/spelling"
)

// allowedValue is the one value that an unsupported field may have: the one that
// means what this build does anyway.
type allowedValue struct {
	// value is a string, bool or number, or an empty list.
	value any
	// fields are those of a mapping, each with its own.
	fields map[string]allowedValue
}

// noValue allows none.
var noValue = allowedValue{}

// unsupportedFields lists the fields of the format that this build does not
// support, by the struct of the spec, or the kind of choice, that they belong to.
// To make one work is a field of that struct, and a line less here.
var unsupportedFields = map[string]map[string]allowedValue{
	"Body": {
		"tests": noValue, "search": noValue, "rollout": noValue,
		"monitoring": noValue, "resources": noValue,
	},
	"TrainSource":   {"freshness": noValue},
	"EventSource":   {"freshness": noValue},
	"Evaluation":    {"fairness": noValue},
	"SchemaSpec":    {"event_time": noValue},
	"ColumnSpec":    {"pii": noValue},
	"Preprocessing": {"sample_ratio": {value: 1.0}},
	"CleanStep":     {"replace": noValue, "dedupe": noValue, "outliers": noValue},
	"encoders":      {"size": noValue, "period": noValue},
	"InputFeature":  {"shape": noValue},
	"OutputFeature": {"calibration": {value: "none"}},
	"losses":        {"label_smoothing": {value: 0.0}},
	"models":        {"hidden": noValue, "activation": noValue, "dropout": {value: 0.0}, "uncertainty": noValue},
	"Trainer": {
		"resume":  {value: "auto"},
		"privacy": noValue,
	},
	"DistributedSpec": {
		"min_workers": {value: 1.0},
		"straggler":   noValue,
	},
	"Registry": {"export": {value: []any{}}},
	"Scoring":  {"scale": noValue},
}

// refused notes that a field is not supported, unless it has the allowed value.
func (d *decoder) refused(e *ast.MappingValueNode, path string, allowed allowedValue) {
	switch {
	case allowed.fields != nil:
		d.refusedFields(e, path, allowed)
	case allowed.value == nil:
		d.refuse(e.Key, path, "", "")
	case !isAllowed(e.Value, allowed.value):
		d.refuse(e.Value, path, fmt.Sprintf("only %v is", allowed.value), d.shown(e.Value))
	}
}

func (d *decoder) refusedFields(e *ast.MappingValueNode, path string, allowed allowedValue) {
	for name, inner := range d.mapping(e.Value, path) {
		known := slices.Sorted(maps.Keys(allowed.fields))
		if o, ok := allowed.fields[name]; ok {
			d.refused(inner, join(path, name), o)
		} else if hint := spelling.Hint(name, slices.Values(known)); hint != "" {
			d.problem(inner.Key, join(path, name), hint, "there is no such field")
		} else {
			d.refuse(inner.Key, join(path, name), "", "")
		}
	}
}

// refuse notes at a node that something is not supported.
func (d *decoder) refuse(n ast.Node, path, hint, what string) {
	d.source.values[path] = positionOf(n)
	d.found.refuse(path, hint, what)
}

// isAllowed reports whether a node has the value.
func isAllowed(n ast.Node, value any) bool {
	switch want := value.(type) {
	case float64:
		v, ok := number(n)
		return ok && v == want
	case []any:
		list, ok := n.(*ast.SequenceNode)
		return ok && len(list.Values) == 0
	}
	v, ok := anyScalar(n)
	return ok && v == value
}
