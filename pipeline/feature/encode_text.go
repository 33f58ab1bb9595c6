package feature

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/twmb/murmur3"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/text"
)

// Cut is how a text is cut into terms, and how terms are told apart.
type Cut struct {
	// NGrams are how many words in a row a term has, at least and at most: [1, 2] are single
	// words and pairs.
	NGrams []int `yaml:"ngrams,omitempty" json:"ngrams,omitempty" jsonschema:"minItems=2,maxItems=2" default:"[1, 1]"`
	// Buckets is how many weights the terms have. Each has that of its hash; terms share one
	// where there are many.
	Buckets int `yaml:"buckets,omitempty" json:"buckets,omitempty" jsonschema:"minimum=2,maximum=262144" default:"65536"`
	// Stem is the language by whose rules words are brought to their stems, so that delay,
	// delayed and delays are one; none: words are what they are.
	Stem string `yaml:"stem,omitempty" json:"stem,omitempty" jsonschema:"enum=none,enum=english" default:"none"`

	separator string // of a set's values
}

// maxNGram bounds the words of a term.
const maxNGram = 5

// Check implements pipeline.Checker.
func (c *Cut) Check(at pipeline.Place) {
	if n := c.NGrams; len(n) == 2 && (n[0] < 1 || n[1] < n[0] || n[1] > maxNGram) {
		at.Problem("ngrams", "such as [1, 2]: single words and pairs", "terms of %d to %d words: they have 1 to %d", n[0], n[1], maxNGram)
	}
}

// For implements pipeline.Typed.
func (*Cut) For() string { return textType }

func (c *Cut) cut() *Cut { return c }

// cutOf returns how a text or a set is cut; nil of another feature.
func cutOf(f pipeline.Feature) *Cut {
	if c, ok := f.Options.Encoder.Options.(interface{ cut() *Cut }); ok {
		return c.cut()
	}
	return nil
}

// cutter returns what cuts texts so.
func (c *Cut) cutter() *text.Cutter {
	if c.separator != "" {
		return text.NewSplitter(c.separator)
	}
	return text.NewCutter(c.NGrams[0], c.NGrams[1], c.Stem)
}

// TFIDF weighs a term by how often the text has it and by how few training rows do, the
// logarithm of (1 + rows)/(1 + rows with the term), plus 1, and brings the weights of a
// text to length 1: scikit-learn's TfidfVectorizer. A term that no training row has does
// not count.
type TFIDF struct {
	Cut `yaml:",inline" json:",inline"`
}

// Hashing weighs a term by how often the text has it, and brings the weights of a text to
// length 1: scikit-learn's HashingVectorizer without alternate signs.
type Hashing struct {
	Cut `yaml:",inline" json:",inline"`
}

// Bag counts the terms of a text.
type Bag struct {
	Cut `yaml:",inline" json:",inline"`
}

// MultiHot gives each value that a row's set may have a weight of its own. Nothing is
// learnt, and a value that training never met has one too.
type MultiHot struct {
	// Buckets is how many weights the values have. Each has that of its hash; values share
	// one where there are many.
	Buckets int `yaml:"buckets,omitempty" json:"buckets,omitempty" jsonschema:"minimum=2,maximum=262144" default:"65536"`
	// Separator is what is between the values of a string: "drama|comedy". White space
	// around a value does not count. A list needs none.
	Separator string `yaml:"separator,omitempty" json:"separator,omitempty" jsonschema:"minLength=1,maxLength=16" default:"'|'"`
}

// For implements pipeline.Typed.
func (*MultiHot) For() string { return setType }

func (h *MultiHot) cut() *Cut { return &Cut{Buckets: h.Buckets, separator: h.Separator} }

// Fit implements Encoder.
func (h *MultiHot) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	return h.cut().Fit(f, s, out)
}

// Load implements Encoder.
func (h *MultiHot) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	e, err := h.cut().load(f, data, false)
	if err != nil {
		return nil, err
	}
	e.once = true
	return e, nil
}

// Terms is the data of a text: the id of a term is its hash's bucket.
type Terms struct {
	NGrams []int  `json:"ngrams,omitempty"`
	Stem   string `json:"stem,omitempty"`
	// Separator is between the values of a set.
	Separator string `json:"separator,omitempty"`
	Buckets   int    `json:"buckets"`
	// Fill is the text that a missing one counts as; empty, that has no terms.
	Fill string `json:"fill,omitempty"`
	// Rows are the training rows with a text, Missing those without one.
	Rows    int64 `json:"rows"`
	Missing int64 `json:"missing"`
	// Documents counts the rows that have a term of each bucket. Names are the terms that
	// most of what is in a bucket were, if there is such a one: no id depends on them.
	Documents []int64  `json:"documents"`
	Names     []string `json:"names"`
}

// Like reports whether ids mean the same in other data of a text.
func (t *Terms) Like(o *Terms) bool {
	return o != nil && t.Buckets == o.Buckets && slices.Equal(t.NGrams, o.NGrams) && t.Stem == o.Stem && t.Separator == o.Separator
}

// Constant reports whether the training rows are known to have the same terms: none of them
// has a text, or none a term; or sets have the same values.
func (t *Terms) Constant() bool {
	some := slices.ContainsFunc(t.Documents, func(n int64) bool { return n > 0 })
	varies := slices.ContainsFunc(t.Documents, func(n int64) bool { return n > 0 && n < t.Rows })
	one := t.Missing == 0 || !some && t.Fill == ""
	return t.Rows == 0 || one && (!some || t.Separator != "" && !varies)
}

// maxTermBytes bounds the terms that are kept as names.
const maxTermBytes = 64

// termCounter gathers the terms of training rows. What a bucket is called is found as
// Boyer and Moore find a majority: votes for one term, of which others take away. It depends
// on the order of the rows of a shard, and of shards, as the last bits of means do.
type termCounter struct {
	what      string
	separator string
	cutter    *text.Cutter
	TermCounts
	last []int64 // by bucket: the row that had it last
}

// TermCounts is what training rows have of the terms of a text, by bucket.
type TermCounts struct {
	Rows, Missing int64
	Documents     []int64
	Names         []string
	Votes         []int64
}

// maxBuckets bounds the buckets of a text.
const maxBuckets = 1 << 18

// termCounts is the JSON of TermCounts: of the buckets that have a term.
type termCounts struct {
	Rows      int64    `json:"rows"`
	Missing   int64    `json:"missing"`
	Buckets   int      `json:"buckets"`
	IDs       []int    `json:"ids"`
	Documents []int64  `json:"documents"`
	Names     []string `json:"names"`
	Votes     []int64  `json:"votes"`
}

// MarshalJSON implements json.Marshaler.
func (c *TermCounts) MarshalJSON() ([]byte, error) {
	out := termCounts{Rows: c.Rows, Missing: c.Missing, Buckets: len(c.Documents)}
	for id, n := range c.Documents {
		if n > 0 {
			out.IDs, out.Documents = append(out.IDs, id), append(out.Documents, n)
			out.Names, out.Votes = append(out.Names, c.Names[id]), append(out.Votes, c.Votes[id])
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *TermCounts) UnmarshalJSON(data []byte) error {
	var in termCounts
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	n := len(in.IDs)
	if in.Buckets < 0 || in.Buckets > maxBuckets || len(in.Documents) != n || len(in.Names) != n || len(in.Votes) != n {
		return fmt.Errorf("no counts of the terms of %d buckets", in.Buckets)
	}
	*c = newTermCounts(in.Buckets)
	c.Rows, c.Missing = in.Rows, in.Missing
	for i, id := range in.IDs {
		if id < 0 || id >= in.Buckets || i > 0 && id <= in.IDs[i-1] {
			return fmt.Errorf("bucket %d of %d has counts out of order", id, in.Buckets)
		}
		c.Documents[id], c.Names[id], c.Votes[id] = in.Documents[i], in.Names[i], in.Votes[i]
	}
	return nil
}

func newTermCounts(buckets int) TermCounts {
	return TermCounts{Documents: make([]int64, buckets), Names: make([]string, buckets), Votes: make([]int64, buckets)}
}

func newTermCounter(what string, c *Cut) *termCounter {
	return &termCounter{what: what, separator: c.separator, cutter: c.cutter(), TermCounts: newTermCounts(c.Buckets), last: make([]int64, c.Buckets)}
}

// observe counts the terms of the texts in the rows that use marks.
func (c *termCounter) observe(a arrow.Array, use table.Mask) error {
	at, err := textsOf(c.what, a, c.separator)
	if err != nil {
		return err
	}
	for i := range use.Marked() {
		text, ok := at(i)
		if !ok {
			c.Missing++
			continue
		}
		c.Rows++
		c.cutter.Each(text, func(term []byte) {
			id := termID(term, len(c.Documents))
			if c.last[id] != c.Rows {
				c.last[id] = c.Rows
				c.Documents[id]++
			}
			switch {
			case string(term) == c.Names[id]:
				c.Votes[id]++
			case c.Votes[id] > 0:
				c.Votes[id]--
			case len(term) <= maxTermBytes:
				c.Names[id], c.Votes[id] = string(term), 1
			}
		})
	}
	return nil
}

// check reports counts that no rows have.
func (c *TermCounts) check(buckets int) error {
	if c == nil || len(c.Documents) != buckets || len(c.Names) != buckets || len(c.Votes) != buckets {
		return fmt.Errorf("no counts of the terms of %d buckets", buckets)
	}
	negative := func(n int64) bool { return n < 0 }
	if c.Rows < 0 || c.Missing < 0 || slices.ContainsFunc(c.Votes, negative) {
		return fmt.Errorf("a count below 0")
	}
	return checkDocuments(c.Documents, c.Rows)
}

func checkDocuments(documents []int64, rows int64) error {
	for id, n := range documents {
		if n < 0 || n > rows {
			return fmt.Errorf("%d of %d rows have a term of bucket %d", n, rows, id)
		}
	}
	return nil
}

// merge adds the counts of another shard.
func (c *TermCounts) merge(o *TermCounts) {
	c.Rows += o.Rows
	c.Missing += o.Missing
	for id, n := range o.Documents {
		c.Documents[id] += n
		switch votes := o.Votes[id]; {
		case c.Names[id] == o.Names[id]:
			c.Votes[id] += votes
		case votes > c.Votes[id]:
			c.Names[id], c.Votes[id] = o.Names[id], votes-c.Votes[id]
		default:
			c.Votes[id] -= votes
		}
	}
}

// termID returns which of so many buckets a term is in.
func termID(term []byte, buckets int) uint32 { return bucket(murmur3.Sum32(term), uint32(buckets)) }

// textsOf returns what reads the texts of a, of a list its elements with the
// separator between them, and reports those that are missing.
func textsOf(what string, a arrow.Array, separator string) (func(i int) (string, bool), error) {
	if l, ok := a.(*array.List); ok {
		values, ok := l.ListValues().(*array.Int64)
		if !ok {
			return nil, unreadable(what, a)
		}
		return func(i int) (string, bool) { return joined(l, values, i, separator), l.IsValid(i) }, nil
	}
	d, ok := a.(*array.Dictionary)
	if !ok {
		return nil, unreadable(what, a)
	}
	indices, ok := d.Indices().(*array.Int32)
	if !ok {
		return nil, unreadable(what, a)
	}
	return func(i int) (string, bool) {
		if d.IsNull(i) {
			return "", false
		}
		return key(d.Dictionary().(*array.String).Value(int(indices.Value(i)))), true
	}, nil
}

// joined returns the elements of a row's list as a text.
func joined(l *array.List, values *array.Int64, i int, separator string) string {
	var text []byte
	for from, to := l.ValueOffsets(i); from < to; from++ {
		if values.IsValid(int(from)) {
			text = append(strconv.AppendInt(text, values.Value(int(from)), 10), separator...)
		}
	}
	return string(text)
}

// Fit implements Encoder.
func (c *Cut) Fit(f pipeline.Feature, s *Statistics, out *Feature) error {
	data := &Terms{NGrams: c.NGrams, Stem: c.Stem, Separator: c.separator, Buckets: c.Buckets, Rows: s.Terms.Rows, Missing: s.Terms.Missing, Documents: s.Terms.Documents, Names: s.Terms.Names}
	switch out.Missing {
	case fillWithConst:
		if f.Options.FillValue != nil {
			fill, err := fillText(f.Options.FillValue)
			if err != nil {
				return err
			}
			data.Fill = fill
		}
	case dropRow:
	default:
		return &thalweg.Error{Op: "missing_value_strategy of a " + f.Type, Kind: thalweg.Unsupported, Subject: strconv.Quote(out.Missing)}
	}
	out.Terms = data
	return nil
}

// load checks data and returns an encoding without factors.
func (c *Cut) load(f pipeline.Feature, data *Feature, unit bool) (*textEncoding, error) {
	d := data.Terms
	if d == nil {
		return nil, fmt.Errorf("no data of a text")
	}
	if d.Buckets != c.Buckets || !slices.Equal(d.NGrams, c.NGrams) || d.Stem != c.Stem || d.Separator != c.separator || len(d.Documents) != d.Buckets || len(d.Names) != d.Buckets || d.Rows < 0 || d.Missing < 0 {
		return nil, fmt.Errorf("data of %d buckets for a text of %d", d.Buckets, c.Buckets)
	}
	return &textEncoding{name: f.Name, data: d, cut: c, unit: unit}, checkDocuments(d.Documents, d.Rows)
}

// Load implements Encoder.
func (t *TFIDF) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	e, err := t.load(f, data, true)
	if err != nil {
		return nil, err
	}
	e.factors = make([]float64, t.Buckets)
	for id, n := range e.data.Documents {
		if n == 0 {
			continue
		}
		e.factors[id] = kernel.Log(float64(1+e.data.Rows)/float64(1+n)) + 1
	}
	return e, nil
}

// Load implements Encoder.
func (h *Hashing) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	return h.load(f, data, true)
}

// Load implements Encoder.
func (b *Bag) Load(f pipeline.Feature, data *Feature) (Encoding, error) {
	return b.load(f, data, false)
}

// textEncoding encodes a text as a term slot: the ids of its terms, once each.
type textEncoding struct {
	name    string
	data    *Terms
	cut     *Cut
	factors []float64 // of a term, by id; 0: it does not count; nil: 1 of each
	unit    bool      // the weights of a text have length 1
	once    bool      // how often it has a term does not count
}

// AddTo implements Encoding.
func (e *textEncoding) AddTo(s *kernel.Shape) {
	s.Terms = append(s.Terms, e.data.Buckets)
	s.TermNames = append(s.TermNames, e.name)
}

// keptTerms is room for terms that a row of a block keeps whatever its text has.
const keptTerms = 256

// Encode implements Encoding. A text without a term that counts is one that is not known.
func (e *textEncoding) Encode(a arrow.Array, out Slots, m *Memo, n *Tally) error {
	at, err := textsOf("feature "+e.name, a, e.data.Separator)
	if err != nil {
		return err
	}
	if m.cutter == nil {
		m.cutter = e.cut.cutter()
	}
	for i, terms := range out.Terms[0][:a.Len()] {
		text, ok := at(i)
		if !ok {
			text = e.data.Fill
			n.Filled++
		}
		m.scratch = m.scratch[:0]
		m.cutter.Each(text, func(term []byte) { m.scratch = append(m.scratch, termID(term, e.data.Buckets)) })
		if cap(terms) > keptTerms+4*len(m.scratch) {
			terms = nil // of a long text before
		}
		if out.Terms[0][i] = e.weigh(m.scratch, terms[:0]); ok && len(out.Terms[0][i]) == 0 {
			n.Unknown++
		}
	}
	return nil
}

// weigh appends the terms of the given ids, which it sorts, to dst.
func (e *textEncoding) weigh(ids []uint32, dst []kernel.Term) []kernel.Term {
	slices.Sort(ids)
	squares := 0.0
	for i := 0; i < len(ids); {
		from, id := i, ids[i]
		for i < len(ids) && ids[i] == id {
			i++
		}
		count := kernel.Term{ID: id, Weight: float32(i - from)}
		if e.once {
			count.Weight = 1
		}
		if x := e.factor(count); x > 0 {
			dst = append(dst, count)
			squares += float64(x * x)
		}
	}
	if length := math.Sqrt(squares); e.unit {
		for i, term := range dst {
			dst[i].Weight = float32(e.factor(term) / length)
		}
	}
	return dst
}

// factor is what counts of a term that a text has so often.
func (e *textEncoding) factor(count kernel.Term) float64 {
	if e.factors == nil {
		return float64(count.Weight)
	}
	return float64(float64(count.Weight) * e.factors[count.ID])
}

// TermNames names those of the given ids of a text of which a term is known.
func (t *Transform) TermNames(feature int, ids map[uint32]string) {
	for id := range ids {
		if name := t.data.Features[feature].Terms.Names[id]; name != "" {
			ids[id] = name
		}
	}
}
