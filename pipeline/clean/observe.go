package clean

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/summary"
	"github.com/thalweg/thalweg/pipeline/table"
)

// observer gathers what learning steps want to know of columns. It comes out the
// same in whatever order rows come, and however they are divided.
type observer struct {
	columns []*observed
}

// observed is what is known of the values of one column: one of its fields.
type observed struct {
	name      string
	Moments   *summary.Moments   `json:"moments,omitempty"`
	Quantiles *summary.Quantiles `json:"quantiles,omitempty"`
	Counts    *frequencies       `json:"counts,omitempty"`
}

func newObserved(c table.Column, moments, quantiles bool) *observed {
	o := &observed{name: c.Name}
	switch {
	case moments:
		o.Moments = new(summary.Moments)
	case quantiles:
		o.Quantiles = new(summary.Quantiles)
	default:
		o.Counts = new(frequencies)
	}
	return o
}

func (o *observed) empty() bool {
	switch {
	case o.Moments != nil:
		return o.Moments.Count() == 0
	case o.Quantiles != nil:
		return o.Quantiles.Count() == 0
	}
	return len(o.Counts.Texts)+len(o.Counts.Numbers) == 0
}

// Observe implements pipeline.Observer.
func (o *observer) Observe(batch arrow.Record) error {
	for _, c := range o.columns {
		i, err := column(batch, c.name)
		if err == nil {
			err = c.observe(batch.Column(i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// observe takes up the values of a column, but neither missing nor infinite ones.
func (o *observed) observe(a arrow.Array) error {
	present := table.Present(a)
	if o.Counts != nil {
		return o.Counts.observe(o.name, a, present)
	}
	add := func(x float64) {
		switch {
		case x-x != 0:
		case o.Moments != nil:
			o.Moments.Add(x)
		default:
			o.Quantiles.Add(x)
		}
	}
	switch a := a.(type) {
	case *array.Int64:
		for i := range present.Marked() {
			add(float64(a.Value(i)))
		}
	case *array.Float64:
		for i := range present.Marked() {
			add(a.Value(i))
		}
	default:
		return invalid(o.name, "has no numbers")
	}
	return nil
}

// Partial implements pipeline.Observer.
func (o *observer) Partial() ([]byte, error) { return json.Marshal(o.columns) }

// mergeObserved adds the partials of shards to an observer that has seen nothing.
func mergeObserved(into *observer, partials [][]byte) (*observer, error) {
	for shard, data := range partials {
		var part []*observed
		err := json.Unmarshal(data, &part)
		if err == nil && len(part) != len(into.columns) {
			err = fmt.Errorf("%d columns, not %d", len(part), len(into.columns))
		}
		for i, c := range into.columns {
			if err == nil {
				err = c.merge(part[i])
			}
		}
		if err != nil {
			kind := thalweg.Corrupt
			if thalweg.Is(err, thalweg.Exhausted) {
				kind = thalweg.Exhausted
			}
			return nil, &thalweg.Error{Kind: kind, Subject: fmt.Sprintf("what shard %d has gathered", shard), Err: err}
		}
	}
	return into, nil
}

func (o *observed) merge(part *observed) error {
	switch {
	case part == nil || (part.Moments == nil) != (o.Moments == nil) || (part.Quantiles == nil) != (o.Quantiles == nil) || (part.Counts == nil) != (o.Counts == nil):
		return fmt.Errorf("not what the step gathers of column %s", o.name)
	case o.Moments != nil:
		o.Moments.Merge(part.Moments)
	case o.Quantiles != nil:
		o.Quantiles.Merge(part.Quantiles)
	default:
		for s, n := range part.Counts.Texts {
			o.Counts.addText(s, n)
		}
		for v, n := range part.Counts.Numbers {
			o.Counts.addNumber(v, n)
		}
		return o.Counts.bound(o.name)
	}
	return nil
}

// frequencies is how often values are there: texts, or other values by their bits. Bytes
// that are not UTF-8 count as U+FFFD, since what is learnt is kept as JSON.
type frequencies struct {
	Texts   map[string]int64 `json:"texts,omitempty"`
	Numbers map[int64]int64  `json:"numbers,omitempty"`
	bytes   int              // of the texts
}

// Bounds of what is counted of one column.
const (
	maxCounted      = 1 << 16
	maxCountedBytes = 8 << 20
)

func (c *frequencies) observe(name string, a arrow.Array, present table.Mask) error {
	switch a := a.(type) {
	case *array.Dictionary:
		dict, indices := a.Dictionary().(*array.String), a.Indices().(*array.Int32).Int32Values()
		rows := make([]int64, dict.Len())
		for i := range present.Marked() {
			rows[indices[i]]++
		}
		for entry, n := range rows {
			if n > 0 {
				c.addText(strings.ToValidUTF8(dict.Value(entry), "\uFFFD"), n)
			}
		}
	case *array.Boolean:
		values := table.Indicators(a)
		for i := range present.Marked() {
			c.addNumber(values[i], 1)
		}
	case *array.Float64:
		for i := range present.Marked() {
			if v := a.Value(i); v-v == 0 {
				c.addNumber(int64(math.Float64bits(v+0)), 1) // no -0
			}
		}
	default:
		values := int64Values(a)
		for i := range present.Marked() {
			c.addNumber(values[i], 1)
		}
	}
	return c.bound(name)
}

func (c *frequencies) addText(s string, n int64) {
	if c.Texts == nil {
		c.Texts = make(map[string]int64)
	}
	if _, known := c.Texts[s]; !known {
		c.bytes += len(s)
	}
	c.Texts[strings.Clone(s)] += n // its memory may be of a batch, and an assignment takes a known key's too
}

func (c *frequencies) addNumber(v, n int64) {
	if c.Numbers == nil {
		c.Numbers = make(map[int64]int64)
	}
	c.Numbers[v] += n
}

func (c *frequencies) bound(name string) error {
	if len(c.Texts)+len(c.Numbers) <= maxCounted && c.bytes <= maxCountedBytes {
		return nil
	}
	return &thalweg.Error{Kind: thalweg.Exhausted, Subject: "column " + name, Hint: "use another strategy than fill_with_mode",
		Err: fmt.Errorf("has more than %d different values, or %d MiB of them, which are not counted", maxCounted, maxCountedBytes>>20)}
}

// mode returns the most frequent value of a column of type t, and the least of
// several.
func (c *frequencies) mode(t table.Type) (any, error) {
	if t == table.String {
		return most(c.Texts, func(a, b string) bool { return a < b })
	}
	bits, err := most(c.Numbers, func(a, b int64) bool {
		if t == table.Float64 {
			return math.Float64frombits(uint64(a)) < math.Float64frombits(uint64(b))
		}
		return a < b
	})
	switch {
	case err != nil:
		return nil, err
	case t == table.Bool:
		return bits == 1, nil
	case t == table.Float64:
		return math.Float64frombits(uint64(bits)), nil
	}
	return bits, nil
}

func most[T comparable](counts map[T]int64, less func(a, b T) bool) (mode T, err error) {
	for v, n := range counts {
		if n <= 0 {
			return mode, fmt.Errorf("a count of %d", n)
		}
		if best := counts[mode]; n > best || n == best && less(v, mode) {
			mode = v
		}
	}
	return mode, nil
}
