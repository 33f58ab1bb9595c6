package state

import "github.com/thalweg/thalweg"

// ExpireWorker ends the leases of a worker that has not called for too long.
// Leases granted after the plan (with a token above UpTo) stay.
type ExpireWorker struct {
	Worker thalweg.WorkerID `json:"worker"`
	UpTo   thalweg.Token    `json:"up_to"`
}

func (*ExpireWorker) name() string { return "expire worker" }

func (c *ExpireWorker) apply(s *State, now at) Answer {
	var answer Answer
	for _, t := range s.HeldBy(c.Worker) {
		// The loss of one task may have ended the run of another.
		if t.State == TaskLeased && t.Token <= c.UpTo {
			s.loseLease(t, now)
			answer.Changed = true
		}
	}
	return answer
}
