package scorer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// simLetters is a topic of dead letters as readers of committed records see it,
// and what its brokers remember: who began to deliver last, and how far the
// line is. It acts by nothing of its own.
type simLetters struct {
	sim      *sim
	epoch    int
	next     int64
	messages []string
}

func newSimLetters(s *sim) simActor {
	s.letters = &simLetters{sim: s, next: -1}
	return s.letters
}

func (l *simLetters) act()    {}
func (l *simLetters) settle() {}

// judge: each dead letter of a finished slot is there once, and nothing that is
// no dead letter.
func (l *simLetters) judge(objects map[string][]byte) []string {
	var wrong []string
	times := make(map[string]int)
	for _, m := range l.messages {
		times[m]++
	}
	known := make(map[string]bool)
	named := make(map[string]bool)
	for key, record := range objects {
		if !strings.HasSuffix(key, ".done.json") {
			continue
		}
		var done struct{ Objects []struct{ Key, Kind string } }
		if err := json.Unmarshal(record, &done); err != nil {
			wrong = append(wrong, err.Error())
		}
		for _, o := range done.Objects {
			named[o.Key] = true
			for line := range bytes.Lines(objects[o.Key]) {
				if o.Kind == string(commitlog.Dead) && times[string(line)] == 0 {
					wrong = append(wrong, fmt.Sprintf("the dead letter %q of a finished slot is not in the topic", line))
				}
			}
		}
	}
	for key, body := range objects {
		slot, _ := l.sim.slotsOf(key)
		if !strings.HasPrefix(key, "x/_dead/") || !named[key] && l.sim.doneOf(slot) != "" {
			continue
		}
		for line := range bytes.Lines(body) {
			known[string(line)] = true
		}
	}
	for m, n := range times {
		if n > 1 {
			wrong = append(wrong, fmt.Sprintf("the dead letter %q is in the topic %d times", m, n))
		}
		if !known[m] {
			wrong = append(wrong, fmt.Sprintf("the topic has %q, which is no dead letter", m))
		}
	}
	return wrong
}

// simOutbox is an owner's connectors.Outbox into simLetters, made as that of
// Kafka is: fence, ask, and commit the messages and the number at once.
type simOutbox struct {
	owner   *simOwner
	epoch   int // 0: nothing is open
	next    int64
	unasked bool // wrong: never asks whether the group was delivered
}

func (x *simOutbox) Close() error { return nil }

func (x *simOutbox) Deliver(_ context.Context, g connectors.Group, messages iter.Seq2[connectors.Message, error]) error {
	s, l := x.owner.sim, x.owner.sim.letters
	fail := func(kind thalweg.Kind) error {
		x.epoch = 0
		return &thalweg.Error{Op: "deliver", Kind: kind}
	}
	if !s.calm && s.rng.IntN(10) == 0 {
		return fail(thalweg.NotFound)
	}
	if x.epoch == 0 {
		l.epoch++
		x.epoch, x.next = l.epoch, l.next
	}
	if x.next > int64(g.Seq) && !x.unasked {
		return nil
	}
	x.owner.meanwhile()
	if x.epoch != l.epoch {
		return fail(thalweg.Fenced)
	}
	if !s.calm && s.rng.IntN(10) == 0 {
		return fail(thalweg.Unavailable) // the transaction is left open, and aborted by whoever begins next
	}
	for m, err := range messages {
		if err != nil {
			return err
		}
		l.messages = append(l.messages, string(m.Value))
	}
	l.next = int64(g.Seq) + 1
	x.next = l.next
	if !s.calm && s.rng.IntN(5) == 0 {
		return fail(thalweg.Unavailable) // the answer to the commit is lost
	}
	return nil
}

// simMessages are those of an object of the sim's dead letters.
func simMessages(_ commitlog.Intent, lines []byte) iter.Seq2[connectors.Message, error] {
	return func(yield func(connectors.Message, error) bool) {
		for line := range bytes.Lines(lines) {
			if !yield(connectors.Message{Value: line}, nil) {
				return
			}
		}
	}
}
