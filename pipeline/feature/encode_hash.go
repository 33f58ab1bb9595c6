package feature

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Hash gives each value of a category the weight that its hash says. Nothing is learnt,
// and a value that training never met has one too.
type Hash struct {
	// Buckets is how many weights a hashed category has. Values share one where there
	// are many: with as many values as buckets, about a third have one alone.
	Buckets int `yaml:"buckets,omitempty" json:"buckets,omitempty" jsonschema:"minimum=2,maximum=4194304" default:"65536"`
}

// For implements pipeline.Typed.
func (*Hash) For() string { return categoryType }

// HashBuckets implements pipeline.Hasher.
func (h *Hash) HashBuckets() int { return h.Buckets }

// Hashed is the data of a hashed category: a value has the id of its hash's bucket.
type Hashed struct {
	Buckets int `json:"buckets"`
	// Known is what training knows of the values, though no id depends on it: none of
	// them where there are many, but the fill.
	Category
}

// maxNames and maxNameBytes bound the values of a hashed category that are kept, for
// people to read: those of most columns of codes, and no others.
const (
	maxNames     = 1 << 12
	maxNameBytes = 1 << 17
)

// hashed reports whether a feature's values are known in bounds only, since its
// encoder hashes them.
func hashed(f pipeline.Feature) bool {
	_, ok := f.Options.Encoder.Options.(pipeline.Hasher)
	return ok && strategy(f) != fillWithMode
}

// boundsOf returns how many values a category may have.
func boundsOf(f pipeline.Feature) bounds {
	if hashed(f) {
		return bounds{values: maxNames, bytes: maxNameBytes, names: true}
	}
	return featureBounds
}

// Fit implements Encoder.
func (h *Hash) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	if err := new(OneHot).Fit(f, s, out); err != nil {
		return err
	}
	data := &Hashed{Buckets: h.Buckets, Category: *out.Category}
	if s.Category.Many || !(bounds{values: maxNames, bytes: maxNameBytes}).hold(data.Values) {
		data.Values, data.Counts, data.Distinct = []string{}, []int64{}, 0
	}
	out.Category, out.Hashed = nil, data
	return nil
}

// Load implements Encoder.
func (h *Hash) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	d := data.Hashed
	if d == nil {
		return nil, fmt.Errorf("no data of a hashed category")
	}
	if d.Buckets != h.Buckets || len(d.Values) != len(d.Counts) || len(d.Values) > maxNames {
		return nil, fmt.Errorf("%d buckets of %d values with %d counts", d.Buckets, len(d.Values), len(d.Counts))
	}
	return &hashEncoding{newHasher(f.Name, d.Fill, d.Buckets)}, nil
}

// hashEncoding encodes a category as one category slot of its buckets.
type hashEncoding struct{ hasher *hasher }

// AddTo implements Encoding.
func (e *hashEncoding) AddTo(s *kernel.Shape) {
	s.Cardinalities = append(s.Cardinalities, int(e.hasher.buckets))
	s.CategoryNames = append(s.CategoryNames, e.hasher.name)
}

// Encode implements Encoding.
func (e *hashEncoding) Encode(a arrow.Array, out Slots, m *Memo, n *Tally) error {
	n.Filled += int64(a.NullN())
	return e.hasher.hash(a, out.Categories[0][:a.Len()], m)
}
