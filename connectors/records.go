package connectors

import (
	"encoding/binary"
	"iter"
	"maps"
)

// Fields are the parts of a record that a reader may do without, as bits. What
// nobody asks for is not copied.
type Fields uint8

// The parts that are asked for.
const (
	Keys    Fields = 1 << iota // Keys asks for Records.Key
	Headers                    // Headers asks for Records.Header and Records.AllHeaders
)

// Records is a run of consecutive records of one partition, each of its parts
// in one buffer. The offsets increase but may have gaps where the log holds
// control or compacted records.
type Records struct {
	// Want and TopicID are what the reader asks for; a Fetch leaves them as they
	// are. Want names the parts to fill besides value, offset and timestamp. TopicID
	// is the Topic.ID of the topic that is meant: no record of another topic with
	// the same name is returned. Empty: whichever topic has the name.
	Want    Fields
	TopicID string
	// LeaderEpoch says by which leader's term the last record before the offset was written, as
	// the Fetch that read it has left it: one more than Kafka's number, and 0 where it is not
	// known. A Fetch fails with Lost where the log does not have that record any more, and leaves
	// the term of the records that it has read, all of one. A source that knows no terms leaves it
	// as it is.
	LeaderEpoch int32

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

	// KeyBytes holds all keys, if Want has Keys: key i is
	// KeyBytes[KeyEnds[i-1]:KeyEnds[i]], and NullKeys[i] tells that it was null and
	// not empty.
	KeyBytes []byte
	KeyEnds  []int
	NullKeys []bool

	// HeaderBytes holds all headers, if Want has Headers: those of record i are
	// HeaderBytes[HeaderEnds[i-1]:HeaderEnds[i]]. Each is a varint with the length
	// of its name, the name, a varint with the length of its value or -1 for null,
	// the value; varints are those of encoding/binary.
	HeaderBytes []byte
	HeaderEnds  []int
}

// Len returns the number of records.
func (r *Records) Len() int { return len(r.Offsets) }

// Value returns the bytes of record i, valid until the next Fetch into r.
func (r *Records) Value(i int) []byte { return piece(r.Values, r.Ends, i) }

// Key returns the key of record i, nil if it was null, valid until the next
// Fetch into r. r.Want must have Keys.
func (r *Records) Key(i int) []byte {
	if r.NullKeys[i] {
		return nil
	}
	return piece(r.KeyBytes, r.KeyEnds, i)
}

// Header returns the value of the last header of that name of record i, nil if
// it is null, and whether there is one. The bytes are valid until the next
// Fetch into r. r.Want must have Headers.
func (r *Records) Header(i int, name string) (value []byte, ok bool) {
	for n, v := range r.AllHeaders(i) {
		if string(n) == name {
			value, ok = v, true
		}
	}
	return value, ok
}

// AllHeaders yields the headers of record i in order, a null value as nil. The
// bytes are valid until the next Fetch into r. r.Want must have Headers.
func (r *Records) AllHeaders(i int) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		rest := piece(r.HeaderBytes, r.HeaderEnds, i)
		for len(rest) > 0 {
			size, n := binary.Varint(rest)
			name := rest[n : n+int(size)]
			rest = rest[n+int(size):]
			size, n = binary.Varint(rest)
			rest = rest[n:]
			var value []byte
			if size >= 0 {
				value, rest = rest[:size:size], rest[size:]
			}
			if !yield(name, value) {
				return
			}
		}
	}
}

// piece returns part i of a buffer.
func piece(all []byte, ends []int, i int) []byte {
	start := 0
	if i > 0 {
		start = ends[i-1]
	}
	return all[start:ends[i]:ends[i]]
}

// SizeBytes returns the bytes of all values, keys and headers.
func (r *Records) SizeBytes() int { return len(r.Values) + len(r.KeyBytes) + len(r.HeaderBytes) }

// SizeOf returns the bytes of record i: its value, and its key and headers
// where they are kept.
func (r *Records) SizeOf(i int) int {
	size := len(piece(r.Values, r.Ends, i))
	if r.Want&Keys != 0 {
		size += len(piece(r.KeyBytes, r.KeyEnds, i))
	}
	if r.Want&Headers != 0 {
		size += len(piece(r.HeaderBytes, r.HeaderEnds, i))
	}
	return size
}

// Reset empties r, keeping its memory and what the reader asks for.
func (r *Records) Reset() {
	r.Values, r.Ends, r.Offsets, r.Timestamps = r.Values[:0], r.Ends[:0], r.Offsets[:0], r.Timestamps[:0]
	r.KeyBytes, r.KeyEnds, r.NullKeys = r.KeyBytes[:0], r.KeyEnds[:0], r.NullKeys[:0]
	r.HeaderBytes, r.HeaderEnds = r.HeaderBytes[:0], r.HeaderEnds[:0]
	r.Null, r.Unreadable = nil, nil
	r.End = -1
}

// AppendHeader adds a header to the record that Append ends next. A nil value
// is null.
func (r *Records) AppendHeader(name string, value []byte) {
	b := binary.AppendVarint(r.HeaderBytes, int64(len(name)))
	b = append(b, name...)
	if value == nil {
		r.HeaderBytes = binary.AppendVarint(b, -1)
		return
	}
	b = binary.AppendVarint(b, int64(len(value)))
	r.HeaderBytes = append(b, value...)
}

// Append adds a record for sources whose records come one by one. A nil key or
// value is null; a key is kept if r.Want has Keys.
func (r *Records) Append(offset, timestampUS int64, key, value []byte) {
	if value == nil || r.Null != nil {
		r.MarkNull(value == nil)
	}
	r.Values = append(r.Values, value...)
	r.Ends = append(r.Ends, len(r.Values))
	r.Offsets = append(r.Offsets, offset)
	r.Timestamps = append(r.Timestamps, timestampUS)
	if r.Want&Keys != 0 {
		r.KeyBytes = append(r.KeyBytes, key...)
		r.KeyEnds = append(r.KeyEnds, len(r.KeyBytes))
		r.NullKeys = append(r.NullKeys, key == nil)
	}
	if r.Want&Headers != 0 {
		r.HeaderEnds = append(r.HeaderEnds, len(r.HeaderBytes))
	}
}

// MarkNull notes whether the value of the record about to be appended is null.
func (r *Records) MarkNull(null bool) {
	if r.Null == nil {
		r.Null = make([]bool, len(r.Offsets), len(r.Offsets)+64)
	}
	r.Null = append(r.Null, null)
}

// AppendRecords adds the records [lo, hi) of another run that were read with
// the same Want. Next and End stay as they are.
func (r *Records) AppendRecords(from *Records, lo, hi int) {
	before := len(r.Offsets)
	if from.Null != nil || r.Null != nil {
		if r.Null == nil {
			r.Null = make([]bool, before, before+hi-lo)
		}
		if from.Null != nil {
			r.Null = append(r.Null, from.Null[lo:hi]...)
		} else {
			r.Null = append(r.Null, make([]bool, hi-lo)...)
		}
	}
	r.Values, r.Ends = appendPieces(r.Values, r.Ends, from.Values, from.Ends, lo, hi)
	r.Offsets = append(r.Offsets, from.Offsets[lo:hi]...)
	r.Timestamps = append(r.Timestamps, from.Timestamps[lo:hi]...)
	if from.Want&Keys != 0 {
		r.KeyBytes, r.KeyEnds = appendPieces(r.KeyBytes, r.KeyEnds, from.KeyBytes, from.KeyEnds, lo, hi)
		r.NullKeys = append(r.NullKeys, from.NullKeys[lo:hi]...)
	}
	if from.Want&Headers != 0 {
		r.HeaderBytes, r.HeaderEnds = appendPieces(r.HeaderBytes, r.HeaderEnds, from.HeaderBytes, from.HeaderEnds, lo, hi)
	}
	for i, reason := range maps.All(from.Unreadable) {
		if i >= lo && i < hi {
			if r.Unreadable == nil {
				r.Unreadable = make(map[int]string)
			}
			r.Unreadable[before+i-lo] = reason
		}
	}
}

// appendPieces adds the parts [lo, hi) of one buffer to another.
func appendPieces(all []byte, ends []int, from []byte, fromEnds []int, lo, hi int) ([]byte, []int) {
	if lo == hi {
		return all, ends
	}
	start := 0
	if lo > 0 {
		start = fromEnds[lo-1]
	}
	shift := len(all) - start
	all = append(all, from[start:fromEnds[hi-1]]...)
	for _, end := range fromEnds[lo:hi] {
		ends = append(ends, end+shift)
	}
	return all, ends
}
