package pipeline

// WithoutText returns a spec as if it had been made by hand.
func WithoutText(s *Spec) *Spec {
	out := *s
	out.source = nil
	return &out
}
