package pipeline

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// unsupportedFields lists the fields of the format that this build does not
// support, by the struct of the spec, or the kind of choice, that they belong to, with
// the one value that each may have: a string, bool or number, or an empty list, that means
// what this build does anyway. Nil: it may have none. To make a field work is a field of
// that struct, and a line less here.
var unsupportedFields = map[string]map[string]any{
	"TrainSource": {
		"query": instead("joins and SQL belong to an engine that has them: have Spark, Trino or dbt write files below a prefix, and name that in s3.path (docs/sql.md)"),
	},
	"EventSource": {
		"freshness": instead("events are scored when they come: thalweg stream status shows how far behind the stream is"),
	},
	"Preprocessing": {
		"balance": instead("it is a cleaning step, the last one: clean: [{balance: {by: origin, method: downsample}}]"),
	},
	"Trainer": {
		"resume": "auto",
	},
}

// instead is what can be done where a field is not supported, whatever its value.
type instead string

// refused notes that a field is not supported, unless it has the allowed value.
func (d *decoder) refused(e *ast.MappingValueNode, path string, allowed any) {
	hint, _ := allowed.(instead)
	switch {
	case allowed == nil || hint != "":
		d.refuse(e.Key, path, string(hint), "")
	case !isAllowed(e.Value, allowed):
		d.refuse(e.Value, path, fmt.Sprintf("only %v is", allowed), d.shown(e.Value))
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
