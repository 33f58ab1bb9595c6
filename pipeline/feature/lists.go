package feature

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// MaxElements bounds the elements of all list features of a pipeline: gathering
// their statistics takes 8 KiB each, 16 with a normalisation that warps.
const MaxElements = 1 << 13

// ListMoments summarises the lists of training rows: by position, the moments of
// the elements of lists that have the feature's length.
type ListMoments struct {
	// Length is that of each of them; 0 where there is none yet, and Elements are
	// none.
	Length int `json:"length"`
	// Missing counts rows without a list, and Other those whose list has another
	// length. Of neither is anything in Elements.
	Missing  int64     `json:"missing"`
	Other    int64     `json:"other"`
	Elements []Moments `json:"elements"`
	// Warped is the same of the elements as the normalisation warps them; none
	// where it does not.
	Warped []Moments `json:"warped,omitempty"`
}

// merge adds the lists of o, which come after those of m.
func (m *ListMoments) merge(o ListMoments) error {
	m.Missing += o.Missing
	m.Other += o.Other
	switch {
	case o.Length == 0:
	case m.Length == 0:
		m.Length, m.Elements, m.Warped = o.Length, o.Elements, o.Warped
	case m.Length != o.Length:
		return lengthsDiffer(m.Length, o.Length)
	default:
		for i := range o.Elements {
			m.Elements[i].merge(o.Elements[i])
		}
		for i := range o.Warped {
			m.Warped[i].merge(o.Warped[i])
		}
	}
	return nil
}

func lengthsDiffer(a, b int) error {
	return &thalweg.Error{Op: "learn the length", Kind: thalweg.Invalid, Err: fmt.Errorf("training rows have lists of %d elements and of %d", a, b),
		Hint: fmt.Sprintf("write length: %d; a list of another length then counts as missing, and is counted", a)}
}

// check reports moments that no lists have, of a feature whose normalisation warps
// or not.
func (m ListMoments) check(warps bool) error {
	if m.Length < 0 || m.Length > pipeline.MaxListLength || m.Missing < 0 || m.Other < 0 ||
		len(m.Elements) != m.Length || warps && len(m.Warped) != m.Length || !warps && len(m.Warped) > 0 {
		return fmt.Errorf("lists of %d elements with statistics of %d", m.Length, len(m.Elements))
	}
	for i, e := range m.Elements {
		if err := e.check(); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	for i, e := range m.Warped {
		if err := e.check(); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// lister gathers the moments of lists.
type lister struct {
	warp     func(float64) float64
	declared bool // the length
	done     ListMoments
	elements []gatherer // and, if warp is not nil, as many for warped values
	large
}

func newLister(f pipeline.Feature, warp func(float64) float64) *lister {
	l := &lister{warp: warp}
	if n := f.Options.Length; n != nil {
		l.declared = true
		l.done.Length = *n
	}
	return l
}

// learn takes the length of the lists in the rows that use marks, unless it is
// declared: all that are not empty must have the same.
func (l *lister) learn(a arrow.Array, use table.Mask) error {
	lists, ok := a.(*array.List)
	if !ok || l.declared {
		return nil
	}
	valid := table.Valid(a)
	valid.And(use)
	offsets := table.ListsIn(lists).Offsets
	for i := range valid.Marked() {
		switch n := int(offsets[i+1] - offsets[i]); {
		case n == 0 || n == l.done.Length:
		case l.done.Length > 0:
			return lengthsDiffer(l.done.Length, n)
		case n > pipeline.MaxListLength:
			return &thalweg.Error{Op: "learn the length", Kind: thalweg.Exhausted, Err: fmt.Errorf("a list of %d elements", n),
				Hint: fmt.Sprintf("a feature has at most %d", pipeline.MaxListLength)}
		default:
			l.done.Length = n
		}
	}
	return nil
}

// observe adds the lists of a, a column of batch, in the rows that use marks. It fails once
// the moments overflow.
func (l *lister) observe(what string, batch arrow.Record, a arrow.Array, use table.Mask) error {
	v, err := viewLists(what, a)
	if err != nil {
		return err
	}
	n := l.done.Length
	if l.elements == nil && n > 0 {
		l.elements = make([]gatherer, n)
		if l.warp != nil {
			l.elements = make([]gatherer, 2*n)
			for i := range n {
				l.elements[n+i].warp = l.warp
			}
		}
	}
	for i := range use.Marked() {
		list, present, other := v.list(i, n)
		if list == nil {
			if other {
				l.done.Other++
			} else {
				l.done.Missing++
			}
			continue
		}
		for k, x := range list {
			if !finite(x) || !present(k) {
				l.elements[k].done.Missing++
				continue
			}
			if math.Abs(x) > maxValue {
				l.meet(batch, i, x)
			}
			for at := k; at < len(l.elements); at += n {
				l.elements[at].add(x)
			}
		}
	}
	if l.found && l.moments().check(l.warp != nil) != nil {
		return l.err(what)
	}
	return nil
}

// moments returns the summary so far.
func (l *lister) moments() ListMoments {
	m := l.done
	m.Elements = make([]Moments, m.Length)
	if l.warp != nil {
		m.Warped = make([]Moments, m.Length)
	}
	for i := range l.elements {
		if i < m.Length {
			m.Elements[i] = l.elements[i].moments()
		} else {
			m.Warped[i-m.Length] = l.elements[i].moments()
		}
	}
	return m
}

// listView reads lists of numbers or bools as float64s.
type listView struct {
	valid    table.Mask
	offsets  []int32
	floats   []float64
	elements table.Mask // those that are not null; no words: all
}

func viewLists(what string, a arrow.Array) (*listView, error) {
	lists, ok := a.(*array.List)
	if !ok {
		return nil, unreadable(what, a)
	}
	in := table.ListsIn(lists)
	v := &listView{valid: table.Valid(a), offsets: in.Offsets}
	if in.Values.NullN() > 0 {
		v.elements = table.Valid(in.Values)
	}
	switch e := in.Values.(type) {
	case *array.Float64:
		v.floats = e.Float64Values()
	case *array.Int64:
		v.floats = asFloats(e.Int64Values())
	case *array.Boolean:
		v.floats = asFloats(table.Indicators(e))
	default:
		return nil, unreadable(what, a)
	}
	return v, nil
}

func asFloats(values []int64) []float64 {
	out := make([]float64, len(values))
	for i, x := range values {
		out[i] = float64(x)
	}
	return out
}

// anyLength stands for a length that is not known yet: lists of any are taken, but
// the empty ones.
const anyLength = -1

// list returns the elements of row i and which of them are not null; no list where
// there is none of n elements, and whether there is one of another length.
func (v *listView) list(i, n int) (list []float64, present func(k int) bool, other bool) {
	if !v.valid.Has(i) {
		return nil, nil, false
	}
	from, to := int(v.offsets[i]), int(v.offsets[i+1])
	if to == from || to-from != n && n != anyLength {
		return nil, nil, true
	}
	return v.floats[from:to:to], func(k int) bool { return v.elements.Words == nil || v.elements.Has(from+k) }, false
}

// missingLists marks the rows whose list is missing, has another length than n, or
// misses an element.
func missingLists(a arrow.Array, n int) table.Mask {
	m := table.NewMask(a.Len())
	v, err := viewLists("", a)
	if err != nil {
		return m // of another type: whoever encodes it says so
	}
	for i := range m.Rows {
		list, present, _ := v.list(i, n)
		if list == nil {
			m.Set(i)
		}
		for k, x := range list {
			if !finite(x) || !present(k) {
				m.Set(i)
				break
			}
		}
	}
	return m
}
