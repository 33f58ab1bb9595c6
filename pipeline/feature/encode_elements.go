package feature

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Elements passes the elements of a list on, each as it is normalised by itself.
type Elements struct{}

// For implements pipeline.Typed.
func (*Elements) For() string { return listType }

// elements encodes lists of one length as a list slot: each element by a number's
// encoding of its own.
type elements struct {
	name    string
	shape   []int
	numbers []*scaled
}

// Fit implements Encoder.
func (*Elements) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	if s.List.Length == 0 {
		return &thalweg.Error{Op: "learn the length", Kind: thalweg.Invalid, Err: fmt.Errorf("no training row has a list"),
			Hint: "write length: …, or leave the feature out"}
	}
	list := List{Length: s.List.Length, Missing: s.List.Missing, Other: s.List.Other, Elements: make([]Number, s.List.Length)}
	for i := range list.Elements {
		one := Statistics{Number: s.List.Elements[i], Warped: s.List.Elements[i]}
		if len(s.List.Warped) > 0 {
			one.Warped = s.List.Warped[i]
		}
		n, err := fitNumber(f, &one, out.Missing)
		if err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
		list.Elements[i] = *n
	}
	out.List = &list
	return nil
}

// Load implements Encoder.
func (*Elements) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	l := data.List
	if l == nil {
		return nil, fmt.Errorf("no list data")
	}
	if declared := f.Options.Length; l.Length < 1 || l.Length > pipeline.MaxListLength || declared != nil && *declared != l.Length ||
		len(l.Elements) != l.Length || l.Missing < 0 || l.Other < 0 {
		return nil, fmt.Errorf("data of %d elements for lists of %d", len(l.Elements), l.Length)
	}
	e := &elements{name: f.Name, shape: f.Options.Shape}
	if e.shape == nil {
		e.shape = []int{l.Length}
	}
	if kernel.Elements(e.shape) != l.Length {
		return nil, fmt.Errorf("data of %d elements for lists of shape %v", l.Length, e.shape)
	}
	for i := range l.Elements {
		n, err := loadNumber(f, &l.Elements[i])
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		e.numbers = append(e.numbers, n)
	}
	return e, nil
}

// AddTo implements Encoding.
func (e *elements) AddTo(s *kernel.Shape) {
	s.Lists = append(s.Lists, e.shape)
	s.ListNames = append(s.ListNames, e.name)
}

// Encode implements Encoding. A list that is missing counts as one value filled, one
// of another length as one that is not known.
func (e *elements) Encode(a arrow.Array, out Slots, _ *Memo, n *Tally) error {
	v, err := viewLists("feature "+e.name, a)
	if err != nil {
		return err
	}
	length := len(e.numbers)
	for i := range a.Len() {
		dst := out.Lists[0][i*length : (i+1)*length]
		list, present, other := v.list(i, length)
		switch {
		case list != nil:
			for k, x := range list {
				dst[k] = e.numbers[k].encode(x, present(k), n)
			}
			continue
		case other:
			n.Unknown++
		default:
			n.Filled++
		}
		for k, number := range e.numbers {
			dst[k] = number.fill
		}
	}
	return nil
}
