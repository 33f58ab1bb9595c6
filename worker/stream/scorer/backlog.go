package scorer

import (
	"math"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// smallPart is the size below which a fetch's records are copied behind those
// of the one before: at low rates a fetch gives a handful.
const smallPart = 64 << 10

// keepFree is how many emptied buffers are kept for the next fetches.
const keepFree = 4

// backlog holds the records that are fetched and not scored, in order. Only
// the scorer's loop uses it.
type backlog struct {
	parts []*part
	lent  int               // parts at the front that a batch under way reads
	next  int64             // offset after the last of it, once something was added
	want  connectors.Fields // parts of records that fetches shall fill; it may only grow
	free  []*connectors.Records
	share *Share // says how large a buffer may be that is kept
	batch batch
	// laidOut is the memory of batch when it was taken: whoever scores it may cut
	// it meanwhile.
	laidOut int64
}

// part is what one fetch gave, or several small ones.
type part struct {
	records *connectors.Records
	first   int // index of the first record that is not scored
}

// batch is a run of records to be scored at once, up to the offset to. Its
// memory belongs to the backlog and is valid until the next take; it may be read
// beside the loop until giveBack.
type batch struct {
	from, to   int64
	values     []byte
	ends       []int
	offsets    []int64
	timestamps []int64
	nulls      []bool         // nil: none
	unreadable map[int]string // nil: none
	gaps       []commitlog.Gap
	bytes      int64 // of the values
	// parts holds the keys and headers that fields says: those of the i-th record
	// are parts.Key(first+i) and parts.AllHeaders(first+i).
	parts  *connectors.Records
	first  int
	fields connectors.Fields // what all records have

	copied connectors.Records // backs all of it where it comes from several parts
}

// key returns the key of the i-th record, nil if it was null.
func (t *batch) key(i int) []byte { return t.parts.Key(t.first + i) }

// header returns the value of the last header of a name of the i-th record.
func (t *batch) header(i int, name string) (value []byte, ok bool) {
	return t.parts.Header(t.first+i, name)
}

// reset forgets everything. The buffers are not used again: a batch that is
// being scored may still read them.
func (b *backlog) reset() {
	b.parts, b.lent = nil, 0
}

// giveBack says that the batch that was taken is not read any more.
func (b *backlog) giveBack() { b.lent = 0 }

// buffer lends a buffer for a fetch.
func (b *backlog) buffer() *connectors.Records {
	if n := len(b.free); n > 0 {
		r := b.free[n-1]
		b.free = b.free[:n-1]
		r.Want = b.want
		return r
	}
	return &connectors.Records{Want: b.want}
}

func (b *backlog) recycle(r *connectors.Records) {
	if len(b.free) < keepFree && capOf(r) <= b.share.spare() {
		b.free = append(b.free, r)
	}
}

// add takes in what a fetch gave, buffer and all.
func (b *backlog) add(r *connectors.Records) {
	b.next = r.Next
	if r.Len() == 0 {
		b.recycle(r)
		return
	}
	// Never behind records that are being read, which are a part's slices.
	if n := len(b.parts); n > b.lent && r.Unreadable == nil && r.Null == nil {
		if last := b.parts[n-1].records; last.Null == nil && last.Want == r.Want && last.SizeBytes()+r.SizeBytes() < smallPart {
			last.AppendRecords(r, 0, r.Len())
			b.recycle(r)
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
}

// take lays out the first records that c allows, at least one if there is one, and leaves them in the
// backlog until drop. One batch is out at a time, until giveBack.
func (b *backlog) take(c Cut) *batch {
	t := &b.batch
	defer func() { b.laidOut = capOf(&t.copied) + 8*int64(cap(t.ends)+cap(t.offsets)+cap(t.timestamps)) }()
	t.from, t.to, t.bytes = c.From, c.From, 0
	t.values, t.ends, t.parts = nil, t.ends[:0], nil
	t.copied.Reset()
	t.fields = ^connectors.Fields(0)
	for _, p := range b.parts {
		t.fields &= p.records.Want
	}
	t.copied.Want = t.fields
	t.offsets, t.timestamps, t.gaps = t.offsets[:0], t.timestamps[:0], t.gaps[:0]
	t.nulls, t.unreadable = nil, nil
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
	if n := b.records(); len(t.offsets) < n && !b.stoppedBy(upTo, len(t.offsets)) {
		return t // ends after its last record
	}
	end := min(b.next, upTo)
	if end > t.to {
		t.gaps = append(t.gaps, commitlog.Gap{t.to, end})
		t.to = end
	}
	return t
}

// stoppedBy reports whether the record after the first n is at or beyond an
// offset.
func (b *backlog) stoppedBy(offset int64, n int) bool {
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
func (t *batch) count(p *part, c Cut, upTo int64) int {
	r := p.records
	n := 0
	for i := p.first; i < r.Len(); i++ {
		at := r.Offsets[i]
		if len(t.offsets)+n >= c.Count || t.bytes >= c.Bytes || at >= upTo {
			break
		}
		if at > t.to {
			if len(t.gaps) >= c.Gaps {
				break
			}
			t.gaps = append(t.gaps, commitlog.Gap{t.to, at})
		}
		t.bytes += int64(r.SizeOf(i))
		t.to = at + 1
		n++
	}
	return n
}

// append takes the first n records of p. The bytes of one part are not copied;
// those of several are.
func (t *batch) append(p *part, n int, first bool) {
	r, lo, hi := p.records, p.first, p.first+n
	start := 0
	if lo > 0 {
		start = r.Ends[lo-1]
	}
	base := len(t.values)
	if first {
		t.values, t.parts, t.first = r.Values[start:r.Ends[hi-1]], r, lo
	} else {
		if t.copied.Len() == 0 {
			t.copied.AppendRecords(t.parts, t.first, t.first+len(t.offsets))
		}
		t.copied.AppendRecords(r, lo, hi)
		t.values, t.parts, t.first = t.copied.Values, &t.copied, 0
	}
	for _, end := range r.Ends[lo:hi] {
		t.ends = append(t.ends, base+end-start)
	}
	before := len(t.offsets)
	t.offsets = append(t.offsets, r.Offsets[lo:hi]...)
	t.timestamps = append(t.timestamps, r.Timestamps[lo:hi]...)
	if r.Null != nil || t.nulls != nil {
		t.nulls = append(t.nulls, make([]bool, before-len(t.nulls)+n)...)
		if r.Null != nil {
			copy(t.nulls[before:], r.Null[lo:hi])
		}
	}
	for i, reason := range r.Unreadable {
		if i >= lo && i < hi {
			if t.unreadable == nil {
				t.unreadable = make(map[int]string)
			}
			t.unreadable[before+i-lo] = reason
		}
	}
}

// value returns the bytes of the i-th record.
func (t *batch) value(i int) []byte {
	start := 0
	if i > 0 {
		start = t.ends[i-1]
	}
	return t.values[start:t.ends[i]]
}

// drop removes the first n records, which are scored.
func (b *backlog) drop(n int) {
	for n > 0 {
		p := b.parts[0]
		left := p.records.Len() - p.first
		if n < left {
			p.first += n
			return
		}
		n -= left
		b.recycle(p.records)
		b.parts = b.parts[1:]
	}
}

// sizeBytes returns the memory that the backlog takes, of buffers that are not
// used at the moment too.
func (b *backlog) sizeBytes() int64 {
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

// records returns how many there are.
func (b *backlog) records() int {
	n := 0
	for _, p := range b.parts {
		n += p.records.Len() - p.first
	}
	return n
}
