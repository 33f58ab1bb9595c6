package commitlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

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

// record reads a record by decode, again where it is damaged on the way.
func (l *Log) record(ctx context.Context, op, key string, sizeBytes int64, decode func(data []byte) error) (sum string, err error) {
	for range 1 + storage.Rereads {
		data, failed := l.fetch(ctx, key, sizeBytes)
		if failed != nil {
			return "", failed
		}
		if err = decode(data); err == nil {
			return storage.SHA256(data), nil
		}
	}
	return "", corrupt(op, key, err)
}

// intent reads slot seq's claim and checks that it belongs there.
func (l *Log) intent(ctx context.Context, seq uint64, sizeBytes int64) (in Intent, sum string, err error) {
	sum, err = l.record(ctx, "read intent", l.layout.IntentKey(seq), sizeBytes, func(data []byte) (err error) { in, err = DecodeIntent(data); return err })
	if err != nil {
		return Intent{}, "", err
	}
	return in, sum, l.checkOwn(in, seq)
}

// readDone reads slot seq's done record and checks that it finishes the intent
// whose record has the given sha256.
func (l *Log) readDone(ctx context.Context, in Intent, intentSum string, sizeBytes int64) (d Done, sum string, err error) {
	key := l.layout.DoneKey(in.Seq)
	sum, err = l.record(ctx, "read done record", key, sizeBytes, func(data []byte) (err error) { d, err = DecodeDone(data); return err })
	if err == nil {
		if wrong := l.checkDone(in, intentSum, d); wrong != nil {
			err = corrupt("read done record", key, wrong)
		}
	}
	if err != nil {
		return Done{}, "", err
	}
	return d, sum, nil
}

var errNotOpen = &thalweg.Error{Op: "use log", Kind: thalweg.Invalid, Err: errors.New("the log was not opened")}
