package decode

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// sink builds the arrays of one column. The order of calls is: reset for a chunk;
// dictionary if it has one; page for every page of values that are not
// dictionary indices; and for every batch begin, then plain, indexed and spread
// in the order of rows, then finish. discard may come at any time.
type sink interface {
	// reset forgets the chunk before, its dictionary above all.
	reset()
	// dictionary takes the PLAIN entries of the chunk's dictionary. data is not
	// kept.
	dictionary(data []byte, entries int) error
	// page takes the values of a page. data stays valid until the next page.
	page(enc format.Encoding, data []byte) error
	// begin starts a batch of so many rows, each of which comes by plain, indexed or
	// spread. For elements of lists, which are no strings, it is a guess.
	begin(rows int)
	// plain appends the next n values of the page.
	plain(n int) error
	// indexed appends the n dictionary entries that indices names.
	indexed(indices *encoding.Hybrid, n int) error
	// spread takes the last present values appended for rows rows, those that
	// bits [from, from+rows) of valid say; the others are null.
	spread(valid *encoding.Bitmap, from, rows, present int)
	// finish returns the batch as an array, which the caller releases.
	finish(valid *encoding.Bitmap) arrow.Array
	// discard releases everything.
	discard()
}

// newSink returns the sink for arrays of type t from values of n; nil if there is
// none, as for bytes that are no text.
func newSink(n *metadata.Node, t arrow.DataType, mem memory.Allocator) sink {
	switch t.(type) {
	case *arrow.NullType, *arrow.BinaryType, *arrow.FixedSizeBinaryType:
		return nil
	case *arrow.BooleanType:
		return &boolSink{mem: mem}
	case *arrow.DictionaryType:
		return newStringSink(n, mem)
	}
	return newFixedSink(n, t, mem)
}

// newArray returns an array of n values, which it takes over; those that valid
// does not mark are null. dict, which stays the caller's, is nil but for a
// dictionary type.
func newArray(mem memory.Allocator, t arrow.DataType, n int, valid *encoding.Bitmap,
	values *memory.Buffer, dict *array.Data) arrow.Array {
	defer values.Release()
	bits := validity(valid, mem)
	defer release(bits)
	data := array.NewDataWithDictionary(t, n, []*memory.Buffer{bits, values}, valid.Zeros(), 0, dict)
	defer data.Release()
	return array.MakeFromData(data)
}

// validity returns the bits as a buffer, nil where all are ones.
func validity(valid *encoding.Bitmap, mem memory.Allocator) *memory.Buffer {
	if valid.Zeros() == 0 {
		return nil
	}
	bits := memory.NewResizableBuffer(mem)
	bits.Resize(len(valid.Bits()))
	copy(bits.Bytes(), valid.Bits())
	return bits
}

func release(b *memory.Buffer) {
	if b != nil {
		b.Release()
	}
}
