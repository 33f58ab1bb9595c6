package table

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
)

// Labels is a file of labels, of any size, as it was when the columns of the training data
// were found.
type Labels struct {
	// Columns are those that it has or, of a plan, the key and then those that rows get.
	Columns []Column `json:"columns"`
	// Unsupported are columns that no row can get.
	Unsupported []UnsupportedColumn `json:"unsupported,omitempty"`
	LabelObjects
}

// LabelObjects are the objects of a file of labels.
type LabelObjects struct {
	// Manifest is the sha256 of their manifest, Rows and Objects are how many there are.
	Manifest string `json:"manifest"`
	Rows     int64  `json:"rows"`
	Objects  int    `json:"objects"`
	// First are the first of them, at most MaxNamedLabels.
	First []LookupObject `json:"first"`
}

// MaxNamedLabels bounds the objects of a file of labels that a version names.
const MaxNamedLabels = 100

// Cells of a row that is joined: each is a byte that tells null from a value, and the value,
// which is eight bytes, or of a text its length and itself.
const (
	nullCell  = 0
	valueCell = 1
)

// AppendNullCell appends the cell of null.
func AppendNullCell(dst []byte) []byte { return append(dst, nullCell) }

// AppendNumberCell appends the cell of an int64, a timestamp, a bool as 0 or 1, or of the
// bits of a float64.
func AppendNumberCell(dst []byte, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, valueCell), v)
}

// AppendTextCell appends the cell of a text.
func AppendTextCell(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(append(dst, valueCell), uint64(len(s))), s...)
}

// cutCell takes the next cell from the front of others.
func cutCell(cells string, isText bool) (number uint64, text, rest string, valid, ok bool) {
	const numberBytes = 8
	switch {
	case cells == "":
		return 0, "", "", false, false
	case cells[0] == nullCell:
		return 0, "", cells[1:], false, true
	}
	cells = cells[1:]
	if !isText {
		if len(cells) < numberBytes {
			return 0, "", "", false, false
		}
		return binary.LittleEndian.Uint64([]byte(cells[:numberBytes])), "", cells[numberBytes:], true, true
	}
	size, n := binary.Uvarint([]byte(cells[:min(len(cells), binary.MaxVarintLen64)]))
	if n <= 0 || size > uint64(len(cells)-n) {
		return 0, "", "", false, false
	}
	return 0, cells[n : n+int(size)], cells[n+int(size):], true, true
}

// JoinCells returns columns of rows, of each of which are the cells in the order of the
// columns; "": all are null. The caller releases them.
func JoinCells(mem memory.Allocator, columns []Column, rows []string) (out []arrow.Array, err error) {
	rest := make([]string, len(rows))
	copy(rest, rows)
	for _, c := range columns {
		valid, numbers := NewMask(len(rows)), make([]uint64, len(rows))
		var entries map[string]uint64
		b := array.NewStringBuilder(mem)
		for i, cells := range rest {
			if rows[i] == "" {
				continue
			}
			number, text, after, isValid, ok := cutCell(cells, c.Type == String)
			if !ok {
				b.Release()
				return out, &thalweg.Error{Op: "join rows", Kind: thalweg.Corrupt, Subject: "column " + c.Name, Err: fmt.Errorf("%d bytes are no cells", len(rows[i]))}
			}
			if rest[i] = after; !isValid {
				continue
			}
			valid.Set(i)
			if numbers[i] = number; c.Type != String {
				continue
			}
			id, known := entries[text]
			if !known {
				if entries == nil {
					entries = make(map[string]uint64)
				}
				id = uint64(b.Len())
				entries[text] = id
				b.Append(text)
			}
			numbers[i] = id
		}
		texts := b.NewArray()
		b.Release()
		out = append(out, joined(mem, c.Type, numbers, valid, texts))
		texts.Release()
	}
	return out, nil
}

// joined returns a column of numbers of which valid marks those that are there: of texts, of
// the entries that they name.
func joined(mem memory.Allocator, t Type, numbers []uint64, valid Mask, texts arrow.Array) arrow.Array {
	n := len(numbers)
	switch t {
	case String:
		return NewText(mem, n, converted(mem, numbers, arrow.Int32Traits, func(v uint64) int32 { return int32(v) }), valid, texts)
	case Float64:
		return NewColumn(mem, t, n, converted(mem, numbers, arrow.Float64Traits, math.Float64frombits), valid)
	case Timestamp:
		return NewColumn(mem, t, n, converted(mem, numbers, arrow.TimestampTraits, func(v uint64) arrow.Timestamp { return arrow.Timestamp(v) }), valid)
	case Bool:
		values := NewMask(n)
		for i, v := range numbers {
			if v != 0 {
				values.Set(i)
			}
		}
		return NewColumn(mem, t, n, values.Buffer(mem), valid)
	}
	return NewColumn(mem, t, n, converted(mem, numbers, arrow.Int64Traits, func(v uint64) int64 { return int64(v) }), valid)
}

func converted[T any](mem memory.Allocator, from []uint64, t Traits[T], as func(uint64) T) *memory.Buffer {
	buf, out := Alloc(mem, len(from), t)
	for i, v := range from {
		out[i] = as(v)
	}
	return buf
}
