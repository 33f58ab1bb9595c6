package commitlog

import (
	"context"
	"errors"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// ReadObject returns the bytes of an object that a done record names. Where they
// are others than the record says, they are read anew storage.Rereads times.
// Errors: those of the bucket, and Corrupt naming the object.
func ReadObject(ctx context.Context, bucket storage.Bucket, o Object) ([]byte, error) {
	for range 1 + storage.Rereads {
		body, _, err := bucket.Get(ctx, o.Key)
		if err != nil {
			return nil, err
		}
		if int64(len(body)) == o.SizeBytes && storage.SHA256(body) == o.SHA256 {
			return body, nil
		}
	}
	return nil, &thalweg.Error{Op: "read committed object", Kind: thalweg.Corrupt, Subject: o.Key, Err: errors.New("its size or sha256 is not that of its record")}
}
