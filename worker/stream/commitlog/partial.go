package commitlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// A claim whose first events the topic has lost needs more between the claim and
// the done record: whoever carries it out has only the remaining rows, and an
// owner before may have published all of them, or may do so at any time.

// Found returns the keys of the objects of scored rows that exist under the
// names of the pending intent, in order.
func (l *Log) Found(ctx context.Context) ([]string, error) {
	in, err := l.pending("find objects")
	if err != nil {
		return nil, err
	}
	stem := l.layout.DataDir() + objectName(in)
	var keys []string
	for info, err := range l.bucket.List(ctx, stem, "") {
		if err != nil {
			return nil, err
		}
		if keys = append(keys, info.Key); len(keys) > MaxObjects {
			return nil, corrupt("find objects", stem, fmt.Errorf("more than %d objects", MaxObjects))
		}
	}
	return keys, nil
}

// Adopt returns what a done record says of an object that exists under a name of
// the pending intent, and that the caller has no rows for. accept sees to it
// that it may stand, and returns how many rows it has; if it fails so does Adopt,
// with Conflict.
func (l *Log) Adopt(ctx context.Context, kind ObjectKind, key string, accept func(existing []byte) (rows int64, err error)) (Object, error) {
	in, err := l.pending("adopt object")
	if err != nil {
		return Object{}, err
	}
	if !l.layout.names(in, kind, key) {
		return Object{}, conflict("adopt object", key, errors.New("no name that follows from the intent"))
	}
	info, err := l.bucket.Head(ctx, key)
	var body []byte
	if err == nil {
		body, _, err = l.existing(ctx, key, info.SizeBytes, nil)
	}
	if thalweg.Is(err, thalweg.NotFound) {
		// Finished by another, merged and deleted since it was found: the next look tells.
		err = &thalweg.Error{Op: "adopt object", Kind: thalweg.Unavailable, Subject: key, Err: err}
	}
	if err != nil {
		return Object{}, err
	}
	rows, err := accept(body)
	if err != nil {
		return Object{}, conflict("adopt object", key, err)
	}
	return Object{Key: key, SizeBytes: int64(len(body)), SHA256: storage.SHA256(body), Rows: rows, Kind: kind}, nil
}

func conflict(op, key string, err error) error {
	return &thalweg.Error{Op: op, Kind: thalweg.Conflict, Subject: key, Err: err,
		Hint: "another build carried out the same intent differently: finish the slot with the build that began it"}
}

// Reserve takes the name of the pending intent's dead letters by an object of no
// bytes, which is no letter and no done record names. Afterwards nobody can
// publish dead letters of the intent, nor therefore deliver any. It returns false
// if dead letters are there already: they are to be adopted.
func (l *Log) Reserve(ctx context.Context) (free bool, err error) {
	in, err := l.pending("reserve name")
	if err != nil {
		return false, err
	}
	free = true
	err = l.place(ctx, "reserve name", l.layout.DeadKey(in), []byte{}, func(sizeBytes int64) error {
		free = sizeBytes == 0
		return nil
	})
	return free && err == nil, err
}

// DeadKey returns the name of the pending intent's dead letters.
func (l *Log) DeadKey() string { return l.layout.DeadKey(*l.state.Pending) }
