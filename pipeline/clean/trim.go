package clean

import (
	"strings"

	"github.com/thalweg/thalweg/pipeline"
)

// newTrim makes the operator that removes leading and trailing white space as
// Unicode defines it.
func newTrim(step pipeline.Step, b builder) (pipeline.Op, error) {
	return &textOp{name: step.Name, columns: step.Spec.Trim.Columns, f: strings.TrimSpace, mem: b.mem}, nil
}
