package feature

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Counts summarises the categories of training rows: values in byte order and
// how often each came. Integers and bools go by their text, 7 and true.
type Counts struct {
	Missing int64 `json:"missing"` // rows without a value
	// Many: there are more values than are kept of a hashed category, and none are here.
	Many   bool     `json:"many,omitempty"`
	Values []string `json:"values"`
	Counts []int64  `json:"counts"`
}

// key returns the text that stands for a category: JSON carries no bytes that
// are not UTF-8, so each run of them stands as U+FFFD.
func key(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// window is the range of integers from 0 that are counted in a slice; others
// go through a map, some ten times slower.
const window = 1 << 12

// bounds is how many values a category may have, and their bytes, and what to do
// about more.
type bounds struct {
	values, bytes int
	hint          string
	names         bool // beyond them none are kept; else it is an error
}

// featureBounds are those of a feature.
var featureBounds = bounds{values: MaxDistinct, bytes: MaxDistinctBytes,
	hint: "derive a column of fewer values, hash them (encoder: {type: hash}), or leave the feature out: most_common applies to what has been counted"}

// hold reports whether so many values are within the bounds.
func (b bounds) hold(values []string) bool {
	bytes := 0
	for _, v := range values {
		bytes += len(v)
	}
	return len(values) <= b.values && bytes <= b.bytes
}

func (b bounds) check(what string, values, bytes int) error {
	if values <= b.values && bytes <= b.bytes {
		return nil
	}
	return &thalweg.Error{Op: "fit", Kind: thalweg.Exhausted, Subject: what,
		Err:  fmt.Errorf("more than %d distinct values or %d KiB of them", b.values, b.bytes>>10),
		Hint: b.hint}
}

// counter accumulates counts of categories.
type counter struct {
	what    string
	bounds  bounds
	missing int64
	many    bool // the bounds are exceeded, and nothing is counted but missing values
	texts   map[string]int64
	bytes   int // of the texts' keys

	// entries holds the counts of one batch's dictionary entries.
	entries []int64

	small [window]int64
	large map[int64]int64
	bools [2]int64
}

func newCounter(what string, limit bounds) *counter {
	return &counter{what: what, bounds: limit, texts: make(map[string]int64), large: make(map[int64]int64)}
}

// observe counts the values of a in the rows that use marks.
func (c *counter) observe(a arrow.Array, use table.Mask) error {
	valid := table.Valid(a)
	valid.And(use)
	c.missing += int64(use.Count() - valid.Count())
	if c.many {
		return nil
	}
	switch a := a.(type) {
	case *array.Dictionary:
		indices, ok := a.Indices().(*array.Int32)
		if !ok {
			return unreadable(c.what, a)
		}
		return c.observeText(a, indices.Int32Values(), valid)
	case *array.Int64:
		return c.observeIntegers(a.Int64Values(), valid)
	case *array.Boolean:
		yes := table.True(a)
		yes.And(use)
		c.bools[1] += int64(yes.Count())
		c.bools[0] += int64(valid.Count() - yes.Count())
		return nil
	}
	return unreadable(c.what, a)
}

func (c *counter) observeText(a *array.Dictionary, indices []int32, use table.Mask) error {
	if a.Len() == 0 {
		return nil
	}
	dict := a.Dictionary().(*array.String)
	c.entries = slices.Grow(c.entries[:0], dict.Len())[:dict.Len()]
	clear(c.entries)
	for w, word := range use.Words {
		for ; word != 0; word &= word - 1 {
			c.entries[indices[w*64+bits.TrailingZeros64(word)]]++
		}
	}
	for i, n := range c.entries {
		if n == 0 {
			continue
		}
		if err := c.addText(dict.Value(i), n); err != nil || c.many {
			return err
		}
	}
	return nil
}

func (c *counter) addText(s string, n int64) error {
	s = key(s)
	if _, ok := c.texts[s]; !ok {
		c.bytes += len(s)
	}
	c.texts[strings.Clone(s)] += n // its memory may be of a batch, and an assignment takes a known key's too
	return c.bound()
}

func (c *counter) observeIntegers(v []int64, use table.Mask) error {
	for w, word := range use.Words {
		for ; word != 0; word &= word - 1 {
			x := v[w*64+bits.TrailingZeros64(word)]
			if uint64(x) < window {
				c.small[x]++
			} else {
				c.large[x]++
			}
		}
	}
	return c.bound()
}

// bound reports that there are more values than a category feature may have.
func (c *counter) bound() error {
	if values := len(c.texts) + len(c.large); !c.bounds.names {
		return c.bounds.check(c.what, values, c.bytes)
	} else if values > c.bounds.values || c.bytes > c.bounds.bytes {
		c.many = true
	}
	return nil
}

// counts returns the summary so far.
func (c *counter) counts() Counts {
	if c.many {
		return Counts{Missing: c.missing, Many: true, Values: []string{}, Counts: []int64{}}
	}
	all := maps.Clone(c.texts)
	add := func(text string, n int64) {
		if n > 0 {
			all[text] += n
		}
	}
	for x, n := range c.small {
		add(strconv.Itoa(x), n)
	}
	for x, n := range c.large {
		add(strconv.FormatInt(x, 10), n)
	}
	add("false", c.bools[0])
	add("true", c.bools[1])
	return countsOf(all, c.missing)
}

func countsOf(all map[string]int64, missing int64) Counts {
	out := Counts{Missing: missing, Values: slices.Sorted(maps.Keys(all)), Counts: make([]int64, len(all))}
	if out.Values == nil {
		out.Values = []string{}
	}
	for i, v := range out.Values {
		out.Counts[i] = all[v]
	}
	return out
}

// mergeCounts adds up the counts of all shards; order does not matter.
func mergeCounts(what string, parts []Counts, limit bounds) (Counts, error) {
	all, missing, bytes, many := make(map[string]int64), int64(0), 0, false
	for _, p := range parts {
		missing += p.Missing
		if many = many || p.Many; many {
			continue
		}
		for i, v := range p.Values {
			if _, ok := all[v]; !ok {
				bytes += len(v)
			}
			all[v] += p.Counts[i]
		}
		if err := limit.check(what, len(all), bytes); limit.names {
			many = many || err != nil
		} else if err != nil {
			return Counts{}, err
		}
	}
	if many {
		return Counts{Missing: missing, Many: true, Values: []string{}, Counts: []int64{}}, nil
	}
	return countsOf(all, missing), nil
}

// check reports counts that were not made by counts.
func (c Counts) check() error {
	if len(c.Values) != len(c.Counts) || c.Many && len(c.Values) > 0 {
		return fmt.Errorf("%d values with %d counts", len(c.Values), len(c.Counts))
	}
	if c.Missing < 0 || slices.ContainsFunc(c.Counts, func(n int64) bool { return n <= 0 }) {
		return fmt.Errorf("a count that is not positive")
	}
	for i := 1; i < len(c.Values); i++ {
		if c.Values[i-1] >= c.Values[i] {
			return fmt.Errorf("values out of order")
		}
	}
	return nil
}
