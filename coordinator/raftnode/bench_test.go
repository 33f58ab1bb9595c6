package raftnode

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// An append with its sums and its head, beside a bare put of bbolt, whose fsync is
// the limit.
func BenchmarkAppend(b *testing.B) {
	data := make([]byte, 512)
	b.Run("store", func(b *testing.B) {
		s, err := openStore(filepath.Join(b.TempDir(), "log.db"), "", func(err error) { b.Error(err) })
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		for i := uint64(1); b.Loop(); i++ {
			if err := s.StoreLog(&raft.Log{Index: i, Term: 1, Data: data, AppendedAt: time.Now()}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bbolt", func(b *testing.B) {
		db, err := bbolt.Open(filepath.Join(b.TempDir(), "log.db"), 0o600, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		for i := uint64(1); b.Loop(); i++ {
			err := db.Update(func(tx *bbolt.Tx) error {
				bucket, err := tx.CreateBucketIfNotExists([]byte(entryBucket))
				if err != nil {
					return err
				}
				return bucket.Put(indexKey(i), data)
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
