package encode

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/parquet-go/bitpack"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// bitWidth returns the bits of indices into a dictionary; at least one, since
// readers differ in what they make of none.
func bitWidth(entries int) uint { return uint(max(bits.Len(uint(entries-1)), 1)) }

// appendIndices appends a page of dictionary indices: their width, then one run.
func appendIndices(dst []byte, ids []uint32, entries int) []byte {
	width := bitWidth(entries)
	return appendRuns(append(dst, byte(width)), ids, width)
}

// appendRuns appends one run of values of width bits: of a single value if they are
// all the same, and bit-packed otherwise.
func appendRuns(dst []byte, ids []uint32, width uint) []byte {
	same := true
	for _, id := range ids {
		if id != ids[0] {
			same = false
			break
		}
	}
	if same {
		dst = binary.AppendUvarint(dst, uint64(len(ids))<<1)
		var word [4]byte
		binary.LittleEndian.PutUint32(word[:], ids[0])
		return append(dst, word[:(width+7)/8]...)
	}
	groups := (len(ids) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	return appendPacked(dst, ids, groups*8, width)
}

// appendPacked appends n values of width bits: v, then zeros.
func appendPacked[T uint32 | uint64](dst []byte, v []T, n int, width uint) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, n*int(width)/8)...)
	whole := len(v) &^ 7
	bitpack.Pack(dst[at:], v[:whole], width)
	if whole < len(v) {
		var last [8]T
		copy(last[:], v[whole:])
		bitpack.Pack(dst[at+whole*int(width)/8:], last[:], width)
	}
	return dst
}

// appendLevels appends the definition levels of rows [from, to), 1 where valid
// has a one: their size, then one run.
func appendLevels(dst []byte, valid *encoding.Bitmap, from, to int) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	switch ones := valid.Ones(from, to); ones {
	case to - from, 0:
		dst = binary.AppendUvarint(dst, uint64(to-from)<<1)
		dst = append(dst, byte(min(ones, 1)))
	default:
		dst = binary.AppendUvarint(dst, uint64((to-from+7)/8)<<1|1)
		dst = appendBits(dst, valid, from, to)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// appendBits appends bits [from, to) of b, filled up to a byte with zeros.
func appendBits(dst []byte, b *encoding.Bitmap, from, to int) []byte {
	at, n := len(dst), to-from
	dst = append(dst, make([]byte, (n+7)/8)...)
	if b.Zeros() == 0 {
		bitutil.SetBitsTo(dst[at:], 0, int64(n), true)
	} else {
		bitutil.CopyBitmap(b.Bits(), from, n, dst[at:], 0)
	}
	if n&7 != 0 {
		dst[len(dst)-1] &= 1<<(n&7) - 1
	}
	return dst
}

// The shape of DELTA_BINARY_PACKED blocks, that of all writers.
const (
	deltaBlock = 128
	deltaMini  = 32
)

// appendDelta appends a page of DELTA_BINARY_PACKED integers. Differences wrap
// around in the width of T, as the format has it.
func appendDelta[T int32 | int64](dst []byte, v []T) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaBlock/deltaMini)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	dst = binary.AppendVarint(dst, int64(v[0]))
	var deltas [deltaBlock]T
	var packed [deltaMini]uint64
	for last, rest := v[0], v[1:]; len(rest) > 0; {
		n := min(len(rest), deltaBlock)
		least := rest[0] - last
		for i, x := range rest[:n] {
			deltas[i] = x - last
			least = min(least, deltas[i])
			last = x
		}
		rest = rest[n:]
		dst = binary.AppendVarint(dst, int64(least))
		widths := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		for mini := 0; mini*deltaMini < n; mini++ {
			part := deltas[mini*deltaMini : min((mini+1)*deltaMini, n)]
			var or uint64
			for i, d := range part {
				packed[i] = unsigned(d - least)
				or |= packed[i]
			}
			if or == 0 {
				continue
			}
			width := uint(bits.Len64(or))
			dst[widths+mini] = byte(width)
			dst = appendPacked(dst, packed[:len(part)], deltaMini, width)
		}
	}
	return dst
}

// unsigned widens the bits of v with zeros.
func unsigned[T int32 | int64](v T) uint64 {
	if unsafe.Sizeof(v) == 4 {
		return uint64(uint32(v))
	}
	return uint64(v)
}
