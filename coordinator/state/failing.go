package state

// Failing counts failed attempts in a row, the last of which was at FailedMS: the next lease
// waits the longer, the more there were.
type Failing struct {
	Failures uint32 `json:"failures,omitempty"`
	FailedMS int64  `json:"failed_ms,omitempty"`
}

// fail counts a failure of a task, the first again if it had been calm.
func (f *Failing) fail(nowMS int64, t *Task) {
	if nowMS-t.LeasedMS > CalmMS {
		f.Failures = 0
	}
	f.Failures++
	f.FailedMS = nowMS
}
