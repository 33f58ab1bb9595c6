package feature

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Transform is what Finish learnt, ready to be applied. It is immutable and
// may be used from several goroutines.
type Transform struct {
	plan      *pipeline.Plan
	data      transformData
	canonical []byte
	hash      string
	sources   []source
	encodings []Encoding
	// places[i] is where feature i's slots lie in a block.
	places []place
	shape  kernel.Shape
	// members hash the values of the features that crosses are of, by feature.
	members map[int]member
	mem     memory.Allocator
	// supervised: features are fitted to labels, by folds of the training rows.
	supervised bool
}

// place is the slots that a shape has and an earlier one has not.
type place struct{ from, to kernel.Shape }

// of returns the slots of b at p.
func (p place) of(b *kernel.Block) Slots {
	return Slots{
		Numbers:    b.Numbers[p.from.Numbers:p.to.Numbers],
		Categories: b.Categories[len(p.from.Cardinalities):len(p.to.Cardinalities)],
		Lists:      b.Lists[len(p.from.Lists):len(p.to.Lists)],
		Terms:      b.Terms[len(p.from.Terms):len(p.to.Terms)],
	}
}

// build makes a transform from data that describes plan's features.
func build(plan *pipeline.Plan, data transformData) (*Transform, error) {
	t := &Transform{plan: plan, data: data, members: make(map[int]member), mem: memory.DefaultAllocator}
	for i, f := range plan.Features {
		e, err := encoderOf(f)
		if err != nil {
			return nil, inFeature(f.Name, err)
		}
		if n := t.data.Features[i].kinds(); n != 1 {
			return nil, inFeature(f.Name, fmt.Errorf("data of %d kinds, not of one", n))
		}
		loaded, err := e.Load(f, &t.data.Features[i])
		if err != nil {
			return nil, inFeature(f.Name, err)
		}
		if f.Options.MissingIndicator {
			loaded = &indicated{loaded, f.Name}
		}
		t.supervised = t.supervised || supervision(f) > 0
		before := t.shape
		loaded.AddTo(&t.shape)
		t.places = append(t.places, place{before, t.shape})
		t.sources = append(t.sources, sourceOf(f))
		t.encodings = append(t.encodings, loaded)
	}
	for _, c := range plan.Crosses {
		for _, of := range c.Of {
			if _, there := t.members[of]; !there {
				t.members[of] = memberOf(&t.data.Features[of])
			}
		}
		t.shape.Cardinalities = append(t.shape.Cardinalities, c.Buckets)
		t.shape.CategoryNames = append(t.shape.CategoryNames, c.Name)
	}
	if err := data.Label.check(); err != nil {
		return nil, inFeature(data.Label.Name, err)
	}
	var err error
	if t.canonical, err = json.Marshal(t.data); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(t.canonical)
	t.hash = hex.EncodeToString(sum[:])
	return t, nil
}

// check reports what no training rows have.
func (l *Label) check() error {
	if l.Type == categoryLabel || l.Classes != nil || l.Counts != nil {
		if err := (Counts{Values: l.Classes, Counts: l.Counts}).check(); err != nil || l.Type != categoryLabel || len(l.Classes) > MaxClasses {
			return cmp.Or(err, fmt.Errorf("%d classes of a %s", len(l.Classes), l.Type))
		}
	}
	if slices.ContainsFunc(l.Constants, func(c float64) bool { return !finite(c) }) {
		return fmt.Errorf("constants %v", l.Constants)
	}
	return l.Statistics.check()
}

// Load is the inverse of MarshalJSON. It fails with thalweg.Corrupt where the
// data is not the canonical form of a transform of plan's features; white space
// between tokens is allowed.
func Load(plan *pipeline.Plan, data []byte) (*Transform, error) {
	const what = "transform"
	var d transformData
	if err := decode(what, data, &d); err != nil {
		return nil, err
	}
	if d.Version != dataVersion || len(d.Features) != len(plan.Features) {
		return nil, corrupt(what, fmt.Errorf("version %d with %d features, not %d with %d", d.Version, len(d.Features), dataVersion, len(plan.Features)))
	}
	for i, f := range plan.Features {
		have := d.Features[i]
		have.Number, have.Bins, have.Periodic, have.Category, have.Hashed, have.Valued, have.List, have.Terms = nil, nil, nil, nil, nil, nil, nil, nil
		if want := describe(f); !reflect.DeepEqual(have, want) {
			return nil, corrupt(what, fmt.Errorf("feature %+v is not the spec's %+v", have, want))
		}
	}
	if want := describeCrosses(plan); !reflect.DeepEqual(d.Crosses, want) {
		return nil, corrupt(what, fmt.Errorf("crosses %+v are not the spec's %+v", d.Crosses, want))
	}
	have := d.Label
	have.Statistics, have.Classes, have.Counts, have.Constants = Moments{}, nil, nil, nil
	if want := describeLabel(plan.Label); !reflect.DeepEqual(have, want) {
		return nil, corrupt(what, fmt.Errorf("label %+v is not the spec's %+v", have, want))
	}
	t, err := build(plan, d)
	if err != nil {
		return nil, corrupt(what, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil || !bytes.Equal(compact.Bytes(), t.canonical) {
		return nil, corrupt(what, fmt.Errorf("not in canonical form"))
	}
	return t, nil
}

// MarshalJSON returns the transform as canonical JSON: equal transforms give
// equal bytes.
func (t *Transform) MarshalJSON() ([]byte, error) { return bytes.Clone(t.canonical), nil }

// Hash returns the sha256 of the canonical JSON in hex: the name of the
// transform's content.
func (t *Transform) Hash() string { return t.hash }

// Shape returns the slots of the blocks that Apply fills.
func (t *Transform) Shape() kernel.Shape { return t.shape }

// Features returns the data of each feature in the order of the spec. The
// caller must not change it.
func (t *Transform) Features() []Feature { return t.data.Features }

// Values returns those of the feature at a place, for each row of a cleaned batch, before they
// are encoded. The caller releases them.
func (t *Transform) Values(feature int, batch arrow.Record) (arrow.Array, error) {
	return t.sources[feature].read(batch)
}

// Crosses returns the data of the crosses. The caller must not change it.
func (t *Transform) Crosses() []CrossData { return t.data.Crosses }

// Spread returns how far a standard deviation of the feature at a place, a number,
// moves its slot; 0 of another feature.
func (t *Transform) Spread(feature int) float64 {
	e := t.encodings[feature]
	if both, ok := e.(*indicated); ok {
		e = both.Encoding
	}
	if e, ok := e.(*scaled); ok {
		return e.spread(t.data.Features[feature].Number.Statistics)
	}
	return 0
}

// Label returns what training knows of the output feature: the mean of a binary
// label is the base rate.
func (t *Transform) Label() Label { return t.data.Label }

// Origins says which input each slot is of, by its place in names: the features in the
// order of the spec, then the crosses.
func (t *Transform) Origins() (names []string, numbers, categories, lists, terms []int) {
	upTo := func(slots *[]int, n, input int) {
		for len(*slots) < n {
			*slots = append(*slots, input)
		}
	}
	for i, f := range t.plan.Features {
		to := t.places[i].to
		upTo(&numbers, to.Numbers, i)
		upTo(&categories, len(to.Cardinalities), i)
		upTo(&lists, len(to.Lists), i)
		upTo(&terms, len(to.Terms), i)
		names = append(names, f.Name)
	}
	for _, c := range t.plan.Crosses {
		categories = append(categories, len(names))
		names = append(names, c.Name)
	}
	return names, numbers, categories, lists, terms
}

// Means returns what slots are in the mean of the training rows, as far as it is known: a
// number that is warped is at the mean of what came before; of categories the shares of
// the ids, nil of bins, crosses and those that are hashed and have too many values.
func (t *Transform) Means() (numbers []float32, lists [][]float32, categories [][]float64) {
	numbers = make([]float32, t.shape.Numbers)
	categories = make([][]float64, len(t.shape.Cardinalities))
	for i := range t.data.Features {
		f, at, e := &t.data.Features[i], t.places[i], t.encodings[i]
		if both, ok := e.(*indicated); ok {
			e = both.Encoding
			numbers[at.to.Numbers-1] = float32(f.Missed())
		}
		switch e := e.(type) {
		case *scaled:
			numbers[at.from.Numbers] = e.mean(f.Number.Statistics)
		case *elements:
			list := make([]float32, len(e.numbers))
			for k, number := range e.numbers {
				list[k] = number.mean(f.List.Elements[k].Statistics)
			}
			lists = append(lists, list)
		}
		switch {
		case f.Category != nil:
			categories[len(at.from.Cardinalities)] = f.Category.shares(len(f.Category.Values)+1, func(i int) int { return i + 1 })
		case f.Hashed != nil && len(f.Hashed.Values) > 0:
			n := uint32(f.Hashed.Buckets)
			categories[len(at.from.Cardinalities)] = f.Hashed.shares(f.Hashed.Buckets, func(i int) int { return int(bucket(hashOf(f.Hashed.Values[i]), n)) })
		}
	}
	return numbers, lists, categories
}

// mean returns the mean of the training rows' numbers, those that were missing included.
func (e *scaled) mean(m Moments) float32 {
	rows := float64(m.Count + m.Missing)
	if rows == 0 {
		return 0
	}
	mean := float64(clip(e.value(m.Mean)) * (float64(m.Count) / rows))
	return float32(mean + float64(float64(e.fill)*(float64(m.Missing)/rows)))
}

// shares returns the shares of the training rows by id, of which value i has that of id;
// nil where there are none.
func (c *Category) shares(ids int, id func(i int) int) []float64 {
	total := c.Unknown
	for _, n := range c.Counts {
		total += n
	}
	if total == 0 {
		return nil
	}
	out := make([]float64, ids)
	out[0] = float64(c.Unknown) / float64(total)
	for i, n := range c.Counts {
		out[id(i)] += float64(n) / float64(total)
	}
	return out
}
