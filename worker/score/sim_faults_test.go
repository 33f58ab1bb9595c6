package score

import (
	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/fault"
)

// simFaults are those of the store, hit often enough that most runs meet
// several. Damage on the way to a reader hits each object at most twice: a log
// that reads damaged three times over is taken to be damaged.
var simFaults = []fault.Rule{
	{Fault: fault.LostRequest, Rate: 0.03},
	{Fault: fault.LostReply, Rate: 0.05},
	{Fault: fault.Late, Ops: fault.PutIfAbsent, Rate: 0.05},
	{Fault: fault.Reply412, Rate: 0.05},
	{Fault: fault.Reply409, Rate: 0.03},
	{Fault: fault.Reply500, Rate: 0.02},
	{Fault: fault.Reply503, Rate: 0.02},
	{Fault: fault.Truncated, Rate: 0.03, Times: 1},
	{Fault: fault.BitFlip, Rate: 0.04, Times: 2},
}

// faults returns the plan of a new owner's store.
func (s *sim) faults() fault.Plan {
	if s.calm {
		return fault.Plan{}
	}
	return fault.Plan{Seed: s.rng.Uint64(), Rules: simFaults}
}

// spoiled returns what goes wrong with a fetch: brokers that do not answer, and
// bytes whose checksum is not theirs.
func (s *sim) spoiled() error {
	if s.calm {
		return nil
	}
	switch s.rng.IntN(40) {
	case 0, 1:
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Unavailable}
	case 2:
		if s.flips++; s.flips%corruptTries != 0 { // a topic that is damaged each time is another story
			return &thalweg.Error{Op: "fetch", Kind: thalweg.Corrupt}
		}
	}
	return nil
}
