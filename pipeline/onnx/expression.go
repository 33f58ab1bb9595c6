package onnx

import (
	"strings"

	"github.com/thalweg/thalweg/pipeline/expression"
)

// expression returns the values of an expression.
func (x *exporter) expression(p *expression.Program, width int) (operand, error) {
	if _, c, ok := x.plan.Cleaned.Lookup(strings.TrimSpace(p.Source())); ok {
		return x.input(Input{Name: c.Name, Type: c.Type, Width: width})
	}
	return x.input(Input{Name: p.Source(), Type: p.Type(), Width: width, Expression: true})
}
