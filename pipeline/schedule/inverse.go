package schedule

import "github.com/thalweg/thalweg/pipeline"

// Inverse divides the learning rate by 1 + decay_rate*step/decay_steps: the schedule
// of Robbins and Monro 1951, Keras' InverseTimeDecay.
type Inverse struct {
	WarmUp `yaml:",inline" json:",inline"`
	// DecayRate is what the divisor grows by.
	DecayRate float64 `yaml:"decay_rate,omitempty" json:"decay_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// DecaySteps is in how many steps of a replica. Default: those of an epoch.
	DecaySteps int `yaml:"decay_steps,omitempty" json:"decay_steps,omitempty" jsonschema:"minimum=1"`
}

// Defaults implements pipeline.Defaulter.
func (s *Inverse) Defaults(at pipeline.Place) {
	pipeline.Default(at, "decay_rate", &s.DecayRate, 1)
}

// Decay implements Schedule.
func (s *Inverse) Decay(at At) float64 {
	return 1 / (1 + float64(s.DecayRate*float64(at.Step)/span(s.DecaySteps, at)))
}
