package train

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// layout is how a row is packed. As a record, on its way through the shuffle,
// it is the row's hash, the length of its tail where the shape has terms, its numbers, its label as a float32 unless that is binary,
// its weight where rows have some, its lists, its ids at 1, 2 or 4 bytes by cardinality, and a binary label as one
// byte. Of rows with terms a tail follows: for each slot their count and the terms.
type layout struct {
	shape   kernel.Shape
	binary  bool
	weighs  bool     // rows have weights
	classes int      // of the label; 0 if it is no category
	widths  []int    // bytes of an id, by category slot
	order   []int    // the category slots in the order that they are packed in: wide ids first, so that all are aligned
	columns []column // what small holds, in order
	lists   []int    // float32s of an array, by list slot
	scalars int      // float32s of a row that are columns of their own: numbers, the label unless it is binary, and the weight if there is one
	floats  int      // float32s of a row: scalars and lists
	small   int      // other bytes of a row: those of columns
	record  int      // bytes of a record, but for its tail
	head    int      // of these, what comes before the numbers
	octets  bool     // ids are read as octets: the model is trees
	keys    bool     // four bytes of a row are of its hash: trees sample rows
}

// column is a column of a block that is no floats: ids of a slot, ids of eight slots,
// binary labels, or keys. Of the width of a row, the first bytes are those of a record
// from an offset on; the others stand for no slot and are 0.
type column struct{ width, stored, from int }

const (
	idBytes    = 8       // of a record: the row's hash
	countBytes = 4       // of a count of terms, or of the bytes of a tail
	tailAt     = idBytes // where a record has the length of its tail
	keyBytes   = 4       // of these, what a block keeps where rows are sampled
)

func newLayout(m *model.Model, weighs bool) *layout {
	l := &layout{shape: m.Shape(), weighs: weighs, classes: len(m.Loss().Answer().Classes), binary: m.Loss().For() == model.Binary, octets: m.Forest() != nil}
	l.keys = l.octets && m.Forest().Options.SamplesRows()
	l.scalars = l.shape.Numbers
	for _, n := range l.shape.Cardinalities {
		width := 4
		if n <= 1<<8 {
			width = 1
		} else if n <= 1<<16 {
			width = 2
		}
		l.order = append(l.order, len(l.widths))
		l.widths = append(l.widths, width)
	}
	if !l.binary {
		l.scalars++
	}
	if l.weighs {
		l.scalars++
	}
	l.floats = l.scalars
	for _, dimensions := range l.shape.Lists {
		n := kernel.Elements(dimensions)
		l.lists = append(l.lists, n)
		l.floats += n
	}
	l.head = idBytes
	if len(l.shape.Terms) > 0 {
		l.head += countBytes
	}
	l.record = l.head + 4*l.floats
	add := func(width, stored int) {
		l.columns = append(l.columns, column{width, stored, l.record})
		l.record += stored
	}
	if l.octets {
		for left := len(l.widths); left > 0; left -= 8 {
			add(8, min(left, 8))
		}
	} else {
		slices.SortStableFunc(l.order, func(a, b int) int { return l.widths[b] - l.widths[a] })
		for _, j := range l.order {
			add(l.widths[j], l.widths[j])
		}
	}
	if l.binary {
		add(1, 1)
	}
	if l.keys {
		l.columns = append(l.columns, column{keyBytes, keyBytes, 0})
	}
	for _, c := range l.columns {
		l.small += c.width
	}
	return l
}

// row is the size of a row in a block, but for its terms.
func (l *layout) row() int { return 4*l.floats + l.small }

// size is that of a record with its tail.
func (l *layout) size(record []byte) int {
	if l.head == idBytes {
		return l.record
	}
	return l.record + int(binary.LittleEndian.Uint32(record[tailAt:]))
}

// appendRecords appends the given rows of a block, which has the layout's shape, one
// column after the other, then their tails. It counts binary labels that are 1. Of a value that
// the model could not take it returns the row.
func (l *layout) appendRecords(dst []byte, b *kernel.Block, rows []int32, ids []uint64) (_ []byte, ones int64, bad int32, err error) {
	size, from := l.record, len(dst)
	dst = slices.Grow(dst, len(rows)*size)[:from+len(rows)*size]
	to := dst[from:]
	for o := 0; len(ids) > 0; o, ids = o+size, ids[1:] {
		binary.LittleEndian.PutUint64(to[o:], ids[0])
	}
	at := l.head
	floats := func(what string, column []float32) (int32, error) {
		o := at
		for _, row := range rows {
			v := math.Float32bits(column[row])
			if v&infinite == infinite {
				return row, fmt.Errorf("%s is %v", what, column[row])
			}
			binary.LittleEndian.PutUint32(to[o:], v)
			o += size
		}
		at += 4
		return 0, nil
	}
	for k, column := range b.Numbers {
		if bad, err := floats(fmt.Sprintf("number %q", l.shape.NumberNames[k]), column); err != nil {
			return nil, 0, bad, err
		}
	}
	if !l.binary {
		if bad, err := floats("the label", b.Labels); err != nil {
			return nil, 0, bad, err
		}
	}
	if l.weighs {
		if bad, err := floats("the weight", b.Weights); err != nil {
			return nil, 0, bad, err
		}
	}
	for slot, n := range l.lists {
		for i, row := range rows {
			array := b.Lists[slot][int(row)*n : (int(row)+1)*n]
			if e := kernel.Finite(array); e >= 0 {
				return nil, 0, row, fmt.Errorf("element %d of list %q is %v", e, l.shape.ListNames[slot], array[e])
			}
			kernel.AppendFloats(to[i*size+at:][:0], array)
		}
		at += 4 * n
	}
	for order := l.order; len(order) > 0; {
		n := 1
		if len(order) >= 4 && l.widths[order[0]] == 1 && l.widths[order[3]] == 1 { // wide ids come first
			n = 4
		}
		if slot, row := l.putIDs(to[at:], b.Categories, order[:n], rows); slot >= 0 {
			return nil, 0, row, fmt.Errorf("category %q has id %d of %d", l.shape.CategoryNames[slot], b.Categories[slot][row], l.shape.Cardinalities[slot])
		}
		for _, j := range order[:n] {
			at += l.widths[j]
		}
		order = order[n:]
	}
	if l.binary {
		o := at
		for _, row := range rows {
			label := b.Labels[row]
			v := byte(label) // comparing label with 0 and 1 would be a branch that is often mispredicted
			if float32(v) != label || v > 1 {
				return nil, 0, row, fmt.Errorf("the label is %v: a binary label is 0 or 1", label)
			}
			ones += int64(v)
			to[o] = v
			o += size
		}
	}
	if l.head > idBytes {
		dst, bad, err = l.appendTails(dst, from, b, rows)
	}
	return dst, ones, bad, err
}

// putIDs puts the ids of one slot, or of four of one byte, into a field of records, of which the
// first begins with it. Of an id that is too large it returns slot and row; else slot is -1.
func (l *layout) putIDs(field []byte, columns [][]uint32, slots []int, rows []int32) (slot int, row int32) {
	var most [4]uint32
	o, size := 0, l.record
	switch {
	case len(slots) == 4:
		c0 := columns[slots[0]]
		c1, c2, c3 := columns[slots[1]][:len(c0)], columns[slots[2]][:len(c0)], columns[slots[3]][:len(c0)]
		var m0, m1, m2, m3 uint32
		for _, row := range rows {
			v0, v1, v2, v3 := c0[row], c1[row], c2[row], c3[row]
			m0, m1, m2, m3 = max(m0, v0), max(m1, v1), max(m2, v2), max(m3, v3)
			binary.LittleEndian.PutUint32(field[o:], v0|v1<<8|v2<<16|v3<<24)
			o += size
		}
		most = [4]uint32{m0, m1, m2, m3}
	case l.widths[slots[0]] == 1:
		column, m := columns[slots[0]], uint32(0)
		for _, row := range rows {
			v := column[row]
			m = max(m, v)
			field[o] = byte(v)
			o += size
		}
		most[0] = m
	case l.widths[slots[0]] == 2:
		column, m := columns[slots[0]], uint32(0)
		for _, row := range rows {
			v := column[row]
			m = max(m, v)
			binary.LittleEndian.PutUint16(field[o:], uint16(v))
			o += size
		}
		most[0] = m
	default:
		column, m := columns[slots[0]], uint32(0)
		for _, row := range rows {
			v := column[row]
			m = max(m, v)
			binary.LittleEndian.PutUint32(field[o:], v)
			o += size
		}
		most[0] = m
	}
	for i, j := range slots {
		if cardinality := uint64(l.shape.Cardinalities[j]); uint64(most[i]) >= cardinality {
			at := slices.IndexFunc(rows, func(row int32) bool { return uint64(columns[j][row]) >= cardinality })
			if at >= 0 {
				return j, rows[at]
			}
		}
	}
	return -1, 0
}

// appendTails puts the terms of the given rows behind their records, which begin at from.
func (l *layout) appendTails(dst []byte, from int, b *kernel.Block, rows []int32) (_ []byte, bad int32, err error) {
	records := slices.Clone(dst[from:])
	dst = dst[:from]
	for i, row := range rows {
		at := len(dst)
		dst = append(dst, records[i*l.record:][:l.record]...)
		for slot, column := range b.Terms {
			for _, term := range column[row] {
				if int(term.ID) >= l.shape.Terms[slot] || math.Float32bits(term.Weight)&infinite == infinite {
					return nil, row, fmt.Errorf("terms %q have id %d of %d with weight %v", l.shape.TermNames[slot], term.ID, l.shape.Terms[slot], term.Weight)
				}
			}
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(column[row])))
			dst = append(dst, kernel.TermBytesOf(column[row])...)
		}
		binary.LittleEndian.PutUint32(dst[at+tailAt:], uint32(len(dst)-at-l.record))
	}
	return dst, 0, nil
}

// infinite are the bits that are all set in a float32 that is not finite.
const infinite = 0x7f800000

// scratch is a block and the memory that a packed block is opened into.
type scratch struct {
	kernel.Block
	floats []float32 // of spilled blocks
	labels []float32
	// The labels of the block that is open, as they are stored.
	floatLabels []float32
	byteLabels  []byte
	keys        []uint32
	bytes       []byte // of spilled blocks
}

func (l *layout) newScratch() *scratch {
	s := &scratch{Block: kernel.Block{Numbers: make([][]float32, l.shape.Numbers), Lists: make([][]float32, len(l.lists)), Terms: make([][][]kernel.Term, len(l.shape.Terms))}}
	if l.octets {
		s.Octets = make([][]uint8, (len(l.widths)+7)/8)
	} else {
		s.Bytes, s.Shorts, s.Categories = make([][]uint8, len(l.widths)), make([][]uint16, len(l.widths)), make([][]uint32, len(l.widths))
	}
	return s
}

// open makes s the block of the given rows, without labels: floats and small hold one
// column after the other, terms first in small, a binary label's and the keys last.
// Numbers, octets, lists and terms are not copied.
func (l *layout) open(s *scratch, rows int, floats []float32, small []byte) {
	s.Rows, s.Labels = rows, nil
	for k := range s.Numbers {
		s.Numbers[k] = floats[k*rows : (k+1)*rows]
	}
	for t := range s.Terms {
		counts := encoding.Words[uint32](small[:countBytes*rows])
		small = small[countBytes*rows:]
		s.Terms[t] = slices.Grow(s.Terms[t][:0], rows)[:rows]
		for i, n := range counts {
			size := int(n) * kernel.TermBytes
			s.Terms[t][i], small = kernel.TermsOf(small[:size]), small[size:]
		}
	}
	if l.octets {
		for g := range s.Octets {
			s.Octets[g], small = small[:8*rows], small[8*rows:]
		}
	} else {
		for _, j := range l.order {
			ids := small[:rows*l.widths[j]]
			switch l.widths[j] {
			case 1:
				s.Bytes[j] = ids
			case 2:
				s.Shorts[j] = encoding.Words[uint16](ids)
			default:
				s.Categories[j] = encoding.Words[uint32](ids)
			}
			small = small[len(ids):]
		}
	}
	at := l.scalars * rows
	for slot, n := range l.lists {
		s.Lists[slot] = floats[at : at+n*rows]
		at += n * rows
	}
	if s.byteLabels = small; !l.binary {
		s.floatLabels = floats[l.shape.Numbers*rows:][:rows]
	}
	if l.weighs {
		s.Weights = floats[(l.scalars-1)*rows : l.scalars*rows]
	}
	if l.keys {
		s.keys = slices.Grow(s.keys[:0], rows)[:rows]
		for i := range s.keys {
			s.keys[i] = binary.LittleEndian.Uint32(small[len(small)-keyBytes*(rows-i):])
		}
	}
}

// label sets the labels of an open block.
func (l *layout) label(s *scratch, labels model.Scale) {
	s.labels = slices.Grow(s.labels[:0], s.Rows)[:s.Rows]
	if !l.binary {
		s.Labels = labels.Apply(s.labels, s.floatLabels)
		return
	}
	s.Labels = s.labels
	kernel.Floats(s.labels, s.byteLabels[:s.Rows])
}
