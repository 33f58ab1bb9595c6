package train

import (
	"fmt"

	"github.com/thalweg/thalweg"
)

// Ledger proves that each training row was used exactly once per epoch (or as
// often as the algorithm passes over the rows). A row
// is known by a 64-bit hash of its shard and its name in the shard; a set of
// rows by the count and the wrapping sum of the hashes, in which a row missed or
// used twice shows.
type Ledger struct {
	// Expected is the training split, as counted while the shards were read.
	Expected RowSet `json:"expected"`
	// Passes is how often the algorithm uses each row in an epoch.
	Passes int `json:"passes"`
	// Epochs are the rows that replicas used, by epoch. The last one is partial in
	// a checkpoint within an epoch.
	Epochs []RowSet `json:"epochs"`
}

// RowSet is a multiset of rows, known by its size and the sum of their hashes.
type RowSet struct {
	Rows   int64  `json:"rows"`
	Digest Digest `json:"digest"`
}

// Digest is the wrapping sum of the rows' hashes. It is written in hex: JSON
// numbers of 64 bits do not survive every reader.
type Digest uint64

// String returns 16 hex digits.
func (d Digest) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// MarshalText writes 16 hex digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (d *Digest) UnmarshalText(text []byte) error {
	var v uint64
	if n, err := fmt.Sscanf(string(text), "%x", &v); n != 1 || err != nil || len(text) != 16 {
		return fmt.Errorf("%q is not a digest of 16 hex digits", text)
	}
	*d = Digest(v)
	return nil
}

// Add adds the rows of other.
func (t *RowSet) Add(other RowSet) {
	t.Rows += other.Rows
	t.Digest += other.Digest
}

// add adds one row by its hash.
func (t *RowSet) add(id uint64) {
	t.Rows++
	t.Digest += Digest(id)
}

// times returns n times the rows.
func (t RowSet) times(n int) RowSet {
	return RowSet{Rows: int64(n) * t.Rows, Digest: Digest(n) * t.Digest}
}

// check fails unless the given epoch, from 0, used the expected rows.
func (l *Ledger) check(run thalweg.RunID, epoch int) error {
	want := l.Expected.times(l.Passes)
	if got := l.Epochs[epoch]; got != want {
		return &thalweg.Error{Op: opTrain, Subject: fmt.Sprintf("run %s: epoch %d", run, epoch+1),
			Err:  fmt.Errorf("the ledger does not balance: used %d rows (%s) of %d (%s)", got.Rows, got.Digest, want.Rows, want.Digest),
			Hint: "this is a bug in training: please report it"}
	}
	return nil
}
