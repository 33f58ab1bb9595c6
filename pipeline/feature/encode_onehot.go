package feature

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// defaultCategoryFill is the value of its own that missing categories count as.
const defaultCategoryFill = "<MISSING>"

// tableSpan bounds the table that turns integers into ids: 64 Ki ids are
// 256 KiB, which stays in a core's second-level cache. Vocabularies that span
// more go through a map, some ten times slower.
const tableSpan = 1 << 16

// unresolved marks a dictionary entry whose id has not been looked up.
const unresolved = ^uint32(0)

// OneHot gives each value of a category a weight of its own.
type OneHot struct{}

// For implements pipeline.Typed.
func (*OneHot) For() string { return categoryType }

// oneHot encodes a category as one category slot of its id.
type oneHot struct {
	name string
	ids  map[string]uint32
	fill uint32 // id of a missing value

	// Of the values that are integers in decimal, smallest is the least one, and
	// table[x-smallest] the id of x; integers holds them where they span more
	// than tableSpan.
	smallest int64
	table    []uint32
	integers map[int64]uint32
	bools    [2]uint32
}

// Fit implements Encoder.
func (*OneHot) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	c := Category{Missing: s.Category.Missing, Values: []string{}, Counts: []int64{}}
	counts := make(map[string]int64, len(s.Category.Values)+1)
	for i, v := range s.Category.Values {
		counts[v] = s.Category.Counts[i]
	}
	switch out.Missing {
	case fillWithConst:
		fill, err := fillText(f.Options.FillValue)
		if err != nil {
			return err
		}
		c.Fill = &fill
		if c.Missing > 0 {
			counts[fill] += c.Missing
		}
	case fillWithMode, dropRow:
	default:
		return &thalweg.Error{Op: "missing_value_strategy of a category", Kind: thalweg.Unsupported, Subject: strconv.Quote(out.Missing)}
	}

	type entry struct {
		value string
		count int64
	}
	entries := make([]entry, 0, len(counts))
	for v, n := range counts {
		entries = append(entries, entry{v, n})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.value, b.value))
	})
	c.Distinct = int64(len(entries))
	if out.Missing == fillWithMode && len(entries) > 0 {
		c.Fill = &entries[0].value
		entries[0].count += c.Missing
	}
	if f.Imported != nil {
		c.take(f.Imported.Values, counts)
		out.Category = &c
		return nil
	}
	most, least := len(entries), int64(0)
	if f.Options.MostCommon != nil && *f.Options.MostCommon > 0 {
		most = *f.Options.MostCommon
	}
	if f.Options.MinCount != nil {
		least = int64(*f.Options.MinCount)
	}
	for i, e := range entries {
		if i >= most || e.count < least {
			c.Unknown += e.count
			continue
		}
		c.Values = append(c.Values, e.value)
		c.Counts = append(c.Counts, e.count)
	}
	out.Category = &c
	return nil
}

// take gives ids to given values, whatever their counts in training are.
func (c *Category) take(values []string, counts map[string]int64) {
	for _, n := range counts {
		c.Unknown += n
	}
	for _, v := range values {
		c.Values, c.Counts = append(c.Values, v), append(c.Counts, counts[v])
		c.Unknown -= counts[v]
	}
}

// fillText returns a YAML scalar as the text of a category.
func fillText(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return defaultCategoryFill, nil
	case string:
		return key(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	}
	return "", &thalweg.Error{Op: "fit", Kind: thalweg.Invalid, Subject: fmt.Sprintf("fill_value %v", v), Hint: "a category feature needs a scalar"}
}

// Load implements Encoder.
func (*OneHot) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	c := data.Category
	if c == nil {
		return nil, fmt.Errorf("no category data")
	}
	if len(c.Values) != len(c.Counts) || len(c.Values) > MaxDistinct+1 {
		return nil, fmt.Errorf("%d values with %d counts", len(c.Values), len(c.Counts))
	}
	e := &oneHot{name: f.Name, ids: make(map[string]uint32, len(c.Values))}
	for i, v := range c.Values {
		if _, twice := e.ids[v]; twice {
			return nil, fmt.Errorf("value %q twice", v)
		}
		e.ids[v] = uint32(i + 1)
	}
	if c.Fill != nil {
		e.fill = e.ids[*c.Fill]
	}
	e.bools = [2]uint32{e.ids["false"], e.ids["true"]}
	e.loadIntegers(c.Values)
	return e, nil
}

// loadIntegers prepares the ids of those values that are integers in the one
// form that integers are counted under.
func (e *oneHot) loadIntegers(values []string) {
	e.integers = make(map[int64]uint32)
	largest := int64(0)
	for i, v := range values {
		x, err := strconv.ParseInt(v, 10, 64)
		if err != nil || strconv.FormatInt(x, 10) != v {
			continue
		}
		if len(e.integers) == 0 {
			e.smallest, largest = x, x
		}
		e.smallest, largest = min(e.smallest, x), max(largest, x)
		e.integers[x] = uint32(i + 1)
	}
	// The difference of two int64 fits uint64.
	if span := uint64(largest) - uint64(e.smallest); len(e.integers) > 0 && span < tableSpan {
		e.table = make([]uint32, span+1)
		for x, id := range e.integers {
			e.table[x-e.smallest] = id
		}
	}
}

// AddTo implements Encoding.
func (e *oneHot) AddTo(s *kernel.Shape) {
	s.Cardinalities = append(s.Cardinalities, len(e.ids)+1)
	s.CategoryNames = append(s.CategoryNames, e.name)
}

// Encode implements Encoding.
func (e *oneHot) Encode(a arrow.Array, out Slots, m *Memo, n *Tally) error {
	dst := out.Categories[0][:a.Len()]
	switch a := a.(type) {
	case *array.Dictionary:
		indices, ok := a.Indices().(*array.Int32)
		if !ok {
			return unreadable("feature "+e.name, a)
		}
		if a.Len() > 0 {
			e.encodeText(a, indices.Int32Values(), dst, m, n)
		}
	case *array.Int64:
		e.encodeIntegers(a.Int64Values(), dst)
	case *array.Boolean:
		for w, word := range table.True(a).Words {
			for i := range dst[w*64 : min(w*64+64, len(dst))] {
				dst[w*64+i] = e.bools[word>>i&1]
			}
		}
	default:
		return unreadable("feature "+e.name, a)
	}
	if a.NullN() > 0 {
		for i := range table.Valid(a).Not().Marked() {
			dst[i] = e.fill
		}
		n.Filled += int64(a.NullN())
	}
	for _, id := range dst {
		if id == 0 {
			n.Unknown++
		}
	}
	return nil
}

// encodeText looks each dictionary entry up once, when the first row uses it,
// and remembers the ids for as long as batches come with the same dictionary.
// Rows that are null get some id; the caller overwrites it.
func (e *oneHot) encodeText(a *array.Dictionary, indices []int32, dst []uint32, m *Memo, n *Tally) {
	dict := a.Dictionary().(*array.String)
	ids := m.of(a, dict.Len())
	if a.NullN() > 0 {
		for i := range table.Valid(a).Marked() {
			entry := indices[i]
			if ids[entry] == unresolved {
				ids[entry] = e.ids[key(dict.Value(int(entry)))]
			}
			dst[i] = ids[entry]
		}
		return
	}
	for i, entry := range indices {
		id := ids[entry]
		if id == unresolved {
			id = e.ids[key(dict.Value(int(entry)))]
			ids[entry] = id
		}
		dst[i] = id
	}
}

func (e *oneHot) encodeIntegers(values []int64, dst []uint32) {
	if e.table == nil {
		for i, x := range values {
			dst[i] = e.integers[x]
		}
		return
	}
	ids, smallest := e.table, e.smallest
	for i, x := range values {
		id := uint32(0)
		if at := uint64(x) - uint64(smallest); at < uint64(len(ids)) {
			id = ids[at]
		}
		dst[i] = id
	}
}

// Embedding has a network learn some numbers for each value of a category, by which it
// tells values apart and what they have in common.
type Embedding struct {
	OneHot `yaml:",inline" json:",inline"`
	// Size is how many numbers a value has. Default auto: twice the root of the number of
	// values, at most 64.
	Size pipeline.Count `yaml:"size" json:"size,omitempty" jsonschema:"maximum=1024"`
}

// maxEmbedding bounds the sizes that follow from the values.
const maxEmbedding = 64

// Embeds implements pipeline.Embedder.
func (*Embedding) Embeds() {}

// Load implements Encoder.
func (o *Embedding) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	e, err := o.OneHot.Load(f, data)
	if err != nil {
		return nil, err
	}
	size := int(o.Size)
	if size == 0 {
		size = embeddingSize(len(data.Category.Values) + 1)
	}
	return &embedded{e.(*oneHot), size}, nil
}

// embeddingSize returns the size that suits so many values.
func embeddingSize(values int) int {
	size := 1
	for size < maxEmbedding && size*size < 4*values {
		size++
	}
	return size
}

// embedded is a category slot whose ids stand for numbers.
type embedded struct {
	*oneHot
	size int
}

// AddTo implements Encoding.
func (e *embedded) AddTo(s *kernel.Shape) {
	slot := len(s.Cardinalities)
	e.oneHot.AddTo(s)
	for len(s.Embeddings) <= slot {
		s.Embeddings = append(s.Embeddings, 0)
	}
	s.Embeddings[slot] = e.size
}
