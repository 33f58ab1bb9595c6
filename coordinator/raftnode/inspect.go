package raftnode

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	boltErrors "go.etcd.io/bbolt/errors"

	"github.com/thalweg/thalweg"
)

// errOtherForm is about a file that is whole and was not written by this form of
// the store.
var errOtherForm = &thalweg.Error{Op: "read raft log", Kind: thalweg.Unsupported, Subject: "its form",
	Hint: "an older build wrote it, and older forms are not read: start with an empty directory"}

// inspect verifies a log file whole before bbolt may write to it, and returns its
// head. Damage is Corrupt.
func inspect(path string) (*head, error) {
	// Opened for reading, bbolt looks at no more than the meta pages, and keeps the
	// processes away that write. What else it says is said better by verify.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	switch {
	case errors.Is(err, boltErrors.ErrTimeout):
		return nil, &thalweg.Error{Op: "lock", Kind: thalweg.Unavailable, Subject: path, Hint: "is another process using the directory?", Err: err}
	case err == nil:
		defer db.Close()
	}
	file, cannot := os.Open(path)
	if cannot != nil {
		return nil, cannot
	}
	defer file.Close()
	info, cannot := file.Stat()
	if cannot != nil {
		return nil, cannot
	}
	head, damage := verify(file, info.Size(), func(*raft.Log) {})
	if damage != nil {
		return nil, corrupt(damage)
	}
	return head, err
}

// corrupt makes damage of an error that is not of another kind.
func corrupt(err error) error {
	return &thalweg.Error{Op: "verify", Kind: cmp.Or(thalweg.KindOf(err), thalweg.Corrupt), Err: err}
}

// verify reads a log file and hands out its entries in order.
func verify(file io.ReaderAt, sizeBytes int64, each func(*raft.Log)) (*head, error) {
	var (
		head     *head
		first, n uint64 // of the entries
		older    bool
	)
	err := walkBolt(file, sizeBytes, func(bucket string, key, value []byte) (err error) {
		switch {
		case bucket == headBucket && string(key) == headKey:
			head, err = decodeHead(value)
			return err
		case bucket == "conf" || bucket == "logs":
			older = true
			return nil
		case bucket != entryBucket || len(key) != 8:
			return fmt.Errorf("%q in bucket %q is not known", key, bucket)
		}
		index := binary.BigEndian.Uint64(key)
		if n == 0 {
			first = index
		}
		if index != first+n {
			return fmt.Errorf("entry %d is missing before entry %d", first+n, index)
		}
		n++
		l := new(raft.Log)
		if err := decodeEntry(index, value, l); err != nil {
			return err
		}
		each(l)
		return nil
	})
	switch {
	case err != nil && n > 0:
		return nil, fmt.Errorf("after %d entries from entry %d on: %w", n, first, err)
	case err != nil:
		return nil, err
	case head == nil && older:
		return nil, errOtherForm
	case head == nil:
		return nil, errHeadless
	case older || head.First != first || n > 0 && head.Last != first+n-1 || n == 0 && head.Last != 0:
		return nil, fmt.Errorf("entries %d to %d belong here, and %d are there from entry %d on", head.First, head.Last, n, first)
	}
	return head, nil
}
