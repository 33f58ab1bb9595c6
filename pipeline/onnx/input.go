package onnx

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// NullText is the text that stands for null, where a tensor of strings can have none: the
// value that missing categories count as if a spec says nothing else.
const NullText = "<MISSING>"

// NullInt stands for null among integers, as it does in NumPy's and pandas' times.
const NullInt = math.MinInt64

// operand is a value of each row of a type, and where it is null.
type operand struct {
	of    table.Type
	v     value // float64s, int64s (of times and bools too), or texts
	null  value // bools
	width int   // of lists
}

// Input is a tensor that the graph reads.
type Input struct {
	// Name is a column's, or an expression that the graph cannot compute.
	Name string
	// Type is what the values are in cleaned rows.
	Type table.Type
	// Width is how many elements a list has, else 1.
	Width int
	// Expression says that the input is the value of an expression.
	Expression bool
}

// element is the type of an input's tensor.
func (in Input) element() elementType {
	switch in.Type {
	case table.String:
		return stringType
	case table.Int64, table.Timestamp, table.Bool:
		return int64Type
	}
	return float64Type
}

// doc says how values are given.
func (in Input) doc() string {
	what := "column " + in.Name + " of cleaned rows"
	if in.Expression {
		what = "the value of the expression " + in.Name + " of cleaned rows"
	}
	switch in.Type {
	case table.String:
		return fmt.Sprintf("%s (string); null is %q", what, NullText)
	case table.Timestamp:
		return fmt.Sprintf("%s (timestamp): microseconds since 1970 UTC; null is %d (NaT)", what, int64(NullInt))
	case table.Bool:
		return fmt.Sprintf("%s (bool): 0 or 1; null is %d", what, int64(NullInt))
	case table.Int64:
		return fmt.Sprintf("%s (int64); null is %d", what, int64(NullInt))
	case table.Float64:
		return what + " (float64); null is NaN"
	}
	return fmt.Sprintf("%s (%s) of %d elements; null elements are NaN, and all are of a list that is null or of another length", what, in.Type, in.Width)
}

// input returns the operand that a tensor is, which is made when it is first asked for.
func (x *exporter) input(in Input) (operand, error) {
	if o, ok := x.operands[in.Name]; ok {
		if o.of != in.Type || o.width != in.Width {
			return o, refused("input "+in.Name, fmt.Errorf("two features read it as %s and as %s", o.of, in.Type))
		}
		return o, nil
	}
	if x.counts[in.Name] > 0 {
		return operand{}, &thalweg.Error{Op: op, Kind: thalweg.Unsupported, Subject: "column " + in.Name,
			Err: fmt.Errorf("an output of the graph has that name"), Hint: "derive a column of another name, and let the feature read that"}
	}
	x.counts[in.Name]++
	x.Inputs = append(x.Inputs, in)
	x.inputs = append(x.inputs, valueInfo(in.Name, in.element(), in.Width, in.doc()))
	o := operand{of: in.Type, v: value(in.Name), width: in.Width}
	if in.Type.Element() == "" {
		o.v = x.row(o.v)
	}
	switch in.element() {
	case float64Type:
		o.null = x.op("IsNaN", o.v)
	case int64Type:
		o.null = x.op("Equal", o.v, x.int(NullInt))
	case stringType:
		o.null = x.op("Equal", o.v, x.texts("null", []string{NullText}))
	}
	x.operands[in.Name] = o
	return o, nil
}

// source returns what a feature reads. width is how many elements its lists have, else 1.
func (x *exporter) source(f pipeline.Feature, width int) (operand, error) {
	if f.Expression != nil {
		return x.expression(f.Expression, width)
	}
	_, c, ok := x.plan.Cleaned.Lookup(f.Column)
	if !ok {
		return operand{}, refused("column "+f.Column, fmt.Errorf("cleaned rows have none"))
	}
	return x.input(Input{Name: c.Name, Type: c.Type, Width: width})
}

// number returns a source as float64s, and where these are missing: null, NaN or infinite.
func (x *exporter) number(o operand) (v, missing value) {
	if o.of == table.Float64 {
		return o.v, x.op("Or", o.null, x.op("IsInf", o.v))
	}
	return x.cast(o.v, float64Type), o.null
}
