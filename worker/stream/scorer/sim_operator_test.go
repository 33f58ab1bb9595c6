package scorer

import (
	"fmt"
)

// simOperator reads the status of scorers that stopped because of a loss, and
// says something about it: the right authorization, an old one, or one that is wrong in
// some part. It holds the log to what it said.
type simOperator struct {
	sim      *sim
	reported SkipAuthorization   // of the scorer that stopped last
	said     []SkipAuthorization // ever
}

func newSimOperator(s *sim) simActor { return &simOperator{sim: s} }

func (s *sim) operator() *simOperator {
	for _, a := range s.actors {
		if o, ok := a.(*simOperator); ok {
			return o
		}
	}
	panic("nobody operates")
}

// stoppedByALoss reports whether the owner stopped because the topic has lost
// what was not scored, and then tells the operator.
func (o *simOwner) stoppedByALoss() bool {
	m := o.runner.machine
	if m.slots.claim != nil && m.loss.found != nil {
		o.sim.tally["owners stopped by the loss of a claim's events"]++
	}
	if m.loss.found == nil || !m.skippable() {
		return false
	}
	o.sim.operator().reported = m.missing()
	o.sim.tally["owners stopped by a loss"]++
	return true
}

func (o *simOperator) act() {
	w := o.reported
	if w == (SkipAuthorization{}) {
		return
	}
	rng := o.sim.rng
	switch rng.IntN(10) {
	case 0:
		w.To++
	case 1:
		w.From--
	case 2:
		w.Accept = simTopicID(rng.IntN(1 + len(o.sim.past)))
	case 3:
		w.TopicID = simTopicID(rng.IntN(1 + len(o.sim.past)))
	case 4:
		if len(o.said) > 0 {
			w = o.said[rng.IntN(len(o.said))]
		}
	}
	o.speak(w)
}

func (o *simOperator) speak(w SkipAuthorization) {
	o.said = append(o.said, w)
	o.sim.authorized = w
	o.sim.tally["authorizations of an operator"]++
	for _, owner := range o.sim.live() {
		owner.step(asked{paused: owner.runner.machine.paused, skip: w})
	}
}

func (o *simOperator) settle() {}

func (o *simOperator) judge(map[string][]byte) []string { return nil }

// judgeLost returns what is wrong with a slot of a topic of which the beginning
// is said to be lost. What was given up must have been gone.
func (o *simOperator) judgeLost(slot, topic int, in simIntent, lost [2]int64) []string {
	var wrong []string
	allowed := false
	for _, said := range o.said {
		ends := said.To == lost[1] || said.To > in.To && lost[1] == in.To
		allowed = allowed || said.From == in.From && said.TopicID == simTopicID(topic) && ends
	}
	if !allowed {
		wrong = append(wrong, fmt.Sprintf("slot %d: nobody said that [%d, %d) of topic %d is lost", slot, lost[0], lost[1], topic))
	}
	topics := o.sim.topics()
	if gone := topic < len(topics)-1; lost[0] != in.From || lost[1] > in.To || lost[1] > topics[topic].first && !gone {
		wrong = append(wrong, fmt.Sprintf("slot %d: [%d, %d) of [%d, %d) is called lost, but the topic begins at %d", slot, lost[0], lost[1], in.From, in.To, topics[topic].first))
	}
	o.sim.tally["slots whose beginning is lost"]++
	if lost[1] == in.To {
		o.sim.tally["slots that are lost as a whole"]++
	}
	return wrong
}

// judgeSkip returns what is wrong with a slot that gives offsets up: from is
// the topic that they were of, to the one that the slot names. lostFrom is where
// the loss of the slot before begins, if all of it is lost: an authorization for both begins
// there.
func (o *simOperator) judgeSkip(slot, from, to int, lostFrom int64, missing [2]int64, next int64, seen map[int64]string) []string {
	var wrong []string
	complain := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("slot %d: ", slot)+fmt.Sprintf(format, args...))
	}
	w := SkipAuthorization{From: missing[0], To: missing[1], TopicID: simTopicID(from)}
	if to != from {
		w.Accept = simTopicID(to)
	}
	allowed := false
	for _, said := range o.said {
		if said.From == lostFrom {
			said.From = w.From
		}
		allowed = allowed || said == w
	}
	if !allowed {
		complain("nobody said %v", w)
	}
	topics := o.sim.topics()
	switch {
	case to == from && (missing[1] > topics[from].first || next != missing[1]):
		complain("[%d, %d) is given up and %d follows, but the topic begins at %d", missing[0], missing[1], next, topics[from].first)
	case to != from && (to < from || to >= len(topics)):
		complain("topic %d follows topic %d of %d", to, from, len(topics))
	case to != from && next > topics[to].first:
		complain("it goes on at offset %d of a topic that begins at %d", next, topics[to].first)
	}
	// An authorization may reach far beyond what the topic ever held.
	for at := missing[0]; at < min(missing[1], int64(len(topics[from].events))); at++ {
		if key, ok := seen[o.sim.place(from, at)]; ok {
			complain("offset %d is given up although it is in %s", at, key)
		}
	}
	o.sim.tally["slots that give offsets up"]++
	return wrong
}
