package commitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Claim tries to take the next slot with in, which must follow from State
// (Seq, From, Previous). It returns whether in holds the slot, and the intent
// that does, which is pending from now on: carry it out, or leave the log.
// Whoever is told won is the only one who ever claimed the slot.
//
// After Unavailable or Canceled the claim may still take effect: call Claim
// again with the same intent, or Open. Conflict: a slot is pending.
func (l *Log) Claim(ctx context.Context, in Intent) (won bool, winner Intent, err error) {
	if !l.opened {
		return false, Intent{}, errNotOpen
	}
	key := l.layout.IntentKey(in.Seq)
	if l.state.Pending != nil {
		return false, Intent{}, &thalweg.Error{Op: "claim slot", Kind: thalweg.Conflict, Subject: key,
			Err: fmt.Errorf("slot %d is pending", l.state.Pending.Seq), Hint: "finish it first"}
	}
	record, err := in.Encode()
	if err != nil {
		return false, Intent{}, err
	}
	if err := errors.Join(l.checkOwn(in, l.state.NextSeq), l.state.checkNext(in)); err != nil {
		return false, Intent{}, &thalweg.Error{Op: "claim slot", Kind: thalweg.Invalid, Subject: key, Err: err}
	}
	if err := l.place(ctx, "claim slot", key, record, func(sizeBytes int64) error {
		winner, _, err = l.intent(ctx, in.Seq, sizeBytes)
		return err
	}); err != nil {
		return false, Intent{}, err
	}
	if winner == (Intent{}) {
		winner = in
	}
	if err := l.state.checkNext(winner); err != nil {
		return false, Intent{}, corrupt("read intent", key, err)
	}
	if winner.ID == in.ID && winner != in {
		return false, Intent{}, &thalweg.Error{Op: "claim slot", Kind: thalweg.Invalid, Subject: key,
			Err: fmt.Errorf("the ID %s was used for two different intents", in.ID)}
	}
	l.state.Pending = &winner
	return winner == in, winner, nil
}

// Publish creates the part-th object of a kind (parts count from 0 without a
// gap) for the pending intent and returns what a done record says of it. The
// object's name follows from the intent, and what is published is never
// overwritten: if another executor of the same intent was there first with the
// same bytes, that is success.
//
// Different bytes under the name, as another build may have written them, are
// handed to accept; if it returns nil they stand and the returned Object
// describes them, otherwise Publish fails with Conflict. A nil accept accepts
// nothing. Publish neither keeps nor changes body.
func (l *Log) Publish(ctx context.Context, kind ObjectKind, part int, rows int64, body []byte, accept func(existing []byte) error) (Object, error) {
	if l.state.Pending == nil {
		return Object{}, &thalweg.Error{Op: "publish object", Kind: thalweg.Invalid, Subject: l.layout.LogDir(), Err: errNothingPending}
	}
	key := l.layout.Key(*l.state.Pending, kind, part)
	if part < 0 || part >= MaxObjects || rows <= 0 || len(body) == 0 || (kind != Scored && kind != Dead) {
		return Object{}, &thalweg.Error{Op: "publish object", Kind: thalweg.Invalid, Subject: key,
			Err: fmt.Errorf("part %d of kind %q with %d rows in %d bytes: parts are 0..%d, rows and bytes positive", part, kind, rows, len(body), MaxObjects-1)}
	}
	object := Object{Key: key, SizeBytes: int64(len(body)), SHA256: storage.SHA256(body), Rows: rows, Kind: kind}
	err := l.place(ctx, "publish object", key, body, func(sizeBytes int64) error {
		existing, err := l.existing(ctx, key, sizeBytes, body)
		if err != nil || existing == nil {
			return err
		}
		refusal := errors.New("other bytes exist under its name")
		if accept != nil {
			refusal = accept(existing)
		}
		if refusal != nil {
			return &thalweg.Error{Op: "publish object", Kind: thalweg.Conflict, Subject: key, Err: refusal,
				Hint: "another build carried out the same intent differently: finish the slot with the build that began it"}
		}
		object.SizeBytes, object.SHA256 = int64(len(existing)), storage.SHA256(existing)
		return nil
	})
	if err != nil {
		return Object{}, err
	}
	return object, nil
}

// MaxObjectBytes bounds what Publish reads back to compare: no smaller than
// what a scorer rolls into one file.
const MaxObjectBytes = 1 << 30

// existing returns the object's bytes, or nil if they are those of body.
func (l *Log) existing(ctx context.Context, key string, sizeBytes int64, body []byte) ([]byte, error) {
	if sizeBytes > MaxObjectBytes {
		return nil, corrupt("publish object", key, fmt.Errorf("%d bytes exist under its name, at most %d are an object", sizeBytes, MaxObjectBytes))
	}
	data, _, err := l.bucket.Get(ctx, key)
	if err != nil || bytes.Equal(data, body) {
		return nil, err
	}
	return data, nil
}

// Finish records that the pending intent has been carried out. It returns
// whether the slot's record is d, and the record that is; a different one was
// made by another executor and is as good, since the objects it names are the
// same. Either way the slot is finished and the next may be claimed.
//
// After Unavailable or Canceled the record may still take effect: call Finish
// again with the same d, or Open.
func (l *Log) Finish(ctx context.Context, d Done) (won bool, recorded Done, err error) {
	if l.state.Pending == nil {
		return false, Done{}, &thalweg.Error{Op: "finish slot", Kind: thalweg.Invalid, Subject: l.layout.DoneKey(d.Seq), Err: errNothingPending}
	}
	in := *l.state.Pending
	key := l.layout.DoneKey(in.Seq)
	intentRecord, err := in.Encode()
	if err != nil {
		return false, Done{}, err
	}
	intentSum := storage.SHA256(intentRecord)
	record, err := d.Encode()
	if err != nil {
		return false, Done{}, err
	}
	next, afterErr := l.state.after(in, d, storage.SHA256(record))
	if err := errors.Join(l.checkDone(in, intentSum, d), afterErr); err != nil {
		return false, Done{}, &thalweg.Error{Op: "finish slot", Kind: thalweg.Invalid, Subject: key, Err: err}
	}
	won, recorded = true, d
	if err := l.place(ctx, "finish slot", key, record, func(sizeBytes int64) error {
		other, sum, err := l.readDone(ctx, in, intentSum, sizeBytes)
		if err != nil {
			return err
		}
		won, recorded = sum == next.Previous, other
		if next, err = l.state.after(in, other, sum); err != nil {
			return corrupt("read done record", key, err)
		}
		return nil
	}); err != nil {
		return false, Done{}, err
	}
	l.state = next
	return won, recorded, nil
}

var errNothingPending = errors.New("no slot is pending: claim one first")

func (l *Log) done(objects []Object, dropped int64) (Done, error) {
	if l.state.Pending == nil {
		return Done{}, &thalweg.Error{Op: "make done record", Kind: thalweg.Invalid, Subject: l.layout.LogDir(), Err: errNothingPending}
	}
	in := *l.state.Pending
	record, err := in.Encode()
	if err != nil {
		return Done{}, err
	}
	d := Done{Seq: in.Seq, Intent: in.ID, IntentSHA256: storage.SHA256(record), Objects: slices.Clone(objects), Dropped: dropped}
	slices.SortFunc(d.Objects, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	for _, o := range d.Objects {
		switch o.Kind {
		case Scored:
			d.Scored += o.Rows
		case Dead:
			d.Dead += o.Rows
		}
	}
	d.Total = l.state.Total.plus(d.Counts())
	if err := errors.Join(d.Validate(), l.checkDone(in, d.IntentSHA256, d)); err != nil {
		return Done{}, &thalweg.Error{Op: "make done record", Kind: thalweg.Invalid, Subject: l.layout.DoneKey(in.Seq), Err: err}
	}
	return d, nil
}

// place creates the object unless its key is taken, and makes sure of the
// outcome: every answer but success means that the object may be there all the
// same, so the slot is read. Where something is there, resolve is called with
// its size and decides; where nothing is, the creation is tried again, as the
// same bytes under the same key do no harm twice.
func (l *Log) place(ctx context.Context, op, key string, body []byte, resolve func(sizeBytes int64) error) error {
	var last error
	for attempt := range l.config.Attempts {
		if attempt > 0 {
			if err := l.pause(ctx, attempt); err != nil {
				return err
			}
		}
		_, last = l.bucket.PutIfAbsent(ctx, key, body)
		switch thalweg.KindOf(last) {
		case thalweg.Exists, thalweg.Conflict, thalweg.Unavailable:
		default:
			return last // nil, or an error that trying again does not heal
		}
		info, err := l.bucket.Head(ctx, key)
		if err == nil {
			err = resolve(info.SizeBytes)
		}
		switch thalweg.KindOf(err) {
		case thalweg.NotFound, thalweg.Unavailable:
			last = err
		default:
			return err
		}
	}
	return &thalweg.Error{Op: op, Kind: thalweg.Unavailable, Subject: key, Err: last,
		Hint: fmt.Sprintf("the store gave no clear answer in %d tries; the outcome is unknown", l.config.Attempts)}
}
