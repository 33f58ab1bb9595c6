package table

import (
	"math"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Offsets finds the offset of a zone from UTC, in seconds. It keeps the spans
// between changes that it met, so that times in any order rarely ask the time
// zone database. It is for one goroutine.
type Offsets struct {
	zone  *time.Location
	last  span
	spans [256]span
}

// span is a stretch of time [from, to) with one offset, in seconds.
type span struct{ from, to, offset int64 }

func (s span) has(second int64) bool { return second >= s.from && second < s.to }

// NewOffsets returns the offsets of a zone.
func NewOffsets(zone *time.Location) *Offsets { return &Offsets{zone: zone} }

// At returns the offset at a second since 1970 UTC.
func (o *Offsets) At(second int64) int64 { return o.spanAt(second).offset }

// Local returns the second since 1970 UTC at which a clock of the zone shows
// second, as if that were UTC. Of a time that the clock shows twice or never
// it takes what time.Date does.
func (o *Offsets) Local(second int64) int64 {
	s := o.spanAt(second)
	if utc := second - s.offset; !s.has(utc) {
		return second - o.spanAt(utc).offset
	}
	return second - s.offset
}

func (o *Offsets) spanAt(second int64) span {
	if o.last.has(second) {
		return o.last
	}
	// About 12 days share a slot; offsets change a few times a year.
	slot := &o.spans[uint64(second)>>20%uint64(len(o.spans))]
	if !slot.has(second) {
		*slot = o.find(second)
	}
	o.last = *slot
	return *slot
}

func (o *Offsets) find(second int64) span {
	t := time.Unix(second, 0).In(o.zone)
	s := span{from: math.MinInt64, to: math.MaxInt64}
	from, to := t.ZoneBounds()
	if !from.IsZero() {
		s.from = from.Unix()
	}
	if !to.IsZero() {
		s.to = to.Unix()
	}
	_, offset := t.Zone()
	s.offset = int64(offset)
	return s
}

// isLocal reports whether timestamps of a natural type name no zone.
func isLocal(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.TimestampType:
		return t.TimeZone == ""
	case *arrow.Date32Type, *arrow.Date64Type:
		return true
	}
	return false
}

// fromLocal turns timestamps that a clock of the zone showed to UTC.
func fromLocal(mem memory.Allocator, a arrow.Array, zone *time.Location) (arrow.Array, error) {
	const microseconds = 1_000_000
	buf, out := Alloc(mem, a.Len(), arrow.Int64Traits)
	offsets := NewOffsets(zone)
	for i, us := range Values[int64](a) {
		second := FloorDiv(us, microseconds)
		shift := (second - offsets.Local(second)) * microseconds
		out[i] = us - shift
		if (us^shift)&(us^out[i]) < 0 && a.IsValid(i) {
			buf.Release()
			return nil, &badValue{row: i, what: "lies past the years that microseconds can count"}
		}
	}
	return like(mem, Timestamp, a, buf), nil
}
