package commitlog

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg"
)

// checkOwn checks that an intent lies where it says it belongs.
func (l *Log) checkOwn(in Intent, seq uint64) error {
	switch {
	case in.Topic != l.layout.Topic || in.Partition != l.layout.Partition || in.Seq != seq:
		return corrupt("read intent", l.layout.IntentKey(seq), fmt.Errorf("it is of %s/%d, slot %d", in.Topic, in.Partition, in.Seq))
	case in.Pipeline != l.config.Pipeline:
		return &thalweg.Error{Op: "read intent", Kind: thalweg.Invalid, Subject: l.layout.IntentKey(seq),
			Err:  fmt.Errorf("it is of pipeline %q, not %q", in.Pipeline, l.config.Pipeline),
			Hint: "two pipelines must not share a sink: give this one a path of its own"}
	case (in.Action == Replay) != l.layout.Replay:
		return corrupt("read intent", l.layout.IntentKey(seq), fmt.Errorf("an intent of action %q does not belong in this log", string(in.Action)))
	}
	return nil
}

// checkDone checks a done record against the intent that it finishes.
func (l *Log) checkDone(in Intent, intentSum string, d Done) error {
	switch {
	case d.Seq != in.Seq || d.Intent != in.ID:
		return fmt.Errorf("it finishes slot %d's intent %s, not slot %d's %s", d.Seq, d.Intent, in.Seq, in.ID)
	case d.IntentSHA256 != intentSum:
		return fmt.Errorf("it finishes an intent with sha256 %s, the slot's is %s", d.IntentSHA256, intentSum)
	}
	var err error
	switch in.Action {
	case Compact:
		err = checkCompacted(in, d)
	case Skip:
		if len(d.Objects) > 0 || len(d.Gaps) > 0 || d.Counts() != (Counts{}) {
			err = fmt.Errorf("it names rows although nothing was scored")
		}
	default:
		err = checkScored(in, d)
	}
	if err != nil {
		return err
	}
	if in.Action != Score && d.Lost != [2]int64{} {
		return fmt.Errorf("it has lost events, which only a slot that scores the topic can")
	}
	if in.Action != Compact && (len(d.Inputs) > 0 || len(d.Runs) > 0 || d.Offsets != [2]int64{}) {
		return fmt.Errorf("it replaces objects, which only a compaction does")
	}
	for _, o := range d.Objects {
		if !l.layout.names(in, o.Kind, o.Key) {
			return fmt.Errorf("it names the object %q, which does not follow from the intent", o.Key)
		}
	}
	return nil
}

// checkScored checks that what became of events fits the range.
func checkScored(in Intent, d Done) error {
	events := in.To - in.From
	if d.Scored > events || d.Dead > events-d.Scored || d.Dropped > events-d.Scored-d.Dead {
		return fmt.Errorf("%d scored, %d dead and %d dropped events are more than the %d offsets of the range", d.Scored, d.Dead, d.Dropped, events)
	}
	if d.Lost != [2]int64{} {
		return checkLost(in, d)
	}
	n := len(d.Gaps)
	if n == 0 {
		return nil
	}
	missing := int64(0)
	for _, g := range d.Gaps {
		missing += g[1] - g[0]
	}
	if counted := d.Counts().Events(); in.Action == Replay || d.Gaps[0][0] < in.From || d.Gaps[n-1][1] > in.To || counted+missing != events {
		return fmt.Errorf("%d events and %d offsets in gaps are not the range [%d, %d)", counted, missing, in.From, in.To)
	}
	return nil
}

// checkLost checks a record of a range whose beginning the topic has lost.
func checkLost(in Intent, d Done) error {
	if d.Lost[0] != in.From || d.Lost[1] > in.To {
		return fmt.Errorf("[%d, %d) is lost, which is no beginning of the range [%d, %d)", d.Lost[0], d.Lost[1], in.From, in.To)
	}
	if n := len(d.Gaps); n > 0 && d.Gaps[n-1][1] > in.To {
		return fmt.Errorf("a gap ends at %d, beyond the range [%d, %d)", d.Gaps[n-1][1], in.From, in.To)
	}
	if n := d.Missing(in); n < 0 || n > d.Lost[1]-d.Lost[0] {
		return fmt.Errorf("%d offsets of the range [%d, %d) are neither events nor in gaps, of which [%d, %d) is lost", n, in.From, in.To, d.Lost[0], d.Lost[1])
	}
	return nil
}

// checkCompacted checks that rows moved, and nothing else.
func checkCompacted(in Intent, d Done) error {
	switch {
	case len(d.Inputs) == 0 || d.Scored == 0 || d.Offsets[0] >= d.Offsets[1]:
		return fmt.Errorf("it moves no rows")
	case d.Dead > 0 || d.Dropped > 0 || len(d.Gaps) > 0:
		return fmt.Errorf("it counts events, but a compaction only moves rows")
	}
	for _, slot := range d.Inputs {
		if slot < in.Slots[0] {
			return fmt.Errorf("the objects of slot %d are replaced, which hold nothing of slots [%d, %d)", slot, in.Slots[0], in.Slots[1])
		}
	}
	for _, r := range d.Runs {
		if r[0] < in.Slots[1] && in.Slots[0] < r[1] {
			return fmt.Errorf("slots [%d, %d) are in slot %d and in its own objects", r[0], r[1], r[2])
		}
	}
	return nil
}

// checkNext checks that an intent follows what the slots before it left.
func (s State) checkNext(in Intent) error {
	anew := in.TopicID != s.TopicID
	switch {
	case in.Seq != s.NextSeq:
		return fmt.Errorf("slot %d follows, not %d", s.NextSeq, in.Seq)
	case s.NextOffset >= 0 && in.From != s.NextOffset && in.Action != Replay:
		return fmt.Errorf("offset %d follows, not %d", s.NextOffset, in.From)
	case in.Previous != s.Previous:
		return fmt.Errorf("the previous done record has sha256 %q, not %q", s.Previous, in.Previous)
	case anew && in.TopicID == "":
		return fmt.Errorf("the offsets are of topic %s, and it names none", s.TopicID)
	case anew && s.TopicID != "" && in.Action != Skip && in.Action != Replay:
		return fmt.Errorf("the offsets are of topic %s, not %s: only a skip leads from one to the other", s.TopicID, in.TopicID)
	case in.Action == Compact && in.LeaderEpoch != s.LeaderEpoch:
		return fmt.Errorf("the leader epoch of the record before offset %d is %d, not %d", in.From, s.LeaderEpoch, in.LeaderEpoch)
	case (in.Action == Compact || in.Action == Skip) && in.RowsTopic != s.RowsTopic:
		return fmt.Errorf("the topic of rows is %q, not %q", s.RowsTopic, in.RowsTopic)
	case in.Missing[1]-in.Missing[0] > math.MaxInt64-s.Total.Missing:
		return fmt.Errorf("%d offsets are missing already, so many more cannot be counted", s.Total.Missing)
	case in.Action == Skip && !anew && (in.To != in.Missing[1] || in.To == in.From):
		return fmt.Errorf("a skip within a topic ends where what is missing does, at %d, not %d", in.Missing[1], in.To)
	}
	return nil
}

// after returns the state that a slot leaves once it is finished.
func (s State) after(in Intent, d Done, sum string) (State, error) {
	if want := s.Total.plus(adds(in, d)); d.Total != want {
		return s, fmt.Errorf("its total is %v, the slots up to it sum to %v", d.Total, want)
	}
	next := left(in, d, sum)
	if in.Action == Compact && s.NextOffset == in.From {
		next.LostFrom = s.LostFrom // no offset of the topic is in between
	}
	return next, nil
}

func left(in Intent, d Done, sum string) State {
	s := State{NextSeq: in.Seq + 1, NextOffset: in.To, LostFrom: in.To, TopicID: in.TopicID, LeaderEpoch: in.LeaderEpoch, RowsTopic: in.RowsTopic, Previous: sum, Total: d.Total, ScoredAtUS: in.ScoredAtUS}
	if d.Lost[1] == in.To && in.Action == Score {
		s.LostFrom = in.From
	}
	return s
}
