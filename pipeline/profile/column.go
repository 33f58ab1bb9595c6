package profile

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/twmb/murmur3"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/summary"
	"github.com/thalweg/thalweg/pipeline/table"
)

// What rows are hashed by where a value is null, or not a number.
const (
	nullHash = 0x6a09e667f3bcc909
	nanHash  = 0xbb67ae8584caa73b
)

// maxText is how many bytes of a text are kept.
const maxText = 128

// column gathers what there is to know of a column. A value is known by a key of 64
// bits: that of a number has its bits, that of a text its hash.
type column struct {
	table.Column
	limit int // of values that are counted each

	nulls, nan   int64
	infinite     [2]int64 // minus, plus
	whole        bool     // its numbers are int64, lengths of lists among them
	least, large uint64   // keys of the extremes; none while least is after large
	exact        counter
	texts        map[uint64]string // of the keys of texts that are counted
	sketch       *sketch           // takes over where there are more than limit

	forms forms // of texts, once there is a sketch
	// Of texts:
	empty                  int64
	shortest, longest, all int64 // in characters
	first, last            string
}

// sketch is what is known of values that are too many to be counted each.
type sketch struct {
	distinct  distinct
	quantiles summary.Quantiles
	moments   summary.Moments
	buckets   []int64 // how many values have a hash that begins so
}

func newColumn(c table.Column, limit int) *column {
	whole := c.Type != table.Float64
	return &column{Column: c, limit: limit, whole: whole, least: math.MaxUint64, shortest: math.MaxInt64, texts: make(map[uint64]string), forms: newForms()}
}

// isText reports whether the values are texts.
func (c *column) isText() bool { return c.Type == table.String }

// keyOf returns the key of a number, ordered as numbers are.
func (c *column) keyOf(x float64) uint64 {
	if c.whole {
		return uint64(int64(x)) ^ 1<<63
	}
	return summary.OrderedBits(x)
}

// number returns the number of a key.
func (c *column) number(key uint64) float64 {
	if c.whole {
		return float64(int64(key ^ 1<<63))
	}
	return summary.FromOrderedBits(key)
}

// observe adds the values of a canonical column, and to the hashes of their rows what
// they are.
func (c *column) observe(a arrow.Array, hashes []uint64) {
	c.nulls += int64(a.NullN())
	valid := table.Valid(a)
	switch a := a.(type) {
	case *array.Float64:
		c.floats(a.Float64Values(), valid, hashes)
		return
	case *array.Dictionary:
		c.dictionary(a, valid, hashes)
		return
	case *array.List:
		for i := range valid.Marked() {
			from, to := a.ValueOffsets(i)
			hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ elements(a.ListValues(), from, to))
		}
	}
	c.integers(integersOf(a), valid, hashes)
}

// integersOf returns the values of a column as integers, of lists their lengths.
func integersOf(a arrow.Array) []int64 {
	switch a := a.(type) {
	case *array.Int64:
		return a.Int64Values()
	case *array.Timestamp:
		return arrow.Int64Traits.CastFromBytes(arrow.TimestampTraits.CastToBytes(a.TimestampValues()))
	case *array.Boolean:
		return table.Indicators(a)
	case *array.List:
		lengths := make([]int64, a.Len())
		for i := range lengths {
			from, to := a.ValueOffsets(i)
			lengths[i] = to - from
		}
		return lengths
	}
	return nil
}

// elements returns a hash of the elements of a list.
func elements(a arrow.Array, from, to int64) (hash uint64) {
	for i := int(from); i < int(to); i++ {
		bits := uint64(nullHash)
		if a.IsValid(i) {
			switch a := a.(type) {
			case *array.Int64:
				bits = uint64(a.Value(i))
			case *array.Float64:
				bits = math.Float64bits(a.Value(i) + 0)
			case *array.Boolean:
				if bits = 0; a.Value(i) {
					bits = 1
				}
			}
		}
		hash = kernel.Mix(hash*kernel.Golden ^ bits)
	}
	return hash
}

// maxSpan is of how many whole numbers next to each other a batch is counted by place.
const maxSpan = 1 << 16

func (c *column) integers(values []int64, valid table.Mask, hashes []uint64) {
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for i, v := range values {
		if !valid.Has(i) {
			hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ nullHash)
			continue
		}
		hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ uint64(v))
		low, high = min(low, v), max(high, v)
	}
	if low > high {
		return
	}
	c.between(uint64(low)^1<<63, uint64(high)^1<<63)
	if span := uint64(high) - uint64(low); span < maxSpan && int(span) < 4*len(values) {
		counts := make([]int32, span+1)
		for i, v := range values {
			if valid.Has(i) {
				counts[v-low]++
			}
		}
		for i, n := range counts {
			if n > 0 {
				c.add(uint64(low+int64(i))^1<<63, int64(n))
			}
		}
		return
	}
	for i, v := range values {
		if valid.Has(i) {
			c.add(uint64(v)^1<<63, 1)
		}
	}
}

func (c *column) floats(values []float64, valid table.Mask, hashes []uint64) {
	for i, v := range values {
		switch {
		case !valid.Has(i):
			hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ nullHash)
		case v != v:
			hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ nanHash)
			c.nan++
		case v-v != 0:
			hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ math.Float64bits(v))
			if v > 0 {
				c.infinite[1]++
			} else {
				c.infinite[0]++
			}
		default:
			key := c.keyOf(v)
			hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ key)
			c.between(key, key)
			c.add(key, 1)
		}
	}
}

func (c *column) dictionary(a *array.Dictionary, valid table.Mask, hashes []uint64) {
	entries := a.Dictionary().(*array.String)
	indices := a.Indices().(*array.Int32).Int32Values()
	counts, keys := make([]int64, entries.Len()), make([]uint64, entries.Len())
	for i, at := range indices {
		if !valid.Has(i) {
			hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ nullHash)
			continue
		}
		if counts[at]++; counts[at] == 1 {
			keys[at] = murmur3.StringSum64(entries.Value(int(at)))
		}
		hashes[i] = kernel.Mix(hashes[i]*kernel.Golden ^ keys[at])
	}
	for i, n := range counts {
		if n > 0 {
			c.text(entries.Value(i), keys[i], n)
		}
	}
}

// text adds a text n times.
func (c *column) text(s string, key uint64, n int64) {
	length := int64(utf8.RuneCountInString(s))
	c.shortest, c.longest = min(c.shortest, length), max(c.longest, length)
	c.all += length * n
	if s == "" {
		c.empty += n
	}
	head := shortened(s)
	c.extremes(head, head)
	if c.sketch == nil {
		if c.exact.add(key, n) {
			c.texts[key] = strings.Clone(head)
			c.bound()
		}
		return
	}
	c.forms.judge(head, n)
	c.sketch.add(c, key, n)
}

// extremes widens what the first and the last text of an alphabet are.
func (c *column) extremes(first, last string) {
	if !c.begun() || first < c.first {
		c.first = strings.Clone(first)
	}
	if !c.begun() || last > c.last {
		c.last = strings.Clone(last)
	}
	c.least = 0
}

// begun reports whether there was a value.
func (c *column) begun() bool { return c.least <= c.large }

// shortened returns what is kept of a text.
func shortened(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > maxText-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func (c *column) between(low, high uint64) {
	c.least, c.large = min(c.least, low), max(c.large, high)
}

// add adds a number n times.
func (c *column) add(key uint64, n int64) {
	if c.sketch != nil {
		c.judge(&c.forms, "", key, n)
		c.sketch.add(c, key, n)
	} else if c.exact.add(key, n) {
		c.bound()
	}
}

// bound gives the values to a sketch once they are too many.
func (c *column) bound() {
	if c.exact.used > c.limit {
		c.overflow()
	}
}

func (c *column) overflow() {
	c.forms, c.sketch = c.judged(), c.sketched()
	c.exact, c.texts = counter{}, make(map[uint64]string)
}

// sketched returns a sketch of the values that are counted.
func (c *column) sketched() *sketch {
	s := &sketch{quantiles: summary.Quantiles{Most: c.limit}, buckets: make([]int64, 2*c.limit)}
	c.exact.each(func(key uint64, n int64) { s.add(c, key, n) })
	return s
}

// judged returns the forms of all values.
func (c *column) judged() forms {
	if c.sketch != nil {
		return c.forms
	}
	all := newForms()
	c.exact.each(func(key uint64, n int64) { c.judge(&all, c.texts[key], key, n) })
	return all
}

// judge counts the forms of a value, of whole numbers those that cards may have.
func (c *column) judge(forms *forms, text string, key uint64, n int64) {
	switch {
	case c.isText():
		forms.judge(text, n)
	case c.Type == table.Int64 && int64(key^1<<63) >= leastCard:
		forms.judge(c.format(key), n)
	}
}

func (s *sketch) add(c *column, key uint64, n int64) {
	s.distinct.add(kernel.Mix(key))
	*s.bucket(key) += n
	if c.isText() {
		return
	}
	x := c.number(key)
	s.quantiles.AddCount(x, n)
	s.moments.AddCount(x, n)
}

func (s *sketch) bucket(key uint64) *int64 {
	return &s.buckets[kernel.Mix(key)&uint64(len(s.buckets)-1)]
}

// often returns how many values share the bucket of one.
func (s *sketch) often(key uint64) int64 { return *s.bucket(key) }

// merge adds what another part of the rows has in the column.
func (c *column) merge(o *column) {
	c.nulls += o.nulls
	c.nan += o.nan
	for i := range c.infinite {
		c.infinite[i] += o.infinite[i]
	}
	c.forms.merge(&o.forms)
	c.empty += o.empty
	c.all += o.all
	c.shortest, c.longest = min(c.shortest, o.shortest), max(c.longest, o.longest)
	if o.begun() && c.isText() {
		c.extremes(o.first, o.last)
	} else if o.begun() {
		c.between(o.least, o.large)
	}
	if o.sketch != nil && c.sketch == nil {
		c.overflow()
	}
	o.exact.each(func(key uint64, n int64) {
		text := o.texts[key]
		switch {
		case c.sketch != nil:
			c.judge(&c.forms, text, key, n)
			c.sketch.add(c, key, n)
		case c.exact.add(key, n):
			if c.isText() {
				c.texts[key] = text
			}
			c.bound()
		}
	})
	if o.sketch != nil {
		c.sketch.distinct.merge(&o.sketch.distinct)
		c.sketch.quantiles.Merge(&o.sketch.quantiles)
		c.sketch.moments.Merge(&o.sketch.moments)
		for i, n := range o.sketch.buckets {
			c.sketch.buckets[i] += n
		}
	}
}

// known returns how many values there are that are neither null nor NaN nor infinite.
func (c *column) known(rows int64) int64 {
	return rows - c.nulls - c.nan - c.infinite[0] - c.infinite[1]
}

// top returns the most frequent of the values that are counted.
func (c *column) top(of *counter, texts map[uint64]string) (out []Value) {
	of.each(func(key uint64, n int64) {
		v := Value{Count: n, key: key}
		if v.Value = texts[key]; !c.isText() {
			v.Value = c.format(key)
		}
		out = append(out, v)
	})
	slices.SortFunc(out, func(a, b Value) int {
		if c.isText() {
			return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value), cmp.Compare(a.key, b.key))
		}
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.key, b.key))
	})
	return slices.Clone(out[:min(len(out), maxTop)])
}

// format writes the number of a key as text.
func (c *column) format(key uint64) string {
	whole := int64(key ^ 1<<63)
	switch c.Type {
	case table.Bool:
		return strconv.FormatBool(whole != 0)
	case table.Timestamp:
		return time.UnixMicro(whole).UTC().Format("2006-01-02T15:04:05.999999Z07:00")
	case table.Float64:
		text, _ := table.AppendFloat(nil, c.number(key))
		return string(text)
	}
	return strconv.FormatInt(whole, 10)
}
