// Package connectors defines the seams to streams of events. Its children
// provide them: connectors/kafka by kafka-go, connectors/file from files;
// connectors/devbroker is the embedded broker of thalweg dev.
package connectors

import (
	"context"
	"fmt"
	"time"
)

// Source reads one topic of a stream, partition by partition. A Source may be
// used for several partitions at once, but one partition by one goroutine.
type Source interface {
	// Partitions returns the number of partitions; NotFound if there is no such
	// topic (yet).
	Partitions(ctx context.Context) (int, error)
	// Bounds returns the offset of the first record kept and the one that the
	// next produced record will get.
	Bounds(ctx context.Context, partition int) (first, next int64, err error)
	// Fetch reads records at and after offset into dst, replacing its contents
	// but reusing its memory, and waits at most maxWait for at least one. It
	// returns with no records and no error when none came. It never skips: an
	// offset below the partition's first fails with thalweg.Lost naming the
	// missing range. dst.Next tells where to go on, which may be past the last
	// record where the log holds control records.
	Fetch(ctx context.Context, partition int, offset int64, maxWait time.Duration, maxBytes int, dst *Records) error
	// Commit writes the group offset next for lag dashboards. It is never read
	// back.
	Commit(ctx context.Context, partition int, next int64) error
	Close() error
}

// Records is a run of consecutive records of one partition, their values in
// one buffer. The offsets increase but may have gaps where the log holds
// control or compacted records.
type Records struct {
	Values     []byte  // all values, one after the other
	Ends       []int   // value i is Values[Ends[i-1]:Ends[i]]
	Null       []bool  // value i was null (a tombstone); nil if none was
	Offsets    []int64 // offset of record i
	Timestamps []int64 // of record i, microseconds since 1970 UTC
	Next       int64   // the offset to fetch next
	// End is the offset that the next produced record would have got when this
	// was read, for lag; -1 where the source cannot tell.
	End int64
	// Unreadable tells, by index, why the bytes of a record could not be had
	// (its batch inflates beyond the source's bound). Its value is empty then.
	// Nil if there is none.
	Unreadable map[int]string
}

// Len returns the number of records.
func (r *Records) Len() int { return len(r.Offsets) }

// Value returns the bytes of record i, valid until the next Fetch into r.
func (r *Records) Value(i int) []byte {
	start := 0
	if i > 0 {
		start = r.Ends[i-1]
	}
	return r.Values[start:r.Ends[i]]
}

// Reset empties r, keeping its memory.
func (r *Records) Reset() {
	r.Values, r.Ends, r.Offsets, r.Timestamps = r.Values[:0], r.Ends[:0], r.Offsets[:0], r.Timestamps[:0]
	r.Null, r.Unreadable = nil, nil
	r.End = -1
}

// MissingRange is the cause of a thalweg.Lost error of Fetch: the offsets
// [From, To) of the partition should exist and do not.
type MissingRange struct {
	Topic     string
	Partition int
	From, To  int64
}

func (m *MissingRange) Error() string {
	return fmt.Sprintf("%s/%d: offsets [%d, %d) are missing", m.Topic, m.Partition, m.From, m.To)
}
