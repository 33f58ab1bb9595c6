// Package storage defines Bucket, the one seam through which Thalweg keeps
// objects. Its children provide it: storage/s3 by minio-go, storage/file by a
// directory, storage/memory in process. Every provider passes the one suite in
// storage/storagetest.
package storage

import (
	"context"
	"iter"
)

// Info describes one object.
type Info struct {
	Key       string
	SizeBytes int64
	// ETag changes whenever the object's bytes change; providers differ in how
	// they derive it. It is empty where a provider's List does not know it.
	ETag string
	// Version names these bytes of the key for as long as the provider keeps them.
	// It is empty where the provider keeps no versions, and from List.
	Version string
}

// Bucket holds immutable-by-convention objects under slash-separated keys.
//
// All methods may be called concurrently. Bodies passed in are not kept after
// the call returns and bodies returned belong to the caller. Errors are
// *thalweg.Error: NotFound for an absent key, Exists from PutIfAbsent,
// Unavailable where a retry may help and the outcome is unknown, Canceled when
// ctx ended, Exhausted where the store is full, Invalid for a malformed key
// (ValidateKey).
//
// Callers never make a key that lies below another ("a/b" beside "a"): stores
// that keep objects as files refuse the second with Invalid, and MinIO takes
// both but lists one. No provider loses the first.
type Bucket interface {
	// Get returns the whole object and its description.
	Get(ctx context.Context, key string) ([]byte, Info, error)
	// GetRange fills buf from the object's bytes at offset; it fails with
	// Invalid if the object is shorter than offset+len(buf).
	GetRange(ctx context.Context, key string, offset int64, buf []byte) error
	// Put creates or replaces the object.
	Put(ctx context.Context, key string, body []byte) (Info, error)
	// PutIfAbsent creates the object and fails with Exists, atomically, if the
	// key is taken. After Exists or Unavailable the caller may have won all the
	// same (a lost reply and an inner retry): read the slot and compare.
	PutIfAbsent(ctx context.Context, key string, body []byte) (Info, error)
	// Head describes the object.
	Head(ctx context.Context, key string) (Info, error)
	// List yields the objects whose keys begin with prefix and sort after the
	// key after (empty: from the first), in byte order of keys. It stops at the
	// first error.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete removes the object; an absent key is no error.
	Delete(ctx context.Context, key string) error
}

// Opener opens buckets by name: "lake" of s3://lake/flights/*.parquet.
type Opener interface {
	// Bucket returns the named bucket; NotFound if it does not exist.
	Bucket(ctx context.Context, name string) (Bucket, error)
	// CreateBucket makes the bucket; an existing one is no error.
	CreateBucket(ctx context.Context, name string) error
}
