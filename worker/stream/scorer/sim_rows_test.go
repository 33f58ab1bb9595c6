package scorer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// simRows is a topic of scored rows as readers of committed records see it, and
// what its brokers remember: who began to send last, and the position. It acts by
// nothing of its own.
type simRows struct {
	sim      *sim
	epoch    int
	line     string
	at       connectors.Position
	messages []string
}

func newSimRows(s *sim) simActor {
	s.rows = &simRows{sim: s, at: connectors.Position{Next: -1}}
	return s.rows
}

func (r *simRows) act()    {}
func (r *simRows) settle() {}

// rowsFrom is the generation of the spec from which on rows are sent: none, all, or
// those from the second on, which take over from others that send none.
func (s *sim) rowsFrom() thalweg.Generation { return []thalweg.Generation{1, 2, 1 << 30}[s.seed/4%3] }

// rowsConfig is an owner's topic of rows, nil where its generation has none.
func (s *sim) rowsConfig(o *simOwner, generation thalweg.Generation) *RowsTopic {
	if generation < s.rowsFrom() {
		return nil
	}
	return &RowsTopic{Topic: "rows", Group: "g", Period: 100_000, Appender: &simAppender{owner: o}}
}

// judge: each row of a finished slot that says so is there once, with the bits of
// the table, in the order of offsets; and nothing else is, but rows of events that
// are given up, or that are not claimed yet.
func (r *simRows) judge(objects map[string][]byte) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	rows := make(map[int64]string)
	last := int64(-1)
	for _, m := range r.messages {
		at, _, _, _ := simLine([]byte(m))
		if at <= last {
			complain("the topic of rows has %q after offset %d", m, last)
		}
		last, rows[at] = max(last, at), m
	}
	topics := r.sim.topics()
	known := make(map[int64]bool) // offsets that may have rows
	end, silent := int64(-1), true
	for slot := 0; ; slot++ {
		var in simIntent
		var done simDone
		key := fmt.Sprintf("x/_log/t/00000/%012d.", slot)
		if json.Unmarshal(objects[key+"intent.json"], &in) != nil || json.Unmarshal(objects[key+"done.json"], &done) != nil {
			break
		}
		number := topicNumber(in.TopicID)
		end = r.sim.place(number, in.To)
		if in.Action == "compact" {
			continue
		}
		from, to := in.From, in.To
		if in.Action == "skip" {
			for place := range rows {
				// Nobody knows where a topic ended that is gone.
				if topic, at := int(place>>32), place&(1<<32-1); topic <= number && at >= in.Missing[0] && (topic < number || at < in.Missing[1]) {
					known[place] = true
				}
			}
			continue
		}
		if in.RowsTopic == "" {
			continue
		}
		silent = false
		for at := from; at < to; at++ {
			place := r.sim.place(number, at)
			known[place] = true
			text, there := rows[place]
			good := eventAt(topics[number], at) == simGood
			switch want := fmt.Sprintf("row %d %d %d %d\n", place, in.version(place), in.SpecGeneration, in.ScoredAtUS); {
			case !good && there:
				complain("offset %d is no row, and the topic of rows has %q", at, text)
			case good && there && text != want:
				complain("slot %d has %q, the topic of rows %q", slot, want, text)
			case good && !there && (at < done.Lost[0] || at >= done.Lost[1]):
				complain("slot %d has %q, the topic of rows nothing", slot, want)
			}
			if there {
				r.sim.tally["rows of finished slots in their topic"]++
			}
		}
	}
	for place, m := range rows {
		if !known[place] && place < end {
			complain("the topic of rows has %q of no slot", m)
		}
	}
	if len(rows) > 0 && silent {
		complain("there are rows in the topic, and no slot says so")
	}
	slices.Sort(wrong)
	return wrong
}

// simAppender is an owner's connectors.Appender into simRows, made as that of Kafka
// is: fence, ask, and commit the messages and the position at once.
type simAppender struct {
	owner *simOwner
	epoch int // 0: nothing is open
}

func (a *simAppender) Close() error { return nil }

func (a *simAppender) fail(kind thalweg.Kind) error {
	a.epoch = 0
	return &thalweg.Error{Op: "append", Kind: kind}
}

func (a *simAppender) Begin(_ context.Context, line string) (connectors.Position, error) {
	s, r := a.owner.sim, a.owner.sim.rows
	if !s.calm && s.rng.IntN(10) == 0 {
		return connectors.Position{}, a.fail(thalweg.NotFound)
	}
	if r.line != "" && r.line != line {
		panic("two lines of one log")
	}
	r.line = line
	r.epoch++
	a.epoch = r.epoch
	at := r.at
	a.owner.meanwhile()
	if s.wrong != nil && s.wrong.unpinned {
		at.Note = ""
	}
	return at, nil
}

func (a *simAppender) Append(_ context.Context, to connectors.Position, messages []connectors.Message) error {
	s, r := a.owner.sim, a.owner.sim.rows
	if a.epoch == 0 {
		return a.fail(thalweg.Unavailable)
	}
	a.owner.meanwhile()
	if a.epoch != r.epoch && (s.wrong == nil || !s.wrong.unfenced) {
		return a.fail(thalweg.Fenced)
	}
	if !s.calm && s.rng.IntN(10) == 0 {
		return a.fail(thalweg.Unavailable) // the transaction is left open, and aborted by whoever begins next
	}
	for _, m := range messages {
		r.messages = append(r.messages, strings.Clone(string(m.Value)))
	}
	r.at = to
	s.tally["rows were sent"]++
	if !s.calm && s.rng.IntN(5) == 0 {
		return a.fail(thalweg.Unavailable) // the answer to the commit is lost
	}
	return nil
}

// stoppedAsStale reports whether the owner learned from the log that a newer
// generation sends rows.
func (o *simOwner) stoppedAsStale() bool {
	return thalweg.Is(o.runner.err, thalweg.Conflict) && strings.Contains(o.runner.err.Error(), "sends rows to topic")
}
