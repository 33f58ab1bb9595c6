package schedule

import "github.com/thalweg/thalweg/pipeline"

// Step multiplies the learning rate by decay_rate after every decay_steps steps:
// PyTorch's StepLR.
type Step struct {
	WarmUp `yaml:",inline" json:",inline"`
	// DecayRate is what the rate is multiplied by.
	DecayRate float64 `yaml:"decay_rate,omitempty" json:"decay_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// DecaySteps is after how many steps of a replica. Default: those of an epoch.
	DecaySteps int `yaml:"decay_steps,omitempty" json:"decay_steps,omitempty" jsonschema:"minimum=1"`
}

// Defaults implements pipeline.Defaulter.
func (s *Step) Defaults(at pipeline.Place) {
	pipeline.Default(at, "decay_rate", &s.DecayRate, 0.5)
}

// Check implements pipeline.Checker.
func (s *Step) Check(at pipeline.Place) { checkFalls(at, s.DecayRate) }

// Decay implements Schedule.
func (s *Step) Decay(at At) float64 {
	return power(s.DecayRate, float64(at.Step/int(span(s.DecaySteps, at))))
}
