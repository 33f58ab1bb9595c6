// Package compact is the form in which prepared rows are kept: canonical batches,
// column by column, each in as few whole bytes as its values need, so that reading
// them back costs little more than copying. Equal batches have equal bytes.
//
// A file is its magic, its schema, batches, and a note of its writer, with a checksum
// over all of it. A batch is read in parts: the last of its columns whole, and the
// others in chunks of 1,024 rows, each by itself. Integers are a sequence, or their
// distances from the least one at 1, 2, 4 or 8 bytes; numbers are integers or float32s
// where that is exact; text is indices into a dictionary, which batches share as they
// did before.
package compact

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline/table"
)

// magic begins a file. The digit is the format's version.
const magic = "thalwegrows3"

const (
	// ChunkRows is how many rows of a batch are read together: as many as a replica has
	// at a time.
	ChunkRows = 1024
	// maxBatchRows bounds the rows of a batch, as a few bytes can stand for many.
	maxBatchRows = 1 << 20
	// maxElements bounds the elements of a batch's column of lists, likewise.
	maxElements = 1 << 26
)

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sequence is the form of integers that are one; else it is the bytes of a distance.
const sequence = 0

// The forms of a column of float64s.
const (
	asIntegers = 0
	asFloat32  = 4
	asFloat64  = 8
)

// header is what a file begins with.
type header struct {
	Columns []table.Column `json:"columns"`
	// Tail is how many columns, the last ones, are whole.
	Tail int `json:"tail"`
}

// Encoder writes a file. It is for one goroutine.
type Encoder struct {
	out  []byte
	head header
	// dictionaries are the columns' last ones.
	dictionaries []arrow.ArrayData
	integers     []int64
	chunk        []byte
}

// NewEncoder returns an encoder of batches with the given columns and
// table.RowColumn, of which so many as tail says, the last ones, are read whole.
func NewEncoder(columns []table.Column, tail int) *Encoder {
	e := &Encoder{head: header{columns, tail}, dictionaries: make([]arrow.ArrayData, len(columns)+1)}
	text, err := json.Marshal(e.head)
	if err != nil {
		panic("compact: " + err.Error()) // names and types can always be written
	}
	e.out = append(e.out, magic...)
	e.text(text)
	return e
}

// Add appends a batch, which stays the caller's, with a note on it. It returns false, and
// appends nothing, if the batch is larger than File would read.
func (e *Encoder) Add(batch arrow.Record, note []byte) bool {
	if !fits(batch) {
		return false
	}
	rows := int(batch.NumRows())
	e.out = binary.AppendUvarint(e.out, 1+uint64(rows))
	e.text(note)
	columns := make([]column, batch.NumCols())
	for i, a := range batch.Columns() {
		columns[i] = e.column(i, a)
	}
	whole := len(columns) - e.head.Tail
	for _, c := range columns[whole:] {
		e.values(&c, 0, rows)
	}
	// Chunks go through memory of their own, so that each is preceded by its length.
	for from := 0; from < rows; from += ChunkRows {
		e.out, e.chunk = e.chunk[:0], e.out
		for i := range columns[:whole] {
			e.values(&columns[i], from, min(from+ChunkRows, rows))
		}
		e.out, e.chunk = e.chunk, e.out
		e.text(e.chunk)
	}
	return true
}

// fits reports whether a batch is within the bounds that a File is read with.
func fits(batch arrow.Record) bool {
	for _, a := range batch.Columns() {
		if a, ok := a.(*array.List); ok {
			if offsets := table.ListsIn(a).Offsets; offsets[len(offsets)-1]-offsets[0] > maxElements {
				return false
			}
		}
	}
	return batch.NumRows() <= maxBatchRows
}

// Len returns the bytes of the file so far.
func (e *Encoder) Len() int { return len(e.out) }

// Finish returns the file with a note on all of it.
func (e *Encoder) Finish(note []byte) []byte {
	e.out = append(e.out, 0) // no more batches
	e.text(note)
	return binary.LittleEndian.AppendUint32(e.out, crc32.Checksum(e.out, castagnoli))
}

func (e *Encoder) text(b []byte) {
	e.out = binary.AppendUvarint(e.out, uint64(len(b)))
	e.out = append(e.out, b...)
}

// column is a column of a batch that is being written.
type column struct {
	array arrow.Array
	valid table.Mask // no words: all
	// The values, in the field of the array's type.
	bits     table.Mask
	integers []int64
	indices  []int32
	most     int // of indices
}

// column returns the values of an array of a canonical type, after it has written a
// dictionary that is not that of the batch before.
func (e *Encoder) column(i int, a arrow.Array) column {
	c := column{array: a}
	if a.NullN() > 0 {
		c.valid = table.Valid(a)
	}
	switch a := a.(type) {
	case *array.Boolean:
		c.bits = table.True(a)
	case *array.Int64, *array.Timestamp:
		c.integers = table.Values[int64](a)
	case *array.Dictionary:
		c.indices, c.most = e.dictionary(i, a, c.valid)
	}
	return c
}

// values appends the values of rows [from, to) of a column.
func (e *Encoder) values(c *column, from, to int) {
	if c.valid.Words == nil {
		e.out = append(e.out, 0)
	} else {
		e.out = append(e.out, 1)
		e.bitmap(c.valid, from, to)
	}
	switch a := c.array.(type) {
	case *array.Boolean:
		e.bitmap(c.bits, from, to)
	case *array.Float64:
		e.floats(a.Float64Values()[from:to], c.valid, from)
	case *array.Dictionary:
		if to > from {
			distances(e, c.indices[from:to], 0, uint64(c.most))
		}
	case *array.List:
		e.elements(a, from, to)
	default:
		v := c.integers[from:to]
		if c.valid.Words != nil {
			e.integers = settle(e.integers, v, c.valid, from)
			v = e.integers
		}
		e.numbers(v)
	}
}

// grow returns the next n bytes of the output.
func (e *Encoder) grow(n int) []byte {
	at := len(e.out)
	e.out = slices.Grow(e.out, n)[:at+n]
	return e.out[at:]
}

// bitmap appends rows [from, to) of a mask, where from is the first of a chunk.
func (e *Encoder) bitmap(m table.Mask, from, to int) {
	m.Part(from, to).Store(e.grow((to - from + 7) / 8))
}

// elements appends lists: their lengths, and their elements as a column.
func (e *Encoder) elements(a *array.List, from, to int) {
	l := table.ListsIn(a)
	e.integers = e.integers[:0]
	for i := from; i < to; i++ {
		e.integers = append(e.integers, int64(l.Offsets[i+1]-l.Offsets[i]))
	}
	e.numbers(e.integers)
	elements := array.NewSlice(l.Values, int64(l.Offsets[from]), int64(l.Offsets[to]))
	defer elements.Release()
	c := e.column(-1, elements)
	e.values(&c, 0, elements.Len())
}

// dictionary appends the entries of a text column, or that they are those of the
// batch before, and returns the indices of the rows and the largest there may be. Of a
// dictionary that has many more entries than the batch has rows it appends those that
// are used.
func (e *Encoder) dictionary(i int, a *array.Dictionary, valid table.Mask) ([]int32, int) {
	indices := table.Values[int32](a.Indices())
	if valid.Words != nil {
		indices = settle(nil, indices, valid, 0)
	}
	entries, dict := a.Data().Dictionary(), a.Dictionary().(*array.String)
	if e.dictionaries[i] == entries {
		e.out = append(e.out, 0)
		return indices, max(dict.Len()-1, 0)
	}
	var used []int32
	if dict.Len() > 2*a.Len()+1024 {
		places, own := make([]int32, dict.Len()), make([]int32, len(indices)) // among those used, from 1
		for k, entry := range indices {
			if places[entry] == 0 {
				used = append(used, entry)
				places[entry] = int32(len(used))
			}
			own[k] = places[entry] - 1
		}
		indices, entries = own, nil
	} else {
		for k := range int32(dict.Len()) {
			used = append(used, k)
		}
	}
	e.dictionaries[i] = entries
	e.out = append(e.out, 1)
	e.out = binary.AppendUvarint(e.out, uint64(len(used)))
	e.integers = e.integers[:0]
	for _, entry := range used {
		e.integers = append(e.integers, int64(len(dict.Value(int(entry)))))
	}
	e.numbers(e.integers)
	for _, entry := range used {
		e.out = append(e.out, dict.Value(int(entry))...)
	}
	return indices, max(len(used)-1, 0)
}

// floats appends numbers as integers or float32s where their bits come back so.
func (e *Encoder) floats(v []float64, valid table.Mask, from int) {
	if valid.Words != nil {
		v = settle(nil, v, valid, from)
	}
	whole, short := true, true
	e.integers = slices.Grow(e.integers[:0], len(v))[:len(v)]
	for i, x := range v {
		if whole {
			n := int64(x)
			e.integers[i] = n
			whole = math.Float64bits(float64(n)) == math.Float64bits(x) && n<<10>>10 == n
		}
		short = short && math.Float64bits(float64(float32(x))) == math.Float64bits(x)
		if !whole && !short {
			break
		}
	}
	switch {
	case whole:
		e.out = append(e.out, asIntegers)
		e.numbers(e.integers)
	case short:
		e.out = append(e.out, asFloat32)
		for _, x := range v {
			e.out = binary.LittleEndian.AppendUint32(e.out, math.Float32bits(float32(x)))
		}
	default:
		e.out = append(e.out, asFloat64)
		for _, x := range v {
			e.out = binary.LittleEndian.AppendUint64(e.out, math.Float64bits(x))
		}
	}
}

// numbers appends integers.
func (e *Encoder) numbers(v []int64) {
	if len(v) == 0 {
		return
	}
	step := int64(0)
	if len(v) > 1 {
		step = v[1] - v[0]
	}
	even, next := true, v[0]
	for _, x := range v {
		if x != next {
			even = false
			break
		}
		next += step
	}
	if even {
		e.out = append(e.out, sequence)
		e.out = binary.LittleEndian.AppendUint64(e.out, uint64(v[0]))
		e.out = binary.LittleEndian.AppendUint64(e.out, uint64(step))
		return
	}
	least, most := v[0], v[0]
	for _, x := range v {
		least, most = min(least, x), max(most, x)
	}
	distances(e, v, least, uint64(most)-uint64(least)) // that of any two int64 fits
}

// settle returns the values of rows from the given one on, in dst's memory, where
// those that valid does not mark have the value of a neighbour.
func settle[T int32 | int64 | float64](dst, v []T, valid table.Mask, from int) []T {
	dst = slices.Grow(dst[:0], len(v))[:len(v)]
	var last T
	for i := range v {
		if valid.Has(from + i) {
			last = v[i]
			break
		}
	}
	for i, x := range v {
		if valid.Has(from + i) {
			last = x
		}
		dst[i] = last
	}
	return dst
}

// widthOf returns the bytes that hold numbers up to the given one.
func widthOf(most uint64) int {
	switch {
	case most < 1<<8:
		return 1
	case most < 1<<16:
		return 2
	case most < 1<<32:
		return 4
	}
	return 8
}

// distances appends how far integers are from the least one, at most the given distance.
func distances[T int32 | int64](e *Encoder, v []T, least T, most uint64) {
	width := widthOf(most)
	e.out = append(e.out, byte(width))
	e.out = binary.LittleEndian.AppendUint64(e.out, uint64(least))
	dst := e.grow(width * len(v))
	switch width {
	case 1:
		for i, x := range v {
			dst[i] = byte(x - least)
		}
	case 2:
		for i, x := range v {
			binary.LittleEndian.PutUint16(dst[2*i:2*i+2], uint16(x-least))
		}
	case 4:
		for i, x := range v {
			binary.LittleEndian.PutUint32(dst[4*i:4*i+4], uint32(x-least))
		}
	default:
		for i, x := range v {
			binary.LittleEndian.PutUint64(dst[8*i:8*i+8], uint64(x)-uint64(least))
		}
	}
}
