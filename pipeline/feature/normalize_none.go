package feature

// fitNone keeps values as they are.
func fitNone(Moments) (shift, scale float64) { return 0, 1 }
