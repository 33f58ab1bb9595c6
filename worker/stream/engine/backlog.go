package engine

import (
	"math"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// smallPart is the size below which a fetch's records are copied behind those
// of the one before: at low rates a fetch gives a handful.
const smallPart = 64 << 10

// keepFree is how many emptied buffers are kept for the next fetches.
const keepFree = 4

// Backlog holds the records that are fetched and not scored, in order. Only
// the scorer's loop uses it.
type Backlog struct {
	parts []*part
	lent  int               // parts at the front that a batch under way reads
	Want  connectors.Fields // parts of records that fetches shall fill; it may only grow
	free  []*connectors.Records
	Share *budget.Share // says how large a buffer may be that is kept
	batch Batch
	// laidOut is the memory of batch when it was taken: whoever scores it may cut
	// it meanwhile.
	laidOut int64
}

// part is what one fetch gave, or several small ones.
type part struct {
	records *connectors.Records
	first   int // index of the first record that is not scored
}

// Batch is a run of records to be scored at once, up to the offset to. Its
// memory belongs to the backlog and is valid until the next take; it may be read
// beside the loop until GiveBack.
type Batch struct {
	From, To   int64
	Values     []byte
	Ends       []int
	Offsets    []int64
	Timestamps []int64
	Nulls      []bool         // nil: none
	Unreadable map[int]string // nil: none
	Gaps       []commitlog.Gap
	Bytes      int64 // of the values
	// Parts holds the keys and headers that fields says: those of the i-th record
	// are parts.Key(first+i) and parts.AllHeaders(first+i).
	Parts  *connectors.Records
	first  int
	Fields connectors.Fields // what all records have

	copied connectors.Records // backs all of it where it comes from several parts
}

func (t *Batch) key(i int) []byte { return t.Parts.Key(t.first + i) }

func (t *Batch) header(i int, name string) (value []byte, ok bool) {
	return t.Parts.Header(t.first+i, name)
}

// Reset forgets everything. The buffers are not used again: a batch that is
// being scored may still read them.
func (b *Backlog) Reset() {
	b.parts, b.lent = nil, 0
}

// GiveBack says that the batch that was taken is not read any more.
func (b *Backlog) GiveBack() { b.lent = 0 }

// Buffer lends a buffer for a fetch.
func (b *Backlog) Buffer() *connectors.Records {
	if n := len(b.free); n > 0 {
		r := b.free[n-1]
		b.free = b.free[:n-1]
		r.Want = b.Want
		return r
	}
	return &connectors.Records{Want: b.Want}
}

// Recycle takes a buffer back that nothing reads any more.
func (b *Backlog) Recycle(r *connectors.Records) {
	if len(b.free) < keepFree && capOf(r) <= b.Share.Spare() {
		b.free = append(b.free, r)
	}
}

// Add takes in what a fetch gave, buffer and all.
func (b *Backlog) Add(r *connectors.Records) {
	if r.Len() == 0 {
		b.Recycle(r)
		return
	}
	// Never behind records that are being read, which are a part's slices.
	if n := len(b.parts); n > b.lent && r.Unreadable == nil && r.Null == nil {
		if last := b.parts[n-1].records; last.Null == nil && last.Want == r.Want && last.SizeBytes()+r.SizeBytes() < smallPart {
			last.AppendRecords(r, 0, r.Len())
			b.Recycle(r)
			return
		}
	}
	b.parts = append(b.parts, &part{records: r})
}

// Cut says where a batch ends.
type Cut struct {
	From  int64 // the end of what was scored before: what lies between here and a record is a gap
	Count int   // records at most
	Bytes int64 // or as many as reach these
	Gaps  int   // runs of missing offsets at most
	UpTo  int64 // and no record at or after this offset; -1: no bound
	End   int64 // the offset up to which records were fetched
}

// Take lays out the first records that c allows, at least one if there is one,
// and leaves them in the backlog until Drop. One batch is out at a time, until
// GiveBack.
func (b *Backlog) Take(c Cut) *Batch {
	t := &b.batch
	defer func() { b.laidOut = capOf(&t.copied) + 8*int64(cap(t.Ends)+cap(t.Offsets)+cap(t.Timestamps)) }()
	t.From, t.To, t.Bytes = c.From, c.From, 0
	t.Values, t.Ends, t.Parts = nil, t.Ends[:0], nil
	t.copied.Reset()
	t.Fields = ^connectors.Fields(0)
	for _, p := range b.parts {
		t.Fields &= p.records.Want
	}
	t.copied.Want = t.Fields
	t.Offsets, t.Timestamps, t.Gaps = t.Offsets[:0], t.Timestamps[:0], t.Gaps[:0]
	t.Nulls, t.Unreadable = nil, nil
	upTo := c.UpTo
	if upTo < 0 {
		upTo = math.MaxInt64
	}
	for i, p := range b.parts {
		n := t.count(p, c, upTo)
		if n == 0 {
			break
		}
		t.append(p, n, i == 0)
		b.lent = i + 1
		if p.first+n < p.records.Len() {
			break
		}
	}
	if n := b.records(); len(t.Offsets) < n && !b.stoppedBy(upTo, len(t.Offsets)) {
		return t // ends after its last record
	}
	end := min(c.End, upTo)
	if end > t.To {
		t.Gaps = append(t.Gaps, commitlog.Gap{t.To, end})
		t.To = end
	}
	return t
}

// stoppedBy reports whether the record after the first n is at or beyond an
// offset.
func (b *Backlog) stoppedBy(offset int64, n int) bool {
	for _, p := range b.parts {
		left := p.records.Len() - p.first
		if n < left {
			return p.records.Offsets[p.first+n] >= offset
		}
		n -= left
	}
	return false
}

// count returns how many records of p the batch may still take; it notes the
// gaps before them.
func (t *Batch) count(p *part, c Cut, upTo int64) int {
	r := p.records
	n := 0
	for i := p.first; i < r.Len(); i++ {
		at := r.Offsets[i]
		if len(t.Offsets)+n >= c.Count || t.Bytes >= c.Bytes || at >= upTo {
			break
		}
		if at > t.To {
			if len(t.Gaps) >= c.Gaps {
				break
			}
			t.Gaps = append(t.Gaps, commitlog.Gap{t.To, at})
		}
		t.Bytes += int64(r.SizeOf(i))
		t.To = at + 1
		n++
	}
	return n
}

// append takes the first n records of p. The bytes of one part are not copied;
// those of several are.
func (t *Batch) append(p *part, n int, first bool) {
	r, lo, hi := p.records, p.first, p.first+n
	start := 0
	if lo > 0 {
		start = r.Ends[lo-1]
	}
	base := len(t.Values)
	if first {
		t.Values, t.Parts, t.first = r.Values[start:r.Ends[hi-1]], r, lo
	} else {
		if t.copied.Len() == 0 {
			t.copied.AppendRecords(t.Parts, t.first, t.first+len(t.Offsets))
		}
		t.copied.AppendRecords(r, lo, hi)
		t.Values, t.Parts, t.first = t.copied.Values, &t.copied, 0
	}
	for _, end := range r.Ends[lo:hi] {
		t.Ends = append(t.Ends, base+end-start)
	}
	before := len(t.Offsets)
	t.Offsets = append(t.Offsets, r.Offsets[lo:hi]...)
	t.Timestamps = append(t.Timestamps, r.Timestamps[lo:hi]...)
	if r.Null != nil || t.Nulls != nil {
		t.Nulls = append(t.Nulls, make([]bool, before-len(t.Nulls)+n)...)
		if r.Null != nil {
			copy(t.Nulls[before:], r.Null[lo:hi])
		}
	}
	for i, reason := range r.Unreadable {
		if i >= lo && i < hi {
			if t.Unreadable == nil {
				t.Unreadable = make(map[int]string)
			}
			t.Unreadable[before+i-lo] = reason
		}
	}
}

// Value returns the bytes of the i-th record.
func (t *Batch) Value(i int) []byte {
	start := 0
	if i > 0 {
		start = t.Ends[i-1]
	}
	return t.Values[start:t.Ends[i]]
}

// Drop removes the first n records, which are scored.
func (b *Backlog) Drop(n int) {
	for n > 0 {
		p := b.parts[0]
		left := p.records.Len() - p.first
		if n < left {
			p.first += n
			return
		}
		n -= left
		b.Recycle(p.records)
		b.parts = b.parts[1:]
	}
}

// SizeBytes returns the memory that the backlog takes, of buffers that are not
// used at the moment too.
func (b *Backlog) SizeBytes() int64 {
	n := b.laidOut
	for _, p := range b.parts {
		n += capOf(p.records)
	}
	for _, r := range b.free {
		n += capOf(r)
	}
	return n
}

func capOf(r *connectors.Records) int64 {
	return int64(cap(r.Values)+cap(r.KeyBytes)+cap(r.HeaderBytes)+cap(r.Null)+cap(r.NullKeys)) +
		8*int64(cap(r.Ends)+cap(r.Offsets)+cap(r.Timestamps)+cap(r.KeyEnds)+cap(r.HeaderEnds))
}

func (b *Backlog) records() int {
	n := 0
	for _, p := range b.parts {
		n += p.records.Len() - p.first
	}
	return n
}
