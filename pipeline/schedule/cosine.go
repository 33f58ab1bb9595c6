package schedule

import "cmp"

// Cosine lets the learning rate fall along half a cosine (Loshchilov and Hutter 2017,
// equation 5, without restarts).
type Cosine struct {
	WarmUp `yaml:",inline" json:",inline"`
	// DecaySteps is after how many steps of a replica the rate is at its lowest, and
	// stays there. Default: those of all epochs.
	DecaySteps int `yaml:"decay_steps,omitempty" json:"decay_steps,omitempty" jsonschema:"minimum=1"`
	// Minimum is the lowest rate, as a share of the full one.
	Minimum float64 `yaml:"minimum,omitempty" json:"minimum,omitempty" jsonschema:"minimum=0,maximum=1"`
}

// Decay implements Schedule.
func (s *Cosine) Decay(at At) float64 {
	done := min(1, float64(at.Step)/float64(cmp.Or(s.DecaySteps, at.All)))
	return s.Minimum + float64((1-s.Minimum)*float64((1+cosine(done))/2))
}
