package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg/pipeline/spelling"
)

// only is what a field beyond this build may still say: the one value that
// means exactly what the build does anyway.
type only struct {
	// value is a string, bool or number, or an empty list.
	value any
	// fields are those of a mapping, each with its own only.
	fields map[string]only
}

// nothing allows no value.
var nothing = only{}

// beyondBuild lists the fields of the format that this build cannot fulfil, by
// the struct of the spec, or the kind of choice, that they belong to. To make one work is a field of
// that struct, and a line less here.
var beyondBuild = map[string]map[string]only{
	"Body": {
		"tests": nothing, "search": nothing, "evaluation": nothing, "rollout": nothing,
		"monitoring": nothing, "schedule": nothing, "resources": nothing,
	},
	"Source":        {"freshness": nothing},
	"SchemaSpec":    {"event_time": nothing},
	"ColumnSpec":    {"pii": nothing},
	"Preprocessing": {"sample_ratio": {value: 1.0}},
	"CleanStep":     {"replace": nothing, "dedupe": nothing, "outliers": nothing},
	"encoders":      {"size": nothing, "buckets": nothing, "period": nothing},
	"OutputFeature": {"calibration": {value: "none"}},
	"losses":        {"positive_class_weight": nothing, "label_smoothing": {value: 0.0}},
	"models":        {"hidden": nothing, "activation": nothing, "dropout": {value: 0.0}, "uncertainty": nothing},
	"Trainer": {
		"learning_rate_scheduler": {fields: map[string]only{"type": {value: "constant"}}},
		"gradient_clipping":       nothing,
		"keep_checkpoints":        nothing,
		"resume":                  {value: "auto"},
		"privacy":                 nothing,
	},
	"DistributedSpec": {
		// Plain averaging is an outer step of rate 1 without momentum.
		"outer_optimizer": {fields: map[string]only{
			"type": {value: "sgd"}, "learning_rate": {value: 1.0}, "momentum": {value: 0.0}, "nesterov": {value: false},
		}},
		"min_workers": {value: 1.0},
		"straggler":   nothing,
	},
	"Registry": {"export": {value: []any{}}},
	"Scoring": {
		"output_columns": {fields: map[string]only{"include": {value: "all"}, "exclude": {value: []any{}}}},
		"scale":          nothing,
	},
}

// refused notes that a field is beyond this build, unless it says nothing but
// what the build does.
func (d *decoder) refused(e *ast.MappingValueNode, path string, allowed only) {
	switch {
	case allowed.fields != nil:
		d.refusedFields(e, path, allowed)
	case allowed.value == nil:
		d.refuse(e.Key, path, "", "")
	case !isOnly(e.Value, allowed.value):
		d.refuse(e.Value, path, fmt.Sprintf("only %v is", allowed.value), d.shown(e.Value))
	}
}

func (d *decoder) refusedFields(e *ast.MappingValueNode, path string, allowed only) {
	values, ok := entries(e.Value)
	if !ok {
		d.problem(e.Value, path, "", "a mapping belongs here, not %s", d.shown(e.Value))
		return
	}
	for _, inner := range values {
		name, ok := d.key(inner, path)
		if !ok {
			continue
		}
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

// refuse notes a wish that this build cannot fulfil, at a node.
func (d *decoder) refuse(n ast.Node, path, hint, what string) {
	d.source.values[path] = positionOf(n)
	d.found.refuse(path, hint, what)
}

// isOnly reports whether a node has the value.
func isOnly(n ast.Node, value any) bool {
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
