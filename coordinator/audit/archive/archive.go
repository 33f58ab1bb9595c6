// Package archive keeps the audit log in a bucket: immutable objects of records, one
// after the other, each named by its first record.
package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/storage"
)

// prefix is where the audit logs are, by cluster.
const prefix = "audit/"

// MaxRecords bounds the records of one object, a kilobyte each at most.
const MaxRecords = 512

// Key names the object of a cluster that begins with a record.
func Key(cluster string, first uint64) string {
	return fmt.Sprintf("%s%s/%020d.jsonl", prefix, cluster, first)
}

// Put writes the first of the records, MaxRecords at most, as an object, and returns
// the newest that is there, read back. Where another leader wrote an object for the
// first record before, that one counts, if its records are these.
func Put(ctx context.Context, b storage.Bucket, cluster string, records []audit.Record) (upto audit.Head, err error) {
	records = records[:min(len(records), MaxRecords)]
	key := Key(cluster, records[0].Seq)
	body, err := audit.Encode(records)
	if err != nil {
		return upto, err
	}
	if _, err := b.PutIfAbsent(ctx, key, body); err != nil && !thalweg.Is(err, thalweg.Exists) && !thalweg.IsTransient(err) {
		return upto, err
	}
	found, err := get(ctx, b, key)
	if err != nil {
		return upto, err
	}
	for i, r := range found {
		if i >= len(records) || r != records[i] {
			return upto, &thalweg.Error{Op: "write audit log", Kind: thalweg.Conflict, Subject: key, Err: fmt.Errorf("record %d there is another", records[0].Seq+uint64(i)),
				Hint: "somebody else wrote it: move the object away, and see who may write to the bucket"}
		}
		upto = audit.Head{Seq: r.Seq, Hash: r.Hash}
	}
	return upto, nil
}

// get returns the records of an object.
func get(ctx context.Context, b storage.Bucket, key string) ([]audit.Record, error) {
	body, _, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	records, err := audit.Decode(body)
	if err == nil && len(records) == 0 {
		err = errors.New("it has no record")
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "read audit log", Kind: thalweg.Corrupt, Subject: key, Err: err}
	}
	return records, nil
}

// Records yields the records of a cluster that are numbered from a number on, in the
// order of their objects; backwards, those up to it, the newest first. It does not
// check that they are a chain.
func Records(ctx context.Context, b storage.Bucket, cluster string, from uint64, backwards bool) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		keys, err := list(ctx, b, cluster, from, backwards)
		if err != nil {
			yield(audit.Record{}, err)
			return
		}
		for _, key := range keys {
			records, err := get(ctx, b, key)
			if err != nil {
				yield(audit.Record{}, err)
				return
			}
			if backwards {
				slices.Reverse(records)
			}
			for _, r := range records {
				if wanted := r.Seq >= from != backwards || r.Seq == from; wanted && !yield(r, nil) {
					return
				}
			}
		}
	}
}

// list returns the objects that may have the records.
func list(ctx context.Context, b storage.Bucket, cluster string, from uint64, backwards bool) (keys []string, err error) {
	for info, err := range b.List(ctx, prefix+cluster+"/", "") {
		if err != nil {
			return nil, err
		}
		first, failed := strconv.ParseUint(strings.TrimSuffix(path.Base(info.Key), ".jsonl"), 10, 64)
		switch {
		case failed != nil:
		case backwards && first > from:
		case !backwards && first <= from && len(keys) > 0:
			keys = append(keys[:0], info.Key) // those before have none
		default:
			keys = append(keys, info.Key)
		}
	}
	if backwards {
		slices.Reverse(keys)
	}
	return keys, nil
}
