package scorer

import (
	"github.com/thalweg/thalweg/integration/fault"
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

// simTopicFaults are those of the topic, likewise: a topic that reads damaged
// corruptTries times over is taken to be damaged.
var simTopicFaults = []fault.Rule{
	{Fault: fault.LostRequest, Rate: 0.05},
	{Fault: fault.Truncated, Rate: 0.05},
	{Fault: fault.BitFlip, Rate: 0.04, Times: 2},
	{Fault: fault.Duplicate, Rate: 0.04, Times: 2},
	{Fault: fault.Stale, Rate: 0.2},
	{Fault: fault.LostReply, Rate: 0.1},
	{Fault: fault.Late, Rate: 0.1},
}

// topicFaults returns the plan of a new owner's source.
func (s *sim) topicFaults() fault.Plan {
	if s.calm {
		return fault.Plan{}
	}
	return fault.Plan{Seed: s.rng.Uint64(), Rules: simTopicFaults}
}
