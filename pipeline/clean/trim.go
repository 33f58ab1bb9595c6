package clean

import (
	"strings"

	"github.com/thalweg/thalweg/pipeline"
)

// Trim removes leading and trailing white space, as Unicode defines it.
type Trim struct {
	// Columns are those to trim, of strings.
	Columns             []string `yaml:"columns" json:"columns" jsonschema:"minItems=1"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// Bind implements pipeline.StepSpec.
func (s *Trim) Bind(at *pipeline.Columns) pipeline.Op {
	return bindText(at, s.Columns, strings.TrimSpace)
}
