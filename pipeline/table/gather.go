package table

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Pick names a row of one of several columns.
type Pick struct{ Part, Row int32 }

// Nowhere is the pick of a null.
var Nowhere = Pick{-1, -1}

// Gather returns a column of the rows that picks name, in their order. The parts are columns
// of one canonical type; another is an error. A part may be nil: what is picked of it is null.
// The caller releases the column, and keeps the parts.
func Gather(mem memory.Allocator, t Type, parts []arrow.Array, picks []Pick) (arrow.Array, error) {
	for _, p := range parts {
		if p != nil && TypeOf(p.DataType()) != t {
			return nil, fmt.Errorf("a column of %v among those of %v", p.DataType(), t)
		}
	}
	valid := NewMask(len(picks))
	for i, at := range picks {
		if at.Part >= 0 && parts[at.Part] != nil && parts[at.Part].IsValid(int(at.Row)) {
			valid.Set(i)
		}
	}
	switch t {
	case Int64:
		return NewColumn(mem, t, len(picks), gatherValues(mem, parts, picks, valid, func(a arrow.Array) []int64 { return a.(*array.Int64).Int64Values() }, arrow.Int64Traits), valid), nil
	case Float64:
		return NewColumn(mem, t, len(picks), gatherValues(mem, parts, picks, valid, func(a arrow.Array) []float64 { return a.(*array.Float64).Float64Values() }, arrow.Float64Traits), valid), nil
	case Timestamp:
		return NewColumn(mem, t, len(picks), gatherValues(mem, parts, picks, valid, func(a arrow.Array) []arrow.Timestamp { return a.(*array.Timestamp).TimestampValues() }, arrow.TimestampTraits), valid), nil
	case Bool:
		yes := NewMask(len(picks))
		for i := range valid.Marked() {
			if parts[picks[i].Part].(*array.Boolean).Value(int(picks[i].Row)) {
				yes.Set(i)
			}
		}
		return NewColumn(mem, t, len(picks), yes.Buffer(mem), valid), nil
	case String:
		return gatherTexts(mem, parts, picks, valid)
	}
	if t.Element() != "" {
		return gatherLists(mem, t, parts, picks, valid)
	}
	return nil, fmt.Errorf("%v is not a canonical type", t)
}

// gatherValues returns the values of the rows that valid marks.
func gatherValues[T any](mem memory.Allocator, parts []arrow.Array, picks []Pick, valid Mask, values func(arrow.Array) []T, t Traits[T]) *memory.Buffer {
	of := make([][]T, len(parts))
	for i, p := range parts {
		if p != nil {
			of[i] = values(p)
		}
	}
	buf, out := Alloc(mem, len(picks), t)
	clear(out)
	for i := range valid.Marked() {
		out[i] = of[picks[i].Part][picks[i].Row]
	}
	return buf
}

// gatherTexts makes one dictionary of the words that the rows have.
func gatherTexts(mem memory.Allocator, parts []arrow.Array, picks []Pick, valid Mask) (arrow.Array, error) {
	entries := array.NewStringBuilder(mem)
	defer entries.Release()
	known := make(map[string]int32)
	numbers := make([][]int32, len(parts)) // of a part's words: 1 more than in the new dictionary, 0: not known
	words := make([]*array.String, len(parts))
	for i, p := range parts {
		if p == nil {
			continue
		}
		d, ok := p.(*array.Dictionary)
		if ok {
			words[i], ok = d.Dictionary().(*array.String)
		}
		if !ok {
			return nil, fmt.Errorf("%v is no dictionary of texts", p.DataType())
		}
		numbers[i] = make([]int32, words[i].Len())
	}
	buf, out := Alloc(mem, len(picks), arrow.Int32Traits)
	clear(out)
	for i := range valid.Marked() {
		at := picks[i]
		word := parts[at.Part].(*array.Dictionary).GetValueIndex(int(at.Row))
		number := &numbers[at.Part][word]
		if *number == 0 {
			text := words[at.Part].Value(word)
			k, there := known[text]
			if !there {
				k = int32(len(known))
				known[text] = k
				entries.Append(text)
			}
			*number = k + 1
		}
		out[i] = *number - 1
	}
	dictionary := entries.NewArray()
	defer dictionary.Release()
	return NewText(mem, len(picks), buf, valid, dictionary), nil
}

// gatherLists gathers the elements of lists.
func gatherLists(mem memory.Allocator, t Type, parts []arrow.Array, picks []Pick, valid Mask) (arrow.Array, error) {
	of := make([]Lists, len(parts))
	values := make([]arrow.Array, len(parts))
	for i, p := range parts {
		if p != nil {
			of[i] = ListsIn(p.(*array.List))
			values[i] = of[i].Values
		}
	}
	buf, offsets := Alloc(mem, len(picks)+1, arrow.Int32Traits)
	clear(offsets)
	var elements []Pick
	for i, at := range picks {
		if valid.Has(i) {
			l := of[at.Part].Offsets
			for e := l[at.Row]; e < l[at.Row+1]; e++ {
				elements = append(elements, Pick{at.Part, e})
			}
		}
		offsets[i+1] = int32(len(elements))
	}
	kept, err := Gather(mem, t.Element(), values, elements)
	if err != nil {
		buf.Release()
		return nil, err
	}
	defer kept.Release()
	return NewList(mem, t, len(picks), buf, valid, kept), nil
}
