package commitlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
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
	winner = in
	if err := l.place(ctx, "claim slot", key, record, func(sizeBytes int64) (err error) {
		winner, _, err = l.intent(ctx, in.Seq, sizeBytes)
		return err
	}); err != nil {
		return false, Intent{}, err
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

// Finish records that the pending intent has been carried out. It returns
// whether the slot's record is d, and the record that is; a different one was
// made by another executor and is as good, since the objects it names are the
// same. Either way the slot is finished and the next may be claimed.
//
// After Unavailable or Canceled the record may still take effect: call Finish
// again with the same d, or Open.
func (l *Log) Finish(ctx context.Context, d Done) (won bool, recorded Done, err error) {
	in, err := l.pending("finish slot")
	if err != nil {
		return false, Done{}, err
	}
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

// pending returns the intent that is to be carried out.
func (l *Log) pending(op string) (Intent, error) {
	if l.state.Pending == nil {
		return Intent{}, &thalweg.Error{Op: op, Kind: thalweg.Invalid, Subject: l.layout.LogDir(), Err: errors.New("no slot is pending: claim one first")}
	}
	return *l.state.Pending, nil
}

// place creates the object unless its key is taken. Where something is there,
// resolve is called with its size and decides.
func (l *Log) place(ctx context.Context, op, key string, body []byte, resolve func(sizeBytes int64) error) error {
	p := retry.Policy{Backoff: retry.Backoff{Min: l.config.Backoff}, Attempts: l.config.Attempts}
	return storage.Create(ctx, l.bucket, p, op, key, body, func() error {
		info, err := l.bucket.Head(ctx, key)
		if err != nil {
			return err
		}
		return resolve(info.SizeBytes)
	})
}
