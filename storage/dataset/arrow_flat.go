package dataset

import (
	"encoding/binary"
	"errors"
)

const (
	// maxArrowFields bounds the fields of a schema, nested ones included, and
	// maxArrowDepth how deep they nest.
	maxArrowFields = 100_000
	maxArrowDepth  = 32
	// arrowUnion, arrowBinaryView and arrowTextView are types that have a list of their
	// own, and arrowVersion is the version that messages have.
	arrowUnion      = 14
	arrowBinaryView = 23
	arrowTextView   = 24
	arrowVersion    = 4
)

// errVector is of a list that is longer than the bytes that hold it.
var errVector = errors.New("a list that does not lie in its bytes")

// flat is a flatbuffer. Its methods panic where offsets lie outside.
type flat []byte

// ref returns the position that an offset points to.
func (b flat) ref(p int) int { return p + int(binary.LittleEndian.Uint32(b[p:])) }

// field returns the position of a field of a table, 0 if it is not there.
func (b flat) field(table, field int) int {
	v := table - int(int32(binary.LittleEndian.Uint32(b[table:])))
	if 4+2*field+2 > int(binary.LittleEndian.Uint16(b[v:])) {
		return 0
	}
	if offset := int(binary.LittleEndian.Uint16(b[v+4+2*field:])); offset > 0 {
		return table + offset
	}
	return 0
}

// vector returns where the elements of a table's list begin, and how many they are.
func (b flat) vector(table, field, width int) (first, n int, err error) {
	p := b.field(table, field)
	if p == 0 {
		return 0, 0, nil
	}
	first = b.ref(p) + 4
	if n = int(binary.LittleEndian.Uint32(b[first-4:])); n > (len(b)-first)/width {
		return 0, 0, errVector
	}
	return first, n, nil
}

// views are how many columns of views rows have, and the words of dictionaries by their
// ids: arrow's reader takes as many counts of buffers from a batch, whether they are there
// or not.
type views struct {
	rows  int
	words map[int64]int
}

// schema checks the lists of a schema.
func (b flat) schema(table int) (v views, err error) {
	left := maxArrowFields
	v.words = make(map[int64]int)
	v.rows, err = b.fields(table, 1, maxArrowDepth, &left, v.words)
	return v, errors.Join(b.metadata(table, 2), err)
}

// metadata checks a list of pairs.
func (b flat) metadata(table, field int) error {
	_, _, err := b.vector(table, field, 4)
	return err
}

// fields checks the fields of a schema or of a field, and returns how many are views,
// without those in words.
func (b flat) fields(table, field, depth int, left *int, words map[int64]int) (found int, err error) {
	first, n, err := b.vector(table, field, 4)
	if *left -= n; err != nil || depth == 0 || *left < 0 {
		return 0, errors.Join(err, errors.New("a schema with very many fields, or nested very deep"))
	}
	for i := range n {
		f, own := b.ref(first+4*i), 0
		if p := b.field(f, 2); p > 0 {
			switch b[p] {
			case arrowUnion:
				if p := b.field(f, 3); p > 0 {
					if _, _, err := b.vector(b.ref(p), 1, 4); err != nil {
						return 0, err
					}
				}
			case arrowBinaryView, arrowTextView:
				own = 1
			}
		}
		within, err := b.fields(f, 5, depth-1, left, words)
		if err = errors.Join(b.metadata(f, 6), err); err != nil {
			return 0, err
		}
		if p := b.field(f, 4); p > 0 {
			words[b.id(b.ref(p))] += own + within
		} else {
			found += own + within
		}
	}
	return found, nil
}

// id returns the number of a dictionary, the first field of what names it.
func (b flat) id(table int) int64 {
	if p := b.field(table, 0); p > 0 {
		return int64(binary.LittleEndian.Uint64(b[p:]))
	}
	return 0
}

// batch returns the rows of a record batch, and the columns whose buffers it counts, none
// of which has more than there are.
func (b flat) batch(table int) (rows int64, views int, err error) {
	rows = b.id(table)
	_, _, err = b.vector(table, 1, 16)
	_, buffers, bad := b.vector(table, 2, 16)
	first, views, worse := b.vector(table, 4, 8)
	if err = errors.Join(err, bad, worse); err != nil {
		return 0, 0, err
	}
	for i := range views {
		if binary.LittleEndian.Uint64(b[first+8*i:]) > uint64(buffers) {
			return 0, 0, errVector
		}
	}
	return rows, views, nil
}

// layout is where the messages of an object lie.
type layout struct {
	// Of a file, from its footer: its schema as a message, since some files begin without
	// one, its dictionaries, all of which come before any batch, and where batches begin.
	schema       []byte
	dictionaries []block
	batches      []int64
}

// block is the bytes of a message.
type block struct{ at, size int64 }

// footer returns what a file's footer says; messages end before end.
func (b flat) footer(end int64) (l layout, err error) {
	root := b.ref(0)
	p := b.field(root, 1)
	if p == 0 {
		return l, errors.New("it has no schema")
	}
	le := binary.LittleEndian
	for _, list := range []int{2, 3} { // of dictionaries and record batches
		first, n, err := b.vector(root, list, 24)
		if err != nil {
			return l, err
		}
		for i := range n {
			at := b[first+24*i:]
			f := block{int64(le.Uint64(at)), int64(int32(le.Uint32(at[8:])))}
			body := int64(le.Uint64(at[16:]))
			if f.at < 8 || f.at > end || f.size < 0 || body < 0 || body > end || f.size+body > end-f.at {
				return l, errCutShort
			}
			if f.size += body; list == 2 {
				l.dictionaries = append(l.dictionaries, f)
			} else {
				l.batches = append(l.batches, f.at)
			}
		}
	}
	// A table of version, type of header, header and length of the body, which refers to
	// the schema in the footer behind it.
	const table, header, begin = 16, 20, 32
	schema := make([]byte, begin, begin+len(b))
	le.PutUint32(schema, table)
	for i, v := range []uint16{12, 16, 8, 10, header - table, 0} {
		le.PutUint16(schema[4+2*i:], v)
	}
	le.PutUint32(schema[table:], table-4)
	le.PutUint32(schema[header:], uint32(begin+b.ref(p)-header))
	le.PutUint16(schema[table+8:], arrowVersion)
	schema[table+10] = arrowSchema
	schema = append(schema, b...)
	// Framed as others are.
	l.schema = append(le.AppendUint32(le.AppendUint32(nil, arrowMark), uint32(len(schema))), schema...)
	return l, nil
}
