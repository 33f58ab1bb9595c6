package encoding

import (
	"github.com/apache/arrow/go/v15/arrow/bitutil"
)

// Bitmap collects bits, least significant first, as Arrow keeps them. While
// all of them are ones it writes nothing, since most columns have no nulls.
// Its memory is reused by Reset and grows as needed.
type Bitmap struct {
	bits  []byte
	n     int
	zeros int
}

// Reset empties b.
func (b *Bitmap) Reset() { b.n, b.zeros = 0, 0 }

// grow makes room for n more bits.
func (b *Bitmap) grow(n int) {
	if size := (b.n + n + 7) / 8; size > len(b.bits) {
		b.bits = append(b.bits, make([]byte, max(size-len(b.bits), len(b.bits)))...)
	}
}

// Len returns how many bits were collected.
func (b *Bitmap) Len() int { return b.n }

// Zeros returns how many of them are 0.
func (b *Bitmap) Zeros() int { return b.zeros }

// Bits returns the bits collected, valid until Reset; their memory holds them
// only if Zeros is not 0.
func (b *Bitmap) Bits() []byte { return b.bits[:(b.n+7)/8] }

// Get returns bit i, of a bitmap with zeros.
func (b *Bitmap) Get(i int) bool { return b.bits[i>>3]>>(i&7)&1 != 0 }

// Ones counts the ones in bits [from, to).
func (b *Bitmap) Ones(from, to int) int {
	if b.zeros == 0 {
		return to - from
	}
	return bitutil.CountSetBits(b.bits, from, to-from)
}

// Repeat appends n times the bit v.
func (b *Bitmap) Repeat(v bool, n int) {
	b.grow(n)
	if !v && n > 0 {
		b.materialise()
		b.zeros += n
	}
	if b.zeros > 0 {
		bitutil.SetBitsTo(b.bits, int64(b.n), int64(n), v)
	}
	b.n += n
}

// Copy appends the n bits of src that begin at bit offset.
func (b *Bitmap) Copy(src []byte, offset, n int) {
	b.grow(n)
	zeros := n - bitutil.CountSetBits(src, offset, n)
	if zeros > 0 {
		b.materialise()
		b.zeros += zeros
	}
	if b.zeros > 0 {
		bitutil.CopyBitmap(src, offset, n, b.bits, b.n)
	}
	b.n += n
}

// MoveLast moves the last n bits to the end of to.
func (b *Bitmap) MoveLast(n int, to *Bitmap) {
	at := b.n - n
	ones := b.Ones(at, b.n)
	if ones == n {
		to.Repeat(true, n)
	} else {
		to.Copy(b.bits, at, n)
	}
	b.n, b.zeros = at, b.zeros-(n-ones)
}

// materialise writes the ones that were only counted so far.
func (b *Bitmap) materialise() {
	if b.zeros == 0 {
		bitutil.SetBitsTo(b.bits, 0, int64(b.n), true)
	}
}
