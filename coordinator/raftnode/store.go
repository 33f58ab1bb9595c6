package raftnode

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/thalweg/thalweg"
)

// The buckets of log.db, and the one key of the first. Every value begins with a
// sum of the rest.
const (
	headBucket  = "head"
	entryBucket = "log"
	headKey     = "head"
)

const (
	sumBytes = 8
	// entryHeader: index, term, type, time and the length of the extensions.
	entryHeader = 8 + 8 + 1 + 8 + 4
)

// lockWait is how long opening waits for another process to let go of the
// directory; longer than a restart overlaps.
const lockWait = 2 * time.Second

// errNotFound is told from others by raft by its text.
var errNotFound = errors.New("not found")

// head is what the entries and the snapshots must agree with. It changes in the
// same transaction as they do, so that none of them can go missing unseen.
type head struct {
	First    uint64            `json:"first"` // 0 if there is no entry
	Last     uint64            `json:"last"`
	Election map[string][]byte `json:"election"` // term and vote, as raft names them
	// Snapshot is the newest, and Writing the ID of one that may be on disk and is
	// not it yet.
	Snapshot *snapshotRef `json:"snapshot,omitempty"`
	Writing  string       `json:"writing,omitempty"`
}

// snapshotRef names a snapshot and vouches for its meta.json, which holds the sum
// of its body.
type snapshotRef struct {
	ID    string `json:"id"`
	Index uint64 `json:"index"`
	Sum   uint64 `json:"sum"`
}

// store is raft's log and its term and vote in a bbolt file. What it reads, it
// verifies. It ends the node on damage and on the first write or fsync that
// fails: raft itself panics on some of them, and after others only steps down
// and would acknowledge again when elected again, though nobody knows what the
// file holds.
type store struct {
	db     *bbolt.DB
	path   string
	hint   string // what to do about damage
	fail   func(error)
	broken atomic.Bool // bbolt panicked: its locks may be held for ever
}

var (
	_ raft.LogStore          = (*store)(nil)
	_ raft.StableStore       = (*store)(nil)
	_ raft.MonotonicLogStore = (*store)(nil)
)

// openStore opens the file, or creates it. Only a file that was inspected may be
// opened.
func openStore(path, hint string, fail func(error)) (*store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists([]byte(entryBucket)); err != nil {
			return err
		}
		b, err := tx.CreateBucketIfNotExists([]byte(headBucket))
		if err != nil || b.Get([]byte(headKey)) != nil {
			return err
		}
		return putHead(tx, &head{})
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &store{db: db, path: path, hint: hint, fail: fail}, nil
}

// Close closes the file.
func (s *store) Close() error {
	if s.broken.Load() {
		return nil
	}
	return s.db.Close()
}

// IsMonotonic makes raft drop the log when it installs a snapshot that is ahead
// of it, so that indexes never have a gap.
func (s *store) IsMonotonic() bool { return true }

// FirstIndex returns the index of the first entry, 0 if there is none.
func (s *store) FirstIndex() (uint64, error) {
	h, err := s.head()
	return h.First, err
}

// LastIndex returns the index of the last entry, 0 if there is none.
func (s *store) LastIndex() (uint64, error) {
	h, err := s.head()
	return h.Last, err
}

// GetLog reads an entry. Damage ends the node and the calling goroutine with it,
// since raft panics on errors here.
func (s *store) GetLog(index uint64, l *raft.Log) error {
	absent := false
	err := s.view(func(tx *bbolt.Tx, h *head) error {
		if absent = index < h.First || index > h.Last || index == 0; absent {
			return nil
		}
		return decodeEntry(index, tx.Bucket([]byte(entryBucket)).Get(indexKey(index)), l)
	})
	switch {
	case err != nil:
		runtime.Goexit()
	case absent:
		return raft.ErrLogNotFound
	}
	return nil
}

// StoreLog writes one entry.
func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs writes entries.
func (s *store) StoreLogs(logs []*raft.Log) error {
	return s.update("store entries", func(tx *bbolt.Tx, h *head) error {
		b := tx.Bucket([]byte(entryBucket))
		for _, l := range logs {
			if h.Last != 0 && l.Index != h.Last+1 {
				return fmt.Errorf("entry %d after entry %d", l.Index, h.Last)
			}
			if err := b.Put(indexKey(l.Index), encodeEntry(l)); err != nil {
				return err
			}
			if h.Last = l.Index; h.First == 0 {
				h.First = l.Index
			}
		}
		return nil
	})
}

// DeleteRange removes entries at the beginning or the end of the log.
func (s *store) DeleteRange(first, last uint64) error {
	return s.update("truncate", func(tx *bbolt.Tx, h *head) error {
		first, last := max(first, h.First), min(last, h.Last)
		if first > last || h.Last == 0 {
			return nil
		}
		b := tx.Bucket([]byte(entryBucket))
		for i := first; i <= last; i++ {
			if err := b.Delete(indexKey(i)); err != nil {
				return err
			}
		}
		switch {
		case first == h.First && last == h.Last:
			h.First, h.Last = 0, 0
		case first == h.First:
			h.First = last + 1
		case last == h.Last:
			h.Last = first - 1
		default:
			return fmt.Errorf("entries %d to %d are in the midst of %d to %d", first, last, h.First, h.Last)
		}
		return nil
	})
}

// Set writes a value of the election's.
func (s *store) Set(key, value []byte) error {
	return s.update("store vote", func(_ *bbolt.Tx, h *head) error {
		if h.Election == nil {
			h.Election = make(map[string][]byte)
		}
		h.Election[string(key)] = value
		return nil
	})
}

// Get reads a value of the election's.
func (s *store) Get(key []byte) ([]byte, error) {
	h, err := s.head()
	if err != nil {
		return nil, err
	}
	if value, ok := h.Election[string(key)]; ok {
		return value, nil
	}
	return nil, errNotFound
}

// SetUint64 writes a number of the election's. A failure ends the calling
// goroutine too, since raft panics on errors here.
func (s *store) SetUint64(key []byte, value uint64) error {
	if s.Set(key, binary.BigEndian.AppendUint64(nil, value)) != nil {
		runtime.Goexit()
	}
	return nil
}

// GetUint64 reads a number of the election's.
func (s *store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, s.damaged(fmt.Errorf("%s has %d bytes", key, len(value)))
	}
	return binary.BigEndian.Uint64(value), nil
}

func (s *store) head() (head, error) {
	var found head
	err := s.view(func(_ *bbolt.Tx, h *head) error {
		found = *h
		return nil
	})
	return found, err
}

// view reads; an error is damage.
func (s *store) view(look func(*bbolt.Tx, *head) error) error {
	err := s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			h, err := readHead(tx)
			if err != nil {
				return err
			}
			return look(tx, h)
		})
	})
	if err != nil {
		return s.damaged(err)
	}
	return nil
}

// update changes entries and the head in one transaction.
func (s *store) update(op string, change func(*bbolt.Tx, *head) error) error {
	err := s.guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			h, err := readHead(tx)
			if err != nil {
				return err
			}
			if err := change(tx, h); err != nil {
				return err
			}
			return putHead(tx, h)
		})
	})
	if err == nil {
		return nil
	}
	err = &thalweg.Error{Op: op, Kind: thalweg.Corrupt, Subject: s.path,
		Hint: "the node stops; check the disk before starting it again", Err: err}
	s.fail(err)
	return err
}

// guard turns what bbolt does on a damaged page, and what the kernel does on a
// file that was cut off beneath it, into an error.
func (s *store) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			s.broken.Store(true)
			err = fmt.Errorf("a page is damaged: %v", p)
		}
	}()
	return do()
}

// damaged ends the node and returns why.
func (s *store) damaged(err error) error {
	err = &thalweg.Error{Op: "read raft log", Kind: thalweg.Corrupt, Subject: s.path, Hint: s.hint, Err: err}
	s.fail(err)
	return err
}

func readHead(tx *bbolt.Tx) (*head, error) {
	b := tx.Bucket([]byte(headBucket))
	if b == nil {
		return nil, errHeadless
	}
	return decodeHead(b.Get([]byte(headKey)))
}

func putHead(tx *bbolt.Tx, h *head) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(headBucket)).Put([]byte(headKey), seal(data))
}

var errHeadless = errors.New("the record of term and vote is missing")

func decodeHead(value []byte) (*head, error) {
	data, err := unseal(value)
	if err != nil {
		return nil, fmt.Errorf("the record of term and vote: %w", err)
	}
	h := &head{}
	if err := thalweg.DecodeStrict(data, h); err != nil {
		return nil, fmt.Errorf("the record of term and vote: %w", err)
	}
	return h, nil
}

func encodeEntry(l *raft.Log) []byte {
	data := make([]byte, 0, entryHeader+len(l.Extensions)+len(l.Data))
	data = binary.BigEndian.AppendUint64(data, l.Index)
	data = binary.BigEndian.AppendUint64(data, l.Term)
	data = append(data, byte(l.Type))
	data = binary.BigEndian.AppendUint64(data, uint64(l.AppendedAt.UnixMicro()))
	data = binary.BigEndian.AppendUint32(data, uint32(len(l.Extensions)))
	return seal(append(append(data, l.Extensions...), l.Data...))
}

func decodeEntry(index uint64, value []byte, l *raft.Log) error {
	if value == nil {
		return fmt.Errorf("entry %d is missing", index)
	}
	data, err := unseal(value)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	if len(data) < entryHeader || binary.BigEndian.Uint64(data) != index ||
		uint64(binary.BigEndian.Uint32(data[25:])) > uint64(len(data)-entryHeader) {
		return fmt.Errorf("entry %d is another's", index)
	}
	rest := append([]byte(nil), data[entryHeader:]...) // bbolt's bytes end with the transaction
	extensions := binary.BigEndian.Uint32(data[25:])
	*l = raft.Log{
		Index: index, Term: binary.BigEndian.Uint64(data[8:]), Type: raft.LogType(data[16]),
		AppendedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(data[17:]))), Data: rest[extensions:],
	}
	if extensions > 0 {
		l.Extensions = rest[:extensions:extensions]
	}
	return nil
}

func indexKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

var sumTable = crc64.MakeTable(crc64.ECMA)

// seal puts the sum of data before it.
func seal(data []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, sumBytes+len(data)), crc64.Checksum(data, sumTable)), data...)
}

// unseal returns what was sealed.
func unseal(value []byte) ([]byte, error) {
	if len(value) < sumBytes {
		return nil, fmt.Errorf("%d bytes are too few", len(value))
	}
	if data := value[sumBytes:]; crc64.Checksum(data, sumTable) == binary.BigEndian.Uint64(value) {
		return data, nil
	}
	return nil, errors.New("its bytes are not those that were written")
}
