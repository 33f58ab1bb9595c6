package encode

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// lists are the levels of a column of lists for the next row group. An entry is an
// element, or a row whose list is null or empty.
type lists struct {
	nullable, elementsNullable bool
	levels                     []uint8 // by entry: its definition level, and again
	scratch                    []uint32
}

// again marks an entry that goes on with the list of the one before.
const again = 1 << 7

// newLists makes c a column of lists in the standard form of three levels.
func (c *Column) newLists(t *arrow.ListType, spares *Spares) error {
	leaf, err := NewColumn(arrow.Field{Name: "element", Type: t.Elem(), Nullable: t.ElemField().Nullable}, spares)
	if err != nil {
		return err
	}
	c.lists = &lists{nullable: c.field.Nullable, elementsNullable: t.ElemField().Nullable}
	c.values, c.pool = leaf.values, leaf.pool
	list := &c.elements[0]
	list.NumChildren = thrift.New(int32(1))
	list.LogicalType, list.ConvertedType = format.LogicalType{Value: &format.ListType{}}, thrift.New(deprecated.List)
	c.elements = append(c.elements,
		format.SchemaElement{Name: "list", RepetitionType: thrift.New(format.Repeated), NumChildren: thrift.New(int32(1))}, leaf.elements[0])
	return nil
}

// slot is the definition level of an element, most that of one that is not null.
func (l *lists) slot() uint8 {
	if l.nullable {
		return 2
	}
	return 1
}

func (l *lists) most() uint8 {
	if l.elementsNullable {
		return l.slot() + 1
	}
	return l.slot()
}

// append adds the lists of rows [from, to) of a, and their elements to values.
func (l *lists) append(a *array.List, from, to int, rows present, values values) error {
	elements := a.ListValues()
	there := presentIn(elements)
	next, _ := a.ValueOffsets(from)
	begun := next // elements from here to next are in no values yet
	flush := func() error {
		if begun == next {
			return nil
		}
		return values.append(elements, int(begun), int(next), there)
	}
	for i := from; i < to; i++ {
		start, end := a.ValueOffsets(i)
		switch {
		case rows.bits != nil && !rows.at(i):
			l.levels = append(l.levels, 0)
			if err := flush(); err != nil {
				return err
			}
			begun, next = end, end // a null may hide elements
			continue
		case start == end:
			l.levels = append(l.levels, l.slot()-1)
		}
		for k := start; k < end; k++ {
			level := l.most()
			if there.bits != nil && !there.at(int(k)) {
				if !l.elementsNullable {
					return errNull
				}
				level--
			}
			if k > start {
				level |= again
			}
			l.levels = append(l.levels, level)
		}
		next = end
	}
	return flush()
}

// page returns where the page ends that begins with entry from, between rows, and
// how many values it has.
func (l *lists) page(from int) (to, values int) {
	for to = from; to < len(l.levels) && (to-from < pageRows || l.levels[to]&again != 0); to++ {
		if l.levels[to]&^again == l.most() {
			values++
		}
	}
	return to, values
}

// appendLevels appends the levels of entries [from, to).
func (l *lists) appendLevels(dst []byte, from, to int) []byte {
	l.scratch = l.scratch[:0]
	for _, level := range l.levels[from:to] {
		l.scratch = append(l.scratch, uint32(level/again))
	}
	dst = appendSized(dst, l.scratch, 1)
	for i, level := range l.levels[from:to] {
		l.scratch[i] = uint32(level &^ again)
	}
	return appendSized(dst, l.scratch, uint(bits.Len8(l.most())))
}

// appendSized appends levels behind their size.
func appendSized(dst []byte, levels []uint32, width uint) []byte {
	at := len(dst)
	dst = appendRuns(append(dst, 0, 0, 0, 0), levels, width)
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}
