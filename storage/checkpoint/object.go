package checkpoint

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// MaxObjectBytes bounds a single object: the partial result of one task, or a
// merged one.
const MaxObjectBytes = MaxPartBytes

// objectDigits is how much of an object's sha256 its key carries.
const objectDigits = 16

// PutObject stores body under key with a part of its sha256 before the
// extension ("runs/r-1-1/clean/3.json" becomes ".../3-<16 hex digits>.json")
// and returns the reference. So a late writer with other bytes, fenced or not,
// never changes what a reference names; writing the same bytes again changes
// nothing.
func PutObject(ctx context.Context, b storage.Bucket, key string, body []byte) (thalweg.ObjectRef, error) {
	if len(body) > MaxObjectBytes {
		return thalweg.ObjectRef{}, &thalweg.Error{Op: "put object", Kind: thalweg.Exhausted, Subject: key,
			Err: fmt.Errorf("%d bytes, at most %d are an object", len(body), MaxObjectBytes)}
	}
	sum := storage.SHA256(body)
	ext := path.Ext(key)
	ref := thalweg.ObjectRef{Key: strings.TrimSuffix(key, ext) + "-" + sum[:objectDigits] + ext, SHA256: sum}
	if err := ensure(ctx, b, ref.Key, body, sum); err != nil {
		return thalweg.ObjectRef{}, err
	}
	return ref, nil
}

// GetObject returns the object's bytes, which have the sha256 that ref tells.
// Errors: NotFound, and Corrupt naming the object.
func GetObject(ctx context.Context, b storage.Bucket, ref thalweg.ObjectRef) ([]byte, error) {
	if err := checkRef(ref); err != nil {
		return nil, err
	}
	return fetch(ctx, b, ref.Key, ref.SHA256, 0, MaxObjectBytes)
}

func checkRef(ref thalweg.ObjectRef) error {
	if !sumPattern.MatchString(ref.SHA256) {
		return &thalweg.Error{Op: "check reference", Kind: thalweg.Invalid, Subject: ref.String(),
			Err: fmt.Errorf("%.80q is not a sha256", ref.SHA256)}
	}
	return nil
}
