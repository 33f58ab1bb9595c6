package schedule

import "github.com/thalweg/thalweg/pipeline"

// ReduceOnPlateau multiplies the learning rate by a factor whenever validation_metric
// has not improved for some evaluations: PyTorch's ReduceLROnPlateau, whose patience is
// how many it bears and so one less. An evaluation is at the end of each epoch.
type ReduceOnPlateau struct {
	WarmUp `yaml:",inline" json:",inline"`
	// Factor is what the rate is multiplied by.
	Factor float64 `yaml:"factor,omitempty" json:"factor,omitempty" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1"`
	// Patience is how many evaluations in a row there must be without improvement. It
	// has an effect only below trainer.early_stop, where training ends.
	Patience int `yaml:"patience,omitempty" json:"patience,omitempty" jsonschema:"minimum=1"`
	// Minimum is the lowest rate, as a share of the full one.
	Minimum float64 `yaml:"minimum,omitempty" json:"minimum,omitempty" jsonschema:"minimum=0,maximum=1"`
}

// Defaults implements pipeline.Defaulter.
func (s *ReduceOnPlateau) Defaults(at pipeline.Place) {
	pipeline.Default(at, "factor", &s.Factor, 0.1)
	// Twice before the default early_stop.
	pipeline.Default(at, "patience", &s.Patience, 1)
}

// Stalls is after how many evaluations without improvement there is a reduction.
func (s *ReduceOnPlateau) Stalls() int { return s.Patience }

// Decay implements Schedule.
func (s *ReduceOnPlateau) Decay(at At) float64 {
	return max(s.Minimum, power(s.Factor, float64(at.Reductions)))
}
