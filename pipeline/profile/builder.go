package profile

import (
	"math"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/summary"
	"github.com/thalweg/thalweg/pipeline/table"
)

// maxValues bounds the values of all columns that are counted each, and leastValues and
// mostValues those of one.
const (
	maxValues   = 1 << 21
	leastValues = 1 << 8
	mostValues  = 1 << 15
)

// Builder gathers a profile. One goroutine uses it at a time.
type Builder struct {
	schema  table.Schema
	rows    int64
	sample  rowSample
	columns []*column
	hashes  []uint64
}

// New returns a Builder for rows with these columns.
func New(schema table.Schema) *Builder {
	b := &Builder{schema: schema}
	limit := maxValues / max(1, len(schema.Columns))
	limit = min(max(1<<(bits.Len(uint(limit))-1), leastValues), mostValues)
	for _, c := range schema.Columns {
		b.columns = append(b.columns, newColumn(c, limit))
	}
	return b
}

// Observe adds the rows of a batch in the canonical form, which begins with the columns.
func (b *Builder) Observe(batch arrow.Record) {
	n := int(batch.NumRows())
	if cap(b.hashes) < n {
		b.hashes = make([]uint64, n)
	}
	hashes := b.hashes[:n]
	clear(hashes)
	for i, c := range b.columns {
		c.observe(batch.Column(i), hashes)
	}
	b.rows += int64(n)
	for _, h := range hashes {
		b.sample.observe(h, 1)
	}
}

// Merge adds what o gathered of other rows with the same columns.
func (b *Builder) Merge(o *Builder) {
	b.rows += o.rows
	b.sample.merge(&o.sample)
	for i, c := range b.columns {
		c.merge(o.columns[i])
	}
}

// Profile returns what the rows hold.
func (b *Builder) Profile() *Profile {
	p := &Profile{Version: Version, Rows: b.rows, DuplicatesExact: b.sample.zeros == 0}
	p.Duplicates = int64(math.Round(float64(b.rows) * b.sample.share()))
	for _, c := range b.columns {
		p.Columns = append(p.Columns, c.profile(b.rows))
	}
	for _, u := range b.schema.Unsupported {
		c := Column{Name: u.Name, Type: table.Type(u.Type), Unsupported: true}
		if u.Type == table.AllNull {
			c.Nulls, c.DistinctExact, c.Unsupported = b.rows, true, false
		}
		p.Columns = append(p.Columns, c)
	}
	return p
}

// profile returns what is known of a column.
func (c *column) profile(rows int64) Column {
	out := Column{Name: c.Name, Type: c.Type, Nulls: c.nulls, NaN: c.nan, MinusInfinity: c.infinite[0], PlusInfinity: c.infinite[1]}
	s := c.sketch
	if out.DistinctExact = s == nil; out.DistinctExact {
		out.Distinct = int64(c.exact.used)
		out.Top = c.top(&c.exact, c.texts)
	} else {
		out.Distinct = min(s.distinct.estimate(), c.known(rows))
	}
	if !c.begun() {
		return out
	}
	known := c.known(rows)
	if c.isText() {
		out.Min, out.Max = c.first, c.last
		out.Text = c.texted(known)
		out.Suspects = c.suspects(&out, known)
		return out
	}
	out.Suspects = c.suspects(&out, known)
	out.Min, out.Max = c.format(c.least), c.format(c.large)
	if s == nil {
		s = c.sketched()
	}
	out.Numbers = &Numbers{Mean: s.moments.Mean(), Deviation: s.moments.Deviation(), Cells: cells(&s.quantiles)}
	for i, v := range s.quantiles.AtAll(shares...) {
		out.Numbers.Quantiles = append(out.Numbers.Quantiles, Quantile{shares[i], v})
	}
	out.Numbers.Histogram = histogram(&s.quantiles, c.number(c.least), c.number(c.large))
	return out
}

// texted returns what is known of n texts.
func (c *column) texted(n int64) *Text {
	t := &Text{Empty: c.empty, Shortest: c.shortest, Longest: c.longest, MeanLength: float64(c.all) / float64(n)}
	for i, k := range c.judged().kinds {
		share := float64(k) / float64(n-c.empty)
		if k > 0 && share >= likelyFrom && t.Likely == "" {
			t.Likely, t.LikelyShare = kinds[i].name, share
		}
	}
	return t
}

// histogram counts values between the first and the last hundredth, or, where these are
// the same, between the extremes.
func histogram(q *summary.Quantiles, low, high float64) Histogram {
	ends := q.AtAll(shares[0], shares[len(shares)-1])
	if ends[0] == ends[1] {
		ends = []float64{low, high}
	}
	h := Histogram{From: ends[0], To: ends[1], Counts: make([]int64, maxBins)}
	for v, n := range q.Points() {
		switch {
		case v < h.From:
			h.Below += n
		case v > h.To:
			h.Above += n
		default:
			h.Counts[h.bin(v)] += n
		}
	}
	return h
}

// Edge returns the lower edge of a bin.
func (h *Histogram) Edge(bin int) float64 {
	part := float64(bin) / float64(len(h.Counts))
	return float64(h.From*(1-part)) + float64(h.To*part)
}

// bin returns that of a value between From and To.
func (h *Histogram) bin(v float64) (bin int) {
	for bin+1 < len(h.Counts) && v >= h.Edge(bin+1) && h.From < h.To {
		bin++
	}
	return bin
}

// cells divides values into some that have a hundredth of them each, a value that is as
// frequent for itself.
func cells(q *summary.Quantiles) (out []Cell) {
	var open Cell
	end := func() {
		if open.Count > 0 {
			out, open = append(out, open), Cell{}
		}
	}
	for v, n := range q.Points() {
		if n > q.Count()/maxCells {
			end()
		}
		if open.Count == 0 {
			open.From = v
		}
		open.To, open.Count = v, open.Count+n
		if open.Count > q.Count()/maxCells {
			end()
		}
	}
	end()
	return out
}
