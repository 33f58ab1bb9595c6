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

// intent reads slot seq's claim and checks that it belongs there.
func (l *Log) intent(ctx context.Context, seq uint64, sizeBytes int64) (in Intent, sum string, err error) {
	key := l.layout.IntentKey(seq)
	for range 1 + storage.Rereads {
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
	for range 1 + storage.Rereads {
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

var errNotOpen = &thalweg.Error{Op: "use log", Kind: thalweg.Invalid, Err: errors.New("the log was not opened")}
