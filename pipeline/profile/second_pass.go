package profile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/twmb/murmur3"

	"github.com/thalweg/thalweg/pipeline/table"
)

// SecondPass reads the rows of a Builder again: for the most frequent of values that were
// too many to be counted, and for what columns tell of the label. Neither the order of the
// rows nor their division into batches and parts changes what it finds.
type SecondPass struct {
	of      *Builder
	finders []*finder // nil of columns whose values are counted
	links   []*link   // nil of the label, and without one
	label   int       // its column; -1: there is none
	groups  *groups   // of the label
}

// SecondPass returns one, given the column that is the label, "" for none. nil: it would
// find nothing.
func (b *Builder) SecondPass(label string) *SecondPass {
	s := &SecondPass{of: b, label: slices.IndexFunc(b.columns, func(c *column) bool { return c.Name == label }),
		finders: make([]*finder, len(b.columns)), links: make([]*link, len(b.columns))}
	wanted := s.label >= 0 && b.columns[s.label].begun()
	if !wanted {
		s.label = -1
	} else {
		s.groups = newGroups(b.columns[s.label], maxClasses)
	}
	for i, c := range b.columns {
		if c.sketch != nil {
			s.finders[i], wanted = &finder{c: c, texts: map[uint64]string{}}, true
		}
		if many := c.isText() && c.sketch != nil; s.label >= 0 && i != s.label && c.begun() && !many {
			s.links[i] = newLink(c, b.columns[s.label], s.groups)
		}
	}
	if !wanted {
		return nil
	}
	return s
}

// Observe adds the rows of a batch, as Builder.Observe was shown them.
func (s *SecondPass) Observe(batch arrow.Record) {
	var label keys
	var classes []int
	if s.label >= 0 {
		label = s.of.columns[s.label].keys(batch.Column(s.label))
		classes = s.groups.all(&label)
	}
	for i, c := range s.of.columns {
		f, l := s.finders[i], s.links[i]
		if f == nil && l == nil {
			continue
		}
		k := c.keys(batch.Column(i))
		if f != nil {
			f.observe(&k)
		}
		if l != nil {
			l.observe(&k, &label, classes)
		}
	}
}

// Merge adds what o, a SecondPass of the same Builder, has seen of other rows.
func (s *SecondPass) Merge(o *SecondPass) {
	for i := range s.finders {
		if s.finders[i] != nil {
			o.finders[i].found.each(func(key uint64, n int64) { s.finders[i].add(key, n, o.finders[i].texts[key]) })
		}
		if s.links[i] != nil {
			s.links[i].merge(o.links[i])
		}
	}
}

// Profile returns what the rows hold, with what the second pass found.
func (s *SecondPass) Profile() *Profile {
	p := s.of.Profile()
	if s.label >= 0 {
		p.Label = s.of.columns[s.label].Name
	}
	for i, c := range s.of.columns {
		if f := s.finders[i]; f != nil {
			f.prune()
			p.Columns[i].Top = c.top(&f.found, f.texts)
		}
		if l := s.links[i]; l != nil {
			l.profile(&p.Columns[i])
		}
	}
	return p
}

// keys are the values of a batch's column by row.
type keys struct {
	of    []uint64
	valid table.Mask // rows with a value, but for those that are no finite number
	texts func(row int) string
}

func (c *column) keys(a arrow.Array) keys {
	k := keys{make([]uint64, a.Len()), table.Valid(a), func(int) string { return "" }}
	switch a := a.(type) {
	case *array.Float64:
		for i, v := range a.Float64Values() {
			if k.of[i] = c.keyOf(v); v-v != 0 {
				k.valid.Clear(i)
			}
		}
	case *array.Dictionary:
		entries, hashes := a.Dictionary().(*array.String), make([]uint64, a.Dictionary().Len())
		for i := range k.of {
			if at := a.GetValueIndex(i); k.valid.Has(i) {
				if hashes[at] == 0 {
					hashes[at] = murmur3.StringSum64(entries.Value(at))
				}
				k.of[i] = hashes[at]
			}
		}
		k.texts = func(row int) string { return entries.Value(a.GetValueIndex(row)) }
	default:
		for i, v := range integersOf(a) {
			k.of[i] = uint64(v) ^ 1<<63
		}
	}
	return k
}

// finder finds the most frequent values (heavy hitters) of a column that has too many to
// count each: it counts those whose buckets the first pass counted most often, up to the
// column's limit. The counts of the buckets do not change any more: a value that is among
// them in the end was so from its first time on, and its count is exact. A frequent value
// is missed only if as many others share fuller buckets.
type finder struct {
	c     *column
	found counter
	texts map[uint64]string
	floor int64 // buckets with less are out
}

func (f *finder) observe(k *keys) {
	for i, key := range k.of {
		if k.valid.Has(i) && f.c.sketch.often(key) >= f.floor {
			text := ""
			if f.c.isText() {
				text = k.texts(i)
			}
			f.add(key, 1, text)
		}
	}
}

func (f *finder) add(key uint64, n int64, text string) {
	if f.c.sketch.often(key) < f.floor || !f.found.add(key, n) {
		return
	}
	if f.c.isText() {
		f.texts[key] = strings.Clone(text)
	}
	if f.found.used > 2*f.c.limit {
		f.prune()
	}
}

// prune leaves as many as there may be.
func (f *finder) prune() {
	if f.found.used <= f.c.limit {
		return
	}
	var all []uint64
	f.found.each(func(key uint64, _ int64) { all = append(all, key) })
	before := func(a, b uint64) int {
		return cmp.Or(cmp.Compare(f.c.sketch.often(b), f.c.sketch.often(a)), cmp.Compare(a, b))
	}
	slices.SortFunc(all, before)
	last := all[f.c.limit-1]
	f.floor = f.c.sketch.often(last)
	f.found.keep(func(key uint64) bool { return before(key, last) <= 0 })
	for _, key := range all[f.c.limit:] {
		delete(f.texts, key)
	}
}
