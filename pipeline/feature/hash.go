package feature

import (
	"math/bits"
	"slices"
	"strconv"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/twmb/murmur3"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// hashOf is the hash of a value of a category: MurmurHash3 x86-32 of its UTF-8 bytes,
// seed 0, as com.microsoft.MurmurHash3 of ONNX runtimes has it.
func hashOf(text string) uint32 { return murmur3.StringSum32(text) }

// jointHash is the hash of two values with hashes a and b: MurmurHash3 of the eight
// bytes of a<<32 | b, little endian, which is what ONNX runtimes make of that uint64.
// Hashes have no separator that a value could contain.
func jointHash(a, b uint32) uint32 {
	h := bits.RotateLeft32(scramble(b), 13)*5 + 0xe6546b64
	h = bits.RotateLeft32(h^scramble(a), 13)*5 + 0xe6546b64
	h ^= 8
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

func scramble(k uint32) uint32 { return bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593 }

// bucket returns which of n buckets a hash falls into.
func bucket(hash, n uint32) uint32 {
	if n&(n-1) == 0 {
		return hash & (n - 1)
	}
	return hash % n
}

// smallHashes are the hashes of the first integers.
var smallHashes = sync.OnceValue(func() *[window]uint32 {
	t := new([window]uint32)
	for i := range t {
		t[i] = hashOf(strconv.Itoa(i))
	}
	return t
})

// hasher hashes the values of one category: the text that they are counted under.
type hasher struct {
	name    string
	fill    uint32 // of a missing value
	small   *[window]uint32
	buckets uint32 // 0: hashes stay as they are
}

// newHasher returns the hasher of a category whose missing values count as fill; nil
// where training had none to count as.
func newHasher(name string, fill *string, buckets int) *hasher {
	h := &hasher{name: name, small: smallHashes(), buckets: uint32(buckets)}
	text := defaultCategoryFill
	if fill != nil {
		text = *fill
	}
	h.fill = h.id(hashOf(text))
	return h
}

func (h *hasher) id(hash uint32) uint32 {
	if h.buckets == 0 {
		return hash
	}
	return bucket(hash, h.buckets)
}

// hash sets dst to the hashes of the values of a, or their buckets. Each entry of a
// dictionary is hashed once, when the first row uses it.
func (h *hasher) hash(a arrow.Array, dst []uint32, m *Memo) error {
	switch a := a.(type) {
	case *array.Dictionary:
		indices, ok := a.Indices().(*array.Int32)
		if !ok {
			return unreadable("feature "+h.name, a)
		}
		if a.Len() > a.NullN() {
			h.hashText(a, indices.Int32Values(), dst, m)
		}
	case *array.Int64:
		var digits [20]byte
		for i, x := range a.Int64Values() {
			if uint64(x) < window {
				dst[i] = h.id(h.small[x])
			} else {
				dst[i] = h.id(murmur3.Sum32(strconv.AppendInt(digits[:0], x, 10)))
			}
		}
	case *array.Boolean:
		of := [2]uint32{h.id(hashOf("false")), h.id(hashOf("true"))}
		for i, yes := range table.Indicators(a) {
			dst[i] = of[int(yes)]
		}
	default:
		return unreadable("feature "+h.name, a)
	}
	if a.NullN() > 0 {
		for i := range table.Valid(a).Not().Marked() {
			dst[i] = h.fill
		}
	}
	return nil
}

// hashText hashes dictionary entries. Rows that are null get what the entry at their
// index has, if there is one; the caller overwrites it.
func (h *hasher) hashText(a *array.Dictionary, indices []int32, dst []uint32, m *Memo) {
	dict := a.Dictionary().(*array.String)
	ids := m.of(a, dict.Len())
	nulls := a.NullN() > 0
	for i, entry := range indices {
		if nulls && a.IsNull(i) {
			continue
		}
		id := ids[entry]
		if id == unresolved { // or a hash of that value, which is hashed again
			id = h.id(hashOf(key(dict.Value(int(entry)))))
			ids[entry] = id
		}
		dst[i] = id
	}
}

// of returns the ids of the entries of a's dictionary as far as they are known.
func (m *Memo) of(a *array.Dictionary, entries int) []uint32 {
	if m.dictionary != a.Data().Dictionary() {
		m.dictionary = a.Data().Dictionary()
		m.ids = slices.Grow(m.ids[:0], entries)[:entries]
		for i := range m.ids {
			m.ids[i] = unresolved
		}
	}
	return m.ids
}

// member hashes one feature's values for the crosses that it is in: those of a
// category, or the bins of a number.
type member struct {
	hasher *hasher
	bins   []uint32 // by id
}

// memberOf returns the member that a fitted feature is.
func memberOf(data *Feature) member {
	switch {
	case data.Bins != nil:
		m := member{bins: make([]uint32, len(data.Bins.Cuts)+2)}
		for id := range m.bins {
			m.bins[id] = hashOf(strconv.Itoa(id))
		}
		return m
	case data.Hashed != nil:
		return member{hasher: newHasher(data.Name, data.Hashed.Fill, 0)}
	case data.Valued != nil:
		return member{hasher: newHasher(data.Name, data.Valued.Fill, 0)}
	}
	return member{hasher: newHasher(data.Name, data.Category.Fill, 0)}
}

// hash sets dst to the hashes of the values of a, which are encoded in out.
func (m member) hash(a arrow.Array, out Slots, dst []uint32, memo *Memo) error {
	if m.hasher != nil {
		return m.hasher.hash(a, dst, memo)
	}
	for i, id := range out.Categories[0][:len(dst)] {
		dst[i] = m.bins[id]
	}
	return nil
}

// CrossData is the data of a cross: the names of its features, and how many ids the
// combinations of their values have.
type CrossData struct {
	Name     string   `json:"name"`
	Features []string `json:"features"`
	Buckets  int      `json:"buckets"`
}

// describeCrosses returns the data of the crosses of a plan, which says all of it.
func describeCrosses(plan *pipeline.Plan) (out []CrossData) {
	for _, c := range plan.Crosses {
		d := CrossData{Name: c.Name, Buckets: c.Buckets}
		for _, of := range c.Of {
			d.Features = append(d.Features, plan.Features[of].Name)
		}
		out = append(out, d)
	}
	return out
}

// crossIDs sets dst to the ids of the combinations of values with the given hashes, by
// feature.
func crossIDs(dst []uint32, hashes [][]uint32, buckets int) {
	n := uint32(buckets)
	first, second := hashes[0][:len(dst)], hashes[1][:len(dst)]
	if len(hashes) == 2 {
		for i, h := range first {
			dst[i] = bucket(jointHash(h, second[i]), n)
		}
		return
	}
	for i, h := range first {
		for _, other := range hashes[1:] {
			h = jointHash(h, other[i])
		}
		dst[i] = bucket(h, n)
	}
}
