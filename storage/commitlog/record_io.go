package commitlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// rereads bounds how often a record that does not decode is read anew: a bit
// flipped on the way is gone the second time, a damaged object is not.
const rereads = 2

// fetch returns the object's bytes without ever allocating more than a record
// may have. sizeBytes is the size that a listing told; -1 asks.
func (l *Log) fetch(ctx context.Context, key string, sizeBytes int64) ([]byte, error) {
	if sizeBytes < 0 {
		info, err := l.bucket.Head(ctx, key)
		if err != nil {
			return nil, err
		}
		sizeBytes = info.SizeBytes
	}
	if sizeBytes > MaxRecordBytes {
		return nil, corrupt("read record", key, fmt.Errorf("%d bytes, at most %d are a record", sizeBytes, MaxRecordBytes))
	}
	data := make([]byte, sizeBytes)
	if err := l.bucket.GetRange(ctx, key, 0, data); err != nil {
		return nil, err
	}
	return data, nil
}

// intent reads slot seq's claim and checks that it belongs there.
func (l *Log) intent(ctx context.Context, seq uint64, sizeBytes int64) (in Intent, sum string, err error) {
	key := l.layout.IntentKey(seq)
	for range 1 + rereads {
		var data []byte
		if data, err = l.fetch(ctx, key, sizeBytes); err != nil {
			return Intent{}, "", err
		}
		if in, err = DecodeIntent(data); err == nil {
			return in, storage.SHA256(data), l.checkOwn(in, seq)
		}
	}
	return Intent{}, "", corrupt("read intent", key, err)
}

// done reads slot seq's done record and checks that it finishes the intent
// whose record has the given sha256.
func (l *Log) readDone(ctx context.Context, in Intent, intentSum string, sizeBytes int64) (d Done, sum string, err error) {
	key := l.layout.DoneKey(in.Seq)
	for range 1 + rereads {
		var data []byte
		if data, err = l.fetch(ctx, key, sizeBytes); err != nil {
			return Done{}, "", err
		}
		if d, err = DecodeDone(data); err == nil {
			if err := l.checkDone(in, intentSum, d); err != nil {
				return Done{}, "", corrupt("read done record", key, err)
			}
			return d, storage.SHA256(data), nil
		}
	}
	return Done{}, "", corrupt("read done record", key, err)
}

// checkOwn checks that an intent lies where it says it belongs.
func (l *Log) checkOwn(in Intent, seq uint64) error {
	switch {
	case in.Topic != l.layout.Topic || in.Partition != l.layout.Partition || in.Seq != seq:
		return corrupt("read intent", l.layout.IntentKey(seq), fmt.Errorf("it is of %s/%d, slot %d", in.Topic, in.Partition, in.Seq))
	case in.Pipeline != l.config.Pipeline:
		return &thalweg.Error{Op: "read intent", Kind: thalweg.Invalid, Subject: l.layout.IntentKey(seq),
			Err:  fmt.Errorf("it is of pipeline %q, not %q", in.Pipeline, l.config.Pipeline),
			Hint: "two pipelines must not share a sink: give this one a path of its own"}
	}
	return nil
}

// checkDone checks a done record against the intent that it finishes.
func (l *Log) checkDone(in Intent, intentSum string, d Done) error {
	switch events := in.To - in.From; {
	case d.Seq != in.Seq || d.Intent != in.ID:
		return fmt.Errorf("it finishes slot %d's intent %s, not slot %d's %s", d.Seq, d.Intent, in.Seq, in.ID)
	case d.IntentSHA256 != intentSum:
		return fmt.Errorf("it finishes an intent with sha256 %s, the slot's is %s", d.IntentSHA256, intentSum)
	case d.Scored > events || d.Dead > events-d.Scored || d.Dropped > events-d.Scored-d.Dead:
		return fmt.Errorf("%d scored, %d dead and %d dropped events are more than the %d offsets of the range", d.Scored, d.Dead, d.Dropped, events)
	}
	if n := len(d.Gaps); n > 0 {
		missing := int64(0)
		for _, g := range d.Gaps {
			missing += g[1] - g[0]
		}
		if events := d.Counts().Events(); d.Gaps[0][0] < in.From || d.Gaps[n-1][1] > in.To || events+missing != in.To-in.From {
			return fmt.Errorf("%d events and %d offsets in gaps are not the range [%d, %d)", events, missing, in.From, in.To)
		}
	}
	parts := map[ObjectKind]int{}
	for _, o := range d.Objects {
		if want := l.layout.Key(in, o.Kind, parts[o.Kind]); o.Key != want {
			return fmt.Errorf("it names the object %q where the intent makes %q", o.Key, want)
		}
		parts[o.Kind]++
	}
	return nil
}

// checkNext checks that an intent follows what the slots before it left.
func (s State) checkNext(in Intent) error {
	switch {
	case in.Seq != s.NextSeq:
		return fmt.Errorf("slot %d follows, not %d", s.NextSeq, in.Seq)
	case s.NextOffset >= 0 && in.From != s.NextOffset:
		return fmt.Errorf("offset %d follows, not %d", s.NextOffset, in.From)
	case in.Previous != s.Previous:
		return fmt.Errorf("the previous done record has sha256 %q, not %q", s.Previous, in.Previous)
	}
	return nil
}

// after returns the state that a slot leaves once it is finished.
func (s State) after(in Intent, d Done, sum string) (State, error) {
	if want := s.Total.plus(d.Counts()); d.Total != want {
		return s, fmt.Errorf("its total is %v, the slots up to it sum to %v", d.Total, want)
	}
	return State{NextSeq: in.Seq + 1, NextOffset: in.To, Previous: sum, Total: d.Total}, nil
}

var errNotOpen = &thalweg.Error{Op: "use log", Kind: thalweg.Invalid, Err: errors.New("the log was not opened")}
