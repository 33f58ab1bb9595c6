package schedule

import "github.com/thalweg/thalweg/pipeline"

// Exponential multiplies the learning rate by decay_rate in the course of decay_steps
// steps, evenly: decay_rate^(step/decay_steps).
type Exponential struct {
	WarmUp `yaml:",inline" json:",inline"`
	// DecayRate is what the rate is multiplied by.
	DecayRate float64 `yaml:"decay_rate,omitempty" json:"decay_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// DecaySteps is in how many steps of a replica. Default: those of an epoch.
	DecaySteps int `yaml:"decay_steps,omitempty" json:"decay_steps,omitempty" jsonschema:"minimum=1"`
}

// Defaults implements pipeline.Defaulter.
func (s *Exponential) Defaults(at pipeline.Place) {
	pipeline.Default(at, "decay_rate", &s.DecayRate, 0.9)
}

// Check implements pipeline.Checker.
func (s *Exponential) Check(at pipeline.Place) { checkFalls(at, s.DecayRate) }

// Decay implements Schedule.
func (s *Exponential) Decay(at At) float64 {
	return power(s.DecayRate, float64(at.Step)/span(s.DecaySteps, at))
}
