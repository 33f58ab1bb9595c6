package decode

import "github.com/thalweg/thalweg/storage/parquet/encoding"

// spread moves the present values at the front of dst to the rows that have
// them and clears the others: row i of dst is bit from+i of valid. It works in
// place, from the end, since no value moves to the left.
func spread(dst []byte, width int, valid *encoding.Bitmap, from, rows, present int) {
	switch width {
	case 4:
		spreadWords(encoding.Words[uint32](dst), valid.Bits(), from, rows, present)
	case 8:
		spreadWords(encoding.Words[uint64](dst), valid.Bits(), from, rows, present)
	default:
		for i := rows - 1; i >= 0 && present <= i; i-- {
			to := dst[i*width : (i+1)*width]
			if valid.Get(from + i) {
				present--
				copy(to, dst[present*width:])
			} else {
				clear(to)
			}
		}
	}
}

// spreadWords has no branch that depends on the bits: with nulls strewn at
// random every second one would be mispredicted.
func spreadWords[T uint32 | uint64](dst []T, valid []byte, from, rows, present int) {
	i := rows - 1
	for ; i >= 0 && 0 < present && present <= i; i-- {
		bit := int(valid[(from+i)>>3]>>((from+i)&7)) & 1
		dst[i] = dst[present-1] & -T(bit)
		present -= bit
	}
	if present == 0 {
		clear(dst[:i+1])
	}
}
