package decode

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// maxEntries bounds the values, nulls and empty lists included, of one batch of
// one leaf below a list: run lengths let a few bytes stand for billions.
const maxEntries = 1 << 24

var errLevels = errors.New("levels out of range")

// levels are the repetition and definition levels of a batch of a nested leaf,
// and those read ahead to find where its last row ends.
type levels struct {
	rep, def []uint8 // of the batch
	slot     int     // definition level from which an entry is a slot of the leaf

	aheadRep, aheadDef []uint32 // not yet in a batch
	memory             [2 * stepRows]uint32
}

func (l *levels) reset() { l.aheadRep, l.aheadDef = nil, nil }

// nestedRows decodes a batch of n rows of a nested leaf into its sink, valid
// and levels.
func (l *leaf) nestedRows(n int) error {
	v := l.levels
	v.rep, v.def = v.rep[:0], v.def[:0]
	l.sink.begin(n)
	l.valid.Reset()
	for rows := 0; ; {
		if len(v.aheadDef) == 0 {
			if l.left == 0 && l.ahead == 0 && rows == n {
				return nil // the last row of the chunk
			}
			if err := l.readLevels(); err != nil {
				return l.fail(err)
			}
		}
		// As many entries as belong to the rows wanted.
		count := 0
		for ; count < len(v.aheadRep); count++ {
			if v.aheadRep[count] == 0 {
				if rows == n {
					break
				}
				rows++
			} else if rows == 0 {
				return l.fail(errors.New("a row begins in its middle"))
			}
		}
		done := count < len(v.aheadRep)
		if len(v.def)+count > maxEntries {
			return l.fail(encoding.ErrTooLarge)
		}
		if err := l.entries(count); err != nil {
			return l.fail(err)
		}
		if done {
			return nil
		}
	}
}

// readLevels reads the levels of the next entries of the current page.
func (l *leaf) readLevels() error {
	if l.left == 0 {
		if err := l.nextPage(); err != nil {
			return err
		}
	}
	v := l.levels
	n := min(l.left, stepRows)
	v.aheadRep, v.aheadDef = v.memory[:n], v.memory[stepRows:][:n]
	read := func(h *encoding.Hybrid, dst []uint32, most int) error {
		if most == 0 {
			clear(dst)
			return nil
		}
		if err := h.Read(dst); err != nil {
			return err
		}
		if int(highest(dst)) > most {
			return errLevels
		}
		return nil
	}
	if err := read(&l.rep, v.aheadRep, l.node.MaxRep); err != nil {
		return fmt.Errorf("repetition levels: %w", err)
	}
	if err := read(&l.def, v.aheadDef, l.node.MaxDef); err != nil {
		return fmt.Errorf("definition levels: %w", err)
	}
	l.left -= n
	return nil
}

// entries moves n entries that were read ahead into the batch.
func (l *leaf) entries(n int) error {
	v := l.levels
	from, present := l.valid.Len(), 0
	for i, d := range v.aheadDef[:n] {
		v.rep = append(v.rep, uint8(v.aheadRep[i]))
		v.def = append(v.def, uint8(d))
		if int(d) >= v.slot {
			there := int(d) == l.node.MaxDef
			l.valid.Repeat(there, 1)
			if there {
				present++
			}
		}
	}
	v.aheadRep, v.aheadDef = v.aheadRep[n:], v.aheadDef[n:]
	if err := l.append(present); err != nil {
		return err
	}
	if slots := l.valid.Len() - from; present < slots {
		l.sink.spread(&l.valid, from, slots, present)
	}
	return nil
}

// wrap puts the elements of a batch into lists, as the levels of their leaf say.
// It releases elements; the caller releases the array.
func (l *listLevel) wrap(elements arrow.Array, lv *levels, mem memory.Allocator) (arrow.Array, error) {
	defer elements.Release()
	var valid encoding.Bitmap
	var offsets []int32
	n := int32(0)
	for i, d := range lv.def {
		rep, def := int(lv.rep[i]), int(d)
		if rep <= l.rep && def >= l.slot {
			valid.Repeat(def >= l.def || !l.nullable, 1)
			offsets = append(offsets, n)
		}
		if rep <= l.elemRep && def >= l.elemDef {
			n++
		}
	}
	offsets = append(offsets, n)
	if elements.Len() != int(n) {
		return nil, fmt.Errorf("%d values in %d places", elements.Len(), n)
	}
	bits, nulls := validity(&valid, mem)
	buf := memory.NewResizableBuffer(mem)
	buf.Resize(4 * len(offsets))
	copy(encoding.Words[int32](buf.Bytes()), offsets)
	data := array.NewData(l.dtype, valid.Len(), []*memory.Buffer{bits, buf}, []arrow.ArrayData{elements.Data()}, nulls, 0)
	release(bits)
	buf.Release()
	defer data.Release()
	return array.NewListData(data), nil
}
