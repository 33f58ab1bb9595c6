// Package shuffle brings the rows of a dataset together that have one key, wherever they
// are, and says which of them are not the first: see DESIGN.md.
package shuffle

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"github.com/thalweg/thalweg"
)

// Record is one row on its way to the others of its key.
type Record struct {
	// Key is a hash of 128 bits of the row's values in the columns of the key.
	Key [2]uint64
	// Rank and At order the rows of a key: At has the place of the row, which no other has.
	Rank, At uint64
	// Value is that of the row in the column of values, or the number of a text.
	Value uint64
}

// RecordBytes is what a record takes as bytes.
const RecordBytes = 40

// A place is 24 bits of a shard and 38 of a row in it: sixteen million shards, as many as
// a dataset can have, of a quarter of a trillion rows.
const (
	rowBits   = 38
	placeBits = 62
	placeMask = 1<<placeBits - 1
	// unranked is the bit of At of a row that has no value to be ordered by, valued that of
	// one that has a Value. The place is between them.
	unranked = 1 << 63
	valued   = 1
)

// place returns a row's place.
func place(shard int, row int64) (uint64, error) {
	if uint64(row)>>rowBits != 0 || uint64(shard)>>(placeBits-rowBits) != 0 {
		return 0, &thalweg.Error{Op: opShuffle, Kind: thalweg.Unsupported, Subject: fmt.Sprintf("row %d of shard %d", row, shard), Hint: "write more and smaller files"}
	}
	return uint64(shard)<<rowBits | uint64(row), nil
}

const opShuffle = "shuffle rows"

func compare(a, b Record) int {
	if a.Key[0] != b.Key[0] {
		return cmp.Compare(a.Key[0], b.Key[0])
	}
	if a.Key[1] != b.Key[1] {
		return cmp.Compare(a.Key[1], b.Key[1])
	}
	if a.Rank != b.Rank {
		return cmp.Compare(a.Rank, b.Rank)
	}
	return cmp.Compare(a.At, b.At)
}

// Append appends the bytes of a record.
func Append(dst []byte, r Record) []byte {
	le := binary.LittleEndian
	return le.AppendUint64(le.AppendUint64(le.AppendUint64(le.AppendUint64(le.AppendUint64(dst, r.Key[0]), r.Key[1]), r.Rank), r.At), r.Value)
}

// decode reads a record of RecordBytes.
func decode(b []byte) Record {
	le, b := binary.LittleEndian, b[:RecordBytes]
	return Record{[2]uint64{le.Uint64(b), le.Uint64(b[8:])}, le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:])}
}

// Reducer returns which of so many reducers has the rows of a key. It goes by bits that
// the order within a reducer does not begin with.
func (r *Record) Reducer(of int) int { return int(r.Key[1] % uint64(of)) }
