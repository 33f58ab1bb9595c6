package schedule

// Constant leaves the learning rate as it is.
type Constant struct {
	WarmUp `yaml:",inline" json:",inline"`
}

// Decay implements Schedule.
func (*Constant) Decay(At) float64 { return 1 }

// WarmUp are the fields that all schedules have.
type WarmUp struct {
	// WarmupSteps is how many steps of a replica the rate rises for, in a straight line
	// to its full value, before the schedule begins.
	WarmupSteps int `yaml:"warmup_steps,omitempty" json:"warmup_steps,omitempty" jsonschema:"minimum=0,maximum=1000000000"`
}

// Warm implements Schedule.
func (w *WarmUp) Warm() int { return w.WarmupSteps }
