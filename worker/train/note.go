package train

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// contribution is what a replica gives to an exchange.
type contribution struct {
	weight float64
	vector kernel.Vector
	note   []byte
}

// used is the rows of a replica's round and the sum of their losses.
type used struct {
	tally Tally
	loss  float64
}

// usedBytes is the size of an encoded used.
const usedBytes = 24

func (u used) encode() []byte {
	out := binary.LittleEndian.AppendUint64(make([]byte, 0, usedBytes), uint64(u.tally.Rows))
	out = binary.LittleEndian.AppendUint64(out, uint64(u.tally.Digest))
	return binary.LittleEndian.AppendUint64(out, math.Float64bits(u.loss))
}

func decodeUsed(note []byte) (used, error) {
	if len(note) != usedBytes {
		return used{}, fmt.Errorf("%d bytes are no note of a round", len(note))
	}
	return used{
		tally: Tally{Rows: int64(binary.LittleEndian.Uint64(note)), Digest: Digest(binary.LittleEndian.Uint64(note[8:]))},
		loss:  math.Float64frombits(binary.LittleEndian.Uint64(note[16:])),
	}, nil
}
