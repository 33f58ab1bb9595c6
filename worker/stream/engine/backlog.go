package engine

import (
	"math"
	"slices"

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
	parts  []*part
	lent   int               // parts at the front that a batch under way reads
	out    bool              // a batch is under way
	Want   connectors.Fields // parts of records that fetches shall fill; it may only grow
	free   []*connectors.Records
	Share  *budget.Share // says how large a buffer may be that is kept
	batch  Batch
	copied connectors.Records // backs batch where it comes from several parts
}

// part is what one fetch gave, or several small ones.
type part struct {
	records *connectors.Records
	first   int // index of the first record that is not scored
}

// Batch is a run of records to be scored at once, up to the offset To. Its
// memory belongs to the backlog and is valid until the next take; it may be read
// beside the loop until GiveBack.
type Batch struct {
	From, To int64
	Records  *connectors.Records // the batch is n of them
	first, n int
	Gaps     []commitlog.Gap
	Bytes    int64 // of the records
	// LeaderEpoch is, as connectors.Records has it, that of the last record before To.
	LeaderEpoch int32
}

// BatchOf returns the batch of all records, which are what there is of the
// offsets [from, to).
func BatchOf(r *connectors.Records, from, to int64) *Batch {
	return &Batch{From: from, To: to, Records: r, n: r.Len(), Bytes: int64(r.SizeBytes())}
}

// Len returns the number of records.
func (t *Batch) Len() int { return t.n }

// Offsets returns the offsets of the records.
func (t *Batch) Offsets() []int64 { return t.Records.Offsets[t.first : t.first+t.n] }

// Timestamps returns those of the records.
func (t *Batch) Timestamps() []int64 { return t.Records.Timestamps[t.first : t.first+t.n] }

// Value returns the bytes of the i-th record.
func (t *Batch) Value(i int) []byte { return t.Records.Value(t.first + i) }

// Reset forgets everything. The buffers are not used again: a batch that is
// being scored may still read them.
func (b *Backlog) Reset() {
	b.parts, b.lent = nil, 0
}

// GiveBack says that the batch that was taken is not read any more.
func (b *Backlog) GiveBack() { b.lent, b.out = 0, false }

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
	b.Trim()
	if len(b.free) < keepFree && capOf(r) <= b.Share.Spare() {
		b.free = append(b.free, r)
	}
}

// Trim leaves buffers to the collector that are larger than a fetch needs by now,
// or all where memory is short: an idle partition holds next to nothing, and one
// that waits for memory nothing that is not to be scored.
func (b *Backlog) Trim() {
	spare := b.Share.Spare()
	b.free = slices.DeleteFunc(b.free, func(r *connectors.Records) bool { return capOf(r) > spare })
	if b.out || len(b.parts) > 0 && spare > 0 {
		return
	}
	b.free, b.batch.Records = b.free[:min(1, len(b.free))], nil
	if capOf(&b.copied) > spare {
		b.copied = connectors.Records{}
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
		if last := b.parts[n-1].records; last.Null == nil && last.Want == r.Want && last.LeaderEpoch == r.LeaderEpoch && last.SizeBytes()+r.SizeBytes() < smallPart {
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
	// LeaderEpoch is that of the last record before End.
	LeaderEpoch int32
}

// Take lays out the first records that c allows, at least one if there is one,
// and leaves them in the backlog until Drop. One batch is out at a time, until
// GiveBack.
func (b *Backlog) Take(c Cut) *Batch {
	t := &b.batch
	b.out = true
	b.copied.Reset()
	*t = Batch{From: c.From, To: c.From, Records: &b.copied, Gaps: t.Gaps[:0]}
	if c.UpTo < 0 {
		c.UpTo = math.MaxInt64
	}
	for i, p := range b.parts {
		n, full := t.count(p, c)
		if n > 0 {
			b.append(p, n)
			t.LeaderEpoch = p.records.LeaderEpoch
			b.lent = i + 1
		}
		if full {
			return t // it ends after its last record
		}
		if p.first+n < p.records.Len() {
			break
		}
	}
	if end := min(c.End, c.UpTo); end > t.To {
		t.Gaps = append(t.Gaps, commitlog.Gap{t.To, end})
		t.To, t.LeaderEpoch = end, 0
		if end == c.End {
			t.LeaderEpoch = c.LeaderEpoch
		}
	}
	return t
}

// count returns how many records of p the batch may still take before UpTo, and
// whether it is full then; it notes the gaps before them.
func (t *Batch) count(p *part, c Cut) (n int, full bool) {
	r := p.records
	for i := p.first; i < r.Len() && r.Offsets[i] < c.UpTo; i++ {
		at := r.Offsets[i]
		if t.n+n >= c.Count || t.Bytes >= c.Bytes || at > t.To && len(t.Gaps) >= c.Gaps {
			return n, true
		}
		if at > t.To {
			t.Gaps = append(t.Gaps, commitlog.Gap{t.To, at})
		}
		t.Bytes += int64(r.SizeOf(i))
		t.To = at + 1
		n++
	}
	return n, false
}

// append adds the first n records of p to the batch. The records of one part are
// not copied; those of several are.
func (b *Backlog) append(p *part, n int) {
	t := &b.batch
	if t.n == 0 {
		t.Records, t.first, t.n = p.records, p.first, n
		return
	}
	if t.Records != &b.copied {
		b.copied.Want = t.Records.Want
		b.copied.AppendRecords(t.Records, t.first, t.first+t.n)
		t.Records, t.first = &b.copied, 0
	}
	b.copied.Want &= p.records.Want
	b.copied.AppendRecords(p.records, p.first, p.first+n)
	t.n += n
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

// Oldest returns the timestamp of the first record, microseconds since 1970 UTC; false if
// there is none.
func (b *Backlog) Oldest() (us int64, ok bool) {
	for _, p := range b.parts {
		if p.first < p.records.Len() {
			return p.records.Timestamps[p.first], true
		}
	}
	return 0, false
}

// SizeBytes returns the memory that the backlog takes, of buffers that are not
// used at the moment too.
func (b *Backlog) SizeBytes() int64 {
	n := capOf(&b.copied)
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
