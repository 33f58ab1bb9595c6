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

// MaxObjectBytes bounds an object of rows, which is written in one request and
// held in memory: far more than a scorer rolls into one file.
const MaxObjectBytes = 1 << 30

// Publish creates the object of a kind for the pending intent, of the scored rows
// of one day ("2026-01-31", or Unknown) where it is partitioned, and returns what a
// done record says of it. The object's name follows from the intent, and what is
// published is never overwritten: if another executor of the same intent was
// there first with the same bytes, that is success.
//
// Different bytes under the name, as another build may have written them, are
// handed to accept, which must see to it that they hold the same rows; if it
// returns nil they stand and the returned Object describes them, otherwise
// Publish fails with Conflict. A nil accept accepts nothing. Publish neither
// keeps nor changes body.
func (l *Log) Publish(ctx context.Context, kind ObjectKind, day string, rows int64, body []byte, accept func(existing []byte) error) (Object, error) {
	in, err := l.pending("publish object")
	if err != nil {
		return Object{}, err
	}
	key := l.layout.key(in, kind, day)
	byDay := kind == Scored && in.PartitionBy != ""
	switch {
	case !l.layout.names(in, kind, key) || byDay != (day != "") || kind != Scored && kind != Dead:
		return Object{}, &thalweg.Error{Op: "publish object", Kind: thalweg.Invalid, Subject: key,
			Err: fmt.Errorf("%q is no day of kind %q, partitioned by %q", day, kind, in.PartitionBy)}
	case rows <= 0 || len(body) == 0:
		return Object{}, &thalweg.Error{Op: "publish object", Kind: thalweg.Invalid, Subject: key, Err: fmt.Errorf("%d rows in %d bytes: both are positive", rows, len(body))}
	case len(body) > MaxObjectBytes:
		return Object{}, &thalweg.Error{Op: "publish object", Kind: thalweg.Exhausted, Subject: key,
			Err: fmt.Errorf("%d bytes, at most %d are an object", len(body), MaxObjectBytes)}
	}
	object := Object{Key: key, SizeBytes: int64(len(body)), SHA256: storage.SHA256(body), Rows: rows, Kind: kind}
	err = l.place(ctx, "publish object", key, body, func(sizeBytes int64) error {
		existing, same, err := l.existing(ctx, key, sizeBytes, body)
		if err != nil || same {
			return err
		}
		refusal := errors.New("other bytes exist under its name")
		if accept != nil {
			refusal = accept(existing)
		}
		if refusal != nil {
			return conflict("publish object", key, refusal)
		}
		object.SizeBytes, object.SHA256 = int64(len(existing)), storage.SHA256(existing)
		return nil
	})
	if err != nil {
		return Object{}, err
	}
	return object, nil
}

// existing returns the object's bytes, and whether they are those of body, which
// is nil if there is nothing to compare with. Bytes that differ are believed only
// when agreeing reads say so: of a small object, two reads spoilt on the way are
// alike now and then.
func (l *Log) existing(ctx context.Context, key string, sizeBytes int64, body []byte) (data []byte, same bool, err error) {
	if sizeBytes > MaxObjectBytes {
		return nil, false, corrupt("publish object", key, fmt.Errorf("%d bytes exist under its name, at most %d are an object", sizeBytes, MaxObjectBytes))
	}
	const agreeing = 3
	alike := make(map[string]int) // sha256 → reads
	for range agreeing + 2*storage.Rereads {
		data, _, err := l.bucket.Get(ctx, key)
		if err != nil || body != nil && bytes.Equal(data, body) {
			return data, err == nil, err
		}
		sum := storage.SHA256(data)
		if alike[sum]++; alike[sum] == agreeing {
			return data, false, nil
		}
	}
	return nil, false, corrupt("publish object", key, errors.New("it reads differently each time"))
}

// Complete makes d the record that finishes the pending intent: it binds it to the
// intent, puts its objects in order and sums them. d has its Objects, and Dropped,
// Gaps, Lost, Inputs, Offsets and Runs as far as the intent's action has them.
func (l *Log) Complete(d Done) (Done, error) {
	in, err := l.pending("make done record")
	if err != nil {
		return Done{}, err
	}
	record, err := in.Encode()
	if err != nil {
		return Done{}, err
	}
	d.Seq, d.Intent, d.IntentSHA256 = in.Seq, in.ID, storage.SHA256(record)
	d.Objects = slices.Clone(d.Objects)
	slices.SortFunc(d.Objects, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	for _, o := range d.Objects {
		switch o.Kind {
		case Scored:
			d.Scored += o.Rows
		case Dead:
			d.Dead += o.Rows
		}
	}
	d.Total = l.state.Total.plus(adds(in, d))
	if err := errors.Join(d.Validate(), l.checkDone(in, d.IntentSHA256, d)); err != nil {
		return Done{}, &thalweg.Error{Op: "make done record", Kind: thalweg.Invalid, Subject: l.layout.DoneKey(in.Seq), Err: err}
	}
	return d, nil
}
