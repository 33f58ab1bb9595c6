package compact

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// File is a file that is read. It is for one goroutine, with its batches.
type File struct {
	reader
	head   header
	schema *arrow.Schema
	types  []table.Type
	// entries are the columns' dictionaries, of the last batch.
	entries []arrow.Array
	// Note is the writer's on the file, once all batches are read.
	Note []byte
}

// errShort is of a file that ends before its values do.
var errShort = errors.New("it ends early")

func corrupt(err error) error {
	return &thalweg.Error{Op: "read kept rows", Kind: thalweg.Corrupt, Err: err}
}

// Open returns the file in data, which must stay as it is. It fails with Corrupt where
// the checksum is not that of the bytes.
func Open(data []byte) (*File, error) {
	body := len(data) - 4
	if body < len(magic) || string(data[:len(magic)]) != magic {
		return nil, corrupt(errors.New("it does not begin like one"))
	}
	if sum := crc32.Checksum(data[:body], castagnoli); sum != binary.LittleEndian.Uint32(data[body:]) {
		return nil, corrupt(fmt.Errorf("its checksum is %08x", sum))
	}
	f := &File{reader: reader{data[len(magic):body]}}
	text, err := f.text()
	if err == nil {
		err = json.Unmarshal(text, &f.head)
	}
	n := len(f.head.Columns) + 1
	if err == nil && (f.head.Tail < 1 || f.head.Tail > n) {
		err = fmt.Errorf("%d of %d columns are whole", f.head.Tail, n)
	}
	for _, c := range f.head.Columns {
		if f.types = append(f.types, c.Type); c.Type.ArrowType() == nil {
			err = errors.Join(err, fmt.Errorf("column %q cannot be of type %q", c.Name, c.Type))
		}
	}
	if err != nil {
		return nil, corrupt(err)
	}
	f.schema, f.types = table.Schema{Columns: f.head.Columns}.Arrow(), append(f.types, table.Int64)
	f.entries = make([]arrow.Array, n)
	return f, nil
}

// Batch is a batch of which each chunk is decoded when it is asked for.
type Batch struct {
	Note []byte
	// Tail is the columns that are whole.
	Tail   arrow.Record
	schema *arrow.Schema
	types  []table.Type
	// chunks are the other columns, encoded; none: whole has all.
	chunks  [][]byte
	entries []arrow.Array
	whole   arrow.Record
}

// Whole returns a record, of which tail columns are the tail, as a batch of one chunk.
// The caller keeps it until it is done with the batch.
func Whole(record arrow.Record, tail int) *Batch {
	n := int(record.NumCols())
	schema := arrow.NewSchema(record.Schema().Fields()[n-tail:], nil)
	return &Batch{Tail: array.NewRecord(schema, record.Columns()[n-tail:], record.NumRows()), whole: record}
}

// WithTail returns the batch with an array as the given column of the tail. The caller
// keeps the array until it is done with the batch.
func (b *Batch) WithTail(column int, a arrow.Array) *Batch {
	replaced := func(r arrow.Record, at int) arrow.Record {
		columns := slices.Clone(r.Columns())
		columns[at] = a
		return array.NewRecord(r.Schema(), columns, r.NumRows())
	}
	out := *b
	out.Tail = replaced(b.Tail, column)
	if b.whole != nil {
		out.whole = replaced(b.whole, int(b.whole.NumCols()-b.Tail.NumCols())+column)
	}
	return &out
}

// Rows is how many rows the batch has.
func (b *Batch) Rows() int { return int(b.Tail.NumRows()) }

// Chunks is how many chunks it has.
func (b *Batch) Chunks() int {
	if b.whole != nil {
		return 1
	}
	return len(b.chunks)
}

// Bounds returns which rows a chunk has.
func (b *Batch) Bounds(chunk int) (from, to int) {
	if b.whole != nil {
		return 0, b.Rows()
	}
	return chunk * ChunkRows, min((chunk+1)*ChunkRows, b.Rows())
}

// Chunk returns the rows of a chunk with all columns, which the caller releases. It
// fails with Corrupt where the bytes are none.
func (b *Batch) Chunk(chunk int) (arrow.Record, error) {
	if b.whole != nil {
		b.whole.Retain()
		return b.whole, nil
	}
	from, to := b.Bounds(chunk)
	r := reader{b.chunks[chunk]}
	columns := make([]arrow.Array, 0, len(b.types))
	for i, t := range b.types[:len(b.types)-int(b.Tail.NumCols())] {
		c, err := r.column(t, to-from, b.entries[i])
		if err != nil {
			return nil, corrupt(fmt.Errorf("column %q: %w", b.schema.Field(i).Name, err))
		}
		columns = append(columns, c)
	}
	if len(r.rest) > 0 {
		return nil, corrupt(fmt.Errorf("%d bytes are left over", len(r.rest)))
	}
	for _, c := range b.Tail.Columns() {
		columns = append(columns, array.NewSlice(c, int64(from), int64(to)))
	}
	return array.NewRecord(b.schema, columns, int64(to-from)), nil
}

// Next returns the next batch, and io.EOF after the last. It fails with Corrupt where
// the bytes are none.
func (f *File) Next() (*Batch, error) {
	b, err := f.next()
	if err != nil && err != io.EOF {
		return nil, corrupt(err)
	}
	return b, err
}

func (f *File) next() (*Batch, error) {
	n, err := f.uvarint(1 + maxBatchRows)
	if err != nil {
		return nil, err
	}
	note, err := f.text()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		if f.Note = note; len(f.rest) > 0 {
			return nil, fmt.Errorf("%d bytes are left over", len(f.rest))
		}
		return nil, io.EOF
	}
	rows := n - 1
	for i, t := range f.types {
		if t == table.String {
			if f.entries[i], err = f.dictionary(f.entries[i]); err != nil {
				return nil, fmt.Errorf("column %q: %w", f.schema.Field(i).Name, err)
			}
		}
	}
	b := &Batch{Note: note, schema: f.schema, types: f.types, entries: append([]arrow.Array(nil), f.entries...)}
	first := len(f.entries) - f.head.Tail
	columns := make([]arrow.Array, f.head.Tail)
	for i := range columns {
		if columns[i], err = f.column(f.types[first+i], rows, f.entries[first+i]); err != nil {
			return nil, fmt.Errorf("column %q: %w", f.schema.Field(first+i).Name, err)
		}
	}
	for from := 0; from < rows; from += ChunkRows {
		chunk, err := f.text()
		if err != nil {
			return nil, err
		}
		b.chunks = append(b.chunks, chunk)
	}
	b.Tail = array.NewRecord(arrow.NewSchema(f.schema.Fields()[first:], nil), columns, int64(rows))
	return b, nil
}

// reader reads what an Encoder has written.
type reader struct{ rest []byte }

// take returns the next n bytes.
func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.rest) {
		return nil, errShort
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b, nil
}

func (r *reader) uvarint(most int) (int, error) {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(most) {
		return 0, fmt.Errorf("a count is beyond %d or broken off", most)
	}
	r.rest = r.rest[n:]
	return int(v), nil
}

func (r *reader) text() ([]byte, error) {
	n, err := r.uvarint(len(r.rest))
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

func (r *reader) flag() (bool, error) {
	b, err := r.take(1)
	if err != nil || b[0] > 1 {
		return false, errors.Join(err, errors.New("a flag is neither 0 nor 1"))
	}
	return b[0] == 1, nil
}

func (r *reader) bitmap(n int) (table.Mask, error) {
	bits, err := r.take((n + 7) / 8)
	if err != nil {
		return table.Mask{}, err
	}
	return table.MaskOf(bits, n), nil
}

// column reads an array of a canonical type; text is of the given entries.
func (r *reader) column(t table.Type, n int, entries arrow.Array) (arrow.Array, error) {
	mem := memory.DefaultAllocator
	var valid table.Mask
	nulls, err := r.flag()
	if err == nil && nulls {
		valid, err = r.bitmap(n)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case t == table.Bool:
		bits, err := r.bitmap(n)
		if err != nil {
			return nil, err
		}
		return table.NewColumn(mem, t, n, bits.Buffer(mem), valid), nil
	case t == table.String:
		if entries == nil {
			return nil, errors.New("there is no dictionary before it")
		}
		most := int64(entries.Len()) - 1
		if valid.Words != nil && valid.Count() == 0 {
			most = max(most, 0)
		}
		buf, indices := table.Alloc(mem, n, arrow.Int32Traits)
		if err := integers(r, indices, 0, most); err != nil {
			return nil, err
		}
		return table.NewText(mem, n, buf, valid, entries), nil
	case t.Element() != "":
		return r.lists(t, n, valid)
	case t == table.Float64:
		return r.floats(n, valid)
	}
	buf, v := table.Alloc(mem, n, arrow.Int64Traits)
	if err := integers(r, v, math.MinInt64, math.MaxInt64); err != nil {
		return nil, err
	}
	return table.NewColumn(mem, t, n, buf, valid), nil
}

// dictionary reads the entries of a text column, or that they are the last ones.
func (r *reader) dictionary(last arrow.Array) (arrow.Array, error) {
	if fresh, err := r.flag(); err != nil || !fresh {
		return last, err
	}
	n, err := r.uvarint(3 * maxBatchRows)
	if err != nil {
		return nil, err
	}
	buf, total, err := r.offsets(n, len(r.rest))
	if err != nil {
		return nil, err
	}
	text, err := r.take(total)
	if err != nil {
		return nil, err
	}
	data := array.NewData(arrow.BinaryTypes.String, n, []*memory.Buffer{nil, buf, memory.NewBufferBytes(text)}, nil, 0, 0)
	return array.NewStringData(data), nil
}

// offsets reads n lengths as what they add up to, at most the given number.
func (r *reader) offsets(n, most int) (buf *memory.Buffer, total int, err error) {
	buf, offsets := table.Alloc(memory.DefaultAllocator, n+1, arrow.Int32Traits)
	offsets[0] = 0
	if err := integers(r, offsets[1:], 0, int64(min(most, math.MaxInt32))); err != nil {
		return nil, 0, err
	}
	for i, length := range offsets[1:] {
		if total += int(length); total > most || total > math.MaxInt32 {
			return nil, 0, fmt.Errorf("lengths add up to more than %d", most)
		}
		offsets[i+1] = int32(total)
	}
	return buf, total, nil
}

func (r *reader) lists(t table.Type, n int, valid table.Mask) (arrow.Array, error) {
	buf, total, err := r.offsets(n, maxElements)
	if err != nil {
		return nil, err
	}
	elements, err := r.column(t.Element(), total, nil)
	if err != nil {
		return nil, err
	}
	return table.NewList(memory.DefaultAllocator, t, n, buf, valid, elements), nil
}

func (r *reader) floats(n int, valid table.Mask) (arrow.Array, error) {
	form, err := r.take(1)
	if err != nil {
		return nil, err
	}
	buf, v := table.Alloc(memory.DefaultAllocator, n, arrow.Float64Traits)
	switch form[0] {
	case asIntegers:
		if err := integers(r, v, -1<<53, 1<<53); err != nil {
			return nil, err
		}
	case asFloat32:
		b, err := r.take(4 * n)
		if err != nil {
			return nil, err
		}
		for i := range v {
			v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		}
	case asFloat64:
		b, err := r.take(8 * n)
		if err != nil {
			return nil, err
		}
		for i := range v {
			v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	default:
		return nil, fmt.Errorf("numbers cannot have form %d", form[0])
	}
	return table.NewColumn(memory.DefaultAllocator, table.Float64, n, buf, valid), nil
}

// integers reads integers, each of which must be in [least, most].
func integers[T int32 | int64 | float64](r *reader, dst []T, least, most int64) error {
	if len(dst) == 0 {
		return nil
	}
	head, err := r.take(9)
	if err != nil {
		return err
	}
	width, from := int(head[0]), binary.LittleEndian.Uint64(head[1:])
	if width == sequence {
		by, err := r.take(8)
		if err != nil {
			return err
		}
		step, v := binary.LittleEndian.Uint64(by), from
		for i := range dst {
			if int64(v) < least || int64(v) > most {
				return fmt.Errorf("%d is not in %d to %d", int64(v), least, most)
			}
			dst[i] = T(int64(v))
			v += step
		}
		return nil
	}
	b, err := r.take(width * len(dst))
	if err != nil {
		return err
	}
	lowest, highest := int64(math.MaxInt64), int64(math.MinInt64)
	switch width {
	case 1:
		for i := range dst {
			v := int64(from + uint64(b[i]))
			lowest, highest = min(lowest, v), max(highest, v)
			dst[i] = T(v)
		}
	case 2:
		for i := range dst {
			v := int64(from + uint64(binary.LittleEndian.Uint16(b[2*i:2*i+2])))
			lowest, highest = min(lowest, v), max(highest, v)
			dst[i] = T(v)
		}
	case 4:
		for i := range dst {
			v := int64(from + uint64(binary.LittleEndian.Uint32(b[4*i:4*i+4])))
			lowest, highest = min(lowest, v), max(highest, v)
			dst[i] = T(v)
		}
	case 8:
		for i := range dst {
			v := int64(from + binary.LittleEndian.Uint64(b[8*i:8*i+8]))
			lowest, highest = min(lowest, v), max(highest, v)
			dst[i] = T(v)
		}
	default:
		return fmt.Errorf("integers cannot have %d bytes", width)
	}
	if lowest < least || highest > most {
		return fmt.Errorf("%d to %d is not in %d to %d", lowest, highest, least, most)
	}
	return nil
}
