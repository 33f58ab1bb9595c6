package encode

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/intern"
)

const (
	// maxDictionary is the bytes of a dictionary beyond which it must save half
	// of the values to be kept; readers hold it in memory for a whole chunk.
	maxDictionary = 1 << 20
	// maxText bounds the distinct strings of a row group; their offsets are 32-bit.
	maxText = 1 << 30
	// maxBound is the bytes of a string up to which statistics hold it.
	maxBound = 64
)

// text writes strings, by a dictionary unless nearly all of them differ.
type text struct {
	set        intern.Set
	begun      bool
	ids        []uint32 // entries of the values
	remapped   []uint32 // by entry of an array's dictionary: its id + 1
	dictionary bool
	plain      []byte
}

func (s *text) append(a arrow.Array, from, to int, rows present) error {
	if !s.begun {
		s.begun = true
		s.set.Reset()
	}
	s.ids = reserve(s.ids, to-from)
	switch a := a.(type) {
	case *array.String:
		for from, to := range rows.runs(from, to) {
			for i := from; i < to; i++ {
				if err := s.add(a.Value(i)); err != nil {
					return err
				}
			}
		}
		return nil
	case *array.Dictionary:
		return s.appendIndexed(a, from, to, rows)
	}
	return nil
}

// add appends a value.
func (s *text) add(v string) error {
	if len(v) > maxText-s.set.Bytes() {
		return errText
	}
	s.ids = append(s.ids, uint32(s.set.Index(unsafe.Slice(unsafe.StringData(v), len(v)))))
	return nil
}

// appendIndexed looks each entry of the dictionary up once, by the first row
// that has it, unless there are more entries than rows.
func (s *text) appendIndexed(a *array.Dictionary, from, to int, rows present) error {
	dict := a.Dictionary().(*array.String)
	indices := a.Indices().(*array.Int32).Int32Values()
	remember := to-from >= dict.Len()
	if remember {
		s.remapped = append(s.remapped[:0], make([]uint32, dict.Len())...)
	}
	for from, to := range rows.runs(from, to) {
		for _, i := range indices[from:to] {
			if remember && s.remapped[i] != 0 {
				s.ids = append(s.ids, s.remapped[i]-1)
				continue
			}
			if err := s.add(dict.Value(int(i))); err != nil {
				return err
			}
			if remember {
				s.remapped[i] = s.ids[len(s.ids)-1] + 1
			}
		}
	}
	return nil
}

func (s *text) size() int { return s.set.Bytes() }

func (s *text) plan() (format.Encoding, []byte, int) {
	if len(s.ids) == 0 {
		return format.Plain, nil, 0
	}
	if s.dictionary = s.set.Bytes() <= maxDictionary || 2*s.set.Len() <= len(s.ids); !s.dictionary {
		return format.Plain, nil, 0
	}
	s.plain = s.plain[:0]
	for i := range s.set.Len() {
		s.plain = appendText(s.plain, s.set.Value(i))
	}
	return format.RLEDictionary, s.plain, s.set.Len()
}

func (s *text) page(dst []byte, from, to int) []byte {
	if s.dictionary {
		return appendIndices(dst, s.ids[from:to], s.set.Len())
	}
	for _, id := range s.ids[from:to] {
		dst = appendText(dst, s.set.Value(int(id)))
	}
	return dst
}

func appendText(dst, v []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v)))
	return append(dst, v...)
}

func (s *text) bounds() (least, greatest []byte) {
	least, greatest = s.set.Value(0), s.set.Value(0)
	for i := range s.set.Len() {
		v := s.set.Value(i)
		if bytes.Compare(v, least) < 0 {
			least = v
		}
		if bytes.Compare(v, greatest) > 0 {
			greatest = v
		}
	}
	if len(least) > maxBound || len(greatest) > maxBound {
		return nil, nil
	}
	return bytes.Clone(least), bytes.Clone(greatest)
}

func (s *text) reset() {
	s.ids, s.begun = s.ids[:0], false
}
