package kafka

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// The layout of a record batch (magic 2): kafka.apache.org, "Record Batch".
const (
	batchPrefix  = 12 // base offset and length; length counts what follows
	batchHeader  = 61 // up to and with the count of records
	crcFrom      = 21 // the checksum covers everything from the attributes on
	codecMask    = 0x07
	appendTime   = 0x08 // timestamps are the broker's, the batch's maximum
	transaction  = 0x10
	control      = 0x20
	maxMagic     = 2
	abortMarker  = 0 // type of a control record that ends a transaction by aborting it
	minRecord    = 7 // bytes of the smallest record: length, attributes, 2 deltas, key, value and headers
	maxOneUnread = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the fixed part of a record batch.
type header struct {
	base       int64 // offset of the first record
	last       int64 // offset of the last, also where compaction removed it
	attributes int16
	firstTime  int64 // milliseconds since 1970 UTC
	maxTime    int64
	producer   int64
	count      int32
}

// decoder turns the record batches of responses into records. It holds the
// inflated bytes of one batch, used again for the next, and the transactions
// that are known to be aborted at the current position.
type decoder struct {
	maxBatchBytes int
	committed     bool
	inflater      inflater
	pending       []abortedTransaction // not reached yet, ordered by first
	aborted       map[int64]bool       // producers inside an aborted transaction
}

// begin makes the decoder ready for the batches of a new response.
func (d *decoder) begin(aborted []abortedTransaction) {
	slices.SortFunc(aborted, func(a, b abortedTransaction) int { return cmp.Compare(a.first, b.first) })
	d.pending = aborted
	clear(d.aborted)
}

// decode appends the records at and after dst.Next to dst until it holds
// maxBytes, or maxBytes/minRecord records, or data ends, and moves dst.Next. It
// returns the batches left. A batch cut off at the end is what brokers send to
// save themselves the arithmetic: it is dropped, to be fetched again.
func (d *decoder) decode(data []byte, maxBytes int, dst *connectors.Records) ([]byte, error) {
	dst.Values = slices.Grow(dst.Values, min(maxBytes, len(data))) // at once, and not by doubling
	for len(data) >= batchPrefix && dst.SizeBytes() < maxBytes && len(dst.Offsets) < max(1, maxBytes/minRecord) {
		size := int64(int32(binary.BigEndian.Uint32(data[8:]))) + batchPrefix
		if size > int64(len(data)) {
			return nil, nil
		}
		if size < batchHeader {
			return nil, d.corrupt(data, "a batch of %d bytes", size)
		}
		if err := d.batch(data[:size], dst); err != nil {
			return nil, err
		}
		data = data[size:]
	}
	if len(data) < batchPrefix {
		data = nil
	}
	return data, nil
}

func (d *decoder) corrupt(batch []byte, format string, args ...any) error {
	var base uint64
	if len(batch) >= 8 {
		base = binary.BigEndian.Uint64(batch)
	}
	return &thalweg.Error{Op: "decode record batch", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("offset %d", int64(base)), Err: fmt.Errorf(format, args...)}
}

// batch appends the records of one whole batch.
func (d *decoder) batch(data []byte, dst *connectors.Records) error {
	if magic := data[16]; magic != maxMagic {
		return &thalweg.Error{Op: "decode record batch", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("offset %d", int64(binary.BigEndian.Uint64(data))),
			Err: fmt.Errorf("message format %d", magic), Hint: "records from before Kafka 0.11: copy the topic"}
	}
	if want, got := binary.BigEndian.Uint32(data[17:]), crc32.Checksum(data[crcFrom:], castagnoli); want != got {
		return d.corrupt(data, "checksum %08x, computed %08x", want, got)
	}
	h := header{
		base:       int64(binary.BigEndian.Uint64(data)),
		attributes: int16(binary.BigEndian.Uint16(data[21:])),
		firstTime:  int64(binary.BigEndian.Uint64(data[27:])),
		maxTime:    int64(binary.BigEndian.Uint64(data[35:])),
		producer:   int64(binary.BigEndian.Uint64(data[43:])),
		count:      int32(binary.BigEndian.Uint32(data[57:])),
	}
	delta := int32(binary.BigEndian.Uint32(data[23:]))
	h.last = h.base + int64(delta)
	if delta < 0 || h.base < 0 || h.count < 0 || int64(h.count) > int64(delta)+1 || h.base > math.MaxInt64-1<<31 {
		return d.corrupt(data, "%d records in %d offsets", h.count, int64(delta)+1)
	}
	if h.last < dst.Next {
		return nil // wholly before what was asked for
	}
	if d.hidden(h, data) {
		dst.Next = max(dst.Next, h.last+1)
		return nil
	}
	body, whole, err := d.inflater.inflate(data[batchHeader:], int(h.attributes&codecMask), d.maxBatchBytes)
	if thalweg.Is(err, thalweg.Canceled) {
		return err // nothing is wrong with the batch
	}
	if err != nil {
		return d.corrupt(data, "inflate: %w", err)
	}
	return d.records(data, h, body, whole, dst)
}

// hidden reports whether no record of the batch is an event: control records,
// and for a committed reader those of an aborted transaction.
func (d *decoder) hidden(h header, data []byte) bool {
	if d.committed {
		for len(d.pending) > 0 && d.pending[0].first <= h.last {
			if d.aborted == nil {
				d.aborted = make(map[int64]bool)
			}
			d.aborted[d.pending[0].producer] = true
			d.pending = d.pending[1:]
		}
		if h.attributes&control != 0 && markerType(data[batchHeader:]) == abortMarker {
			delete(d.aborted, h.producer)
		}
	}
	return h.attributes&control != 0 || h.attributes&transaction != 0 && d.aborted[h.producer]
}

// markerType returns the type of a control record, the second int16 of its
// key; -1 if there is none.
func markerType(record []byte) int16 {
	for _, skip := range []int{0, 1, 0, 0} { // length, attributes, timestamp delta, offset delta
		if skip > 0 {
			record = record[min(skip, len(record)):]
			continue
		}
		_, n := binary.Varint(record)
		record = record[max(n, 0):]
	}
	size, n := binary.Varint(record)
	if n <= 0 || size < 4 || len(record) < n+4 {
		return -1
	}
	return int16(binary.BigEndian.Uint16(record[n+2:]))
}

// records appends the records in body. Where body is not whole, the offsets
// after the last whole record are appended as unreadable.
func (d *decoder) records(data []byte, h header, body []byte, whole bool, dst *connectors.Records) error {
	timestamp := h.maxTime * 1000
	ofRecord := h.attributes&appendTime == 0
	if int64(h.count) > int64(len(body)/minRecord)+1 && whole {
		return d.corrupt(data, "%d records in %d bytes", h.count, len(body))
	}
	previous := h.base - 1
	p := 0
	for i := range h.count {
		length, n := varint(body[p:])
		if n <= 0 || length < minRecord-1 || length > int64(len(body)-p-n) {
			if !whole && (n == 0 || length > int64(len(body)-p-n)) {
				return d.unreadable(h, int64(h.count-i), previous+1, dst)
			}
			return d.corrupt(data, "record %d of %d has %d bytes of %d", i, h.count, length, len(body)-p)
		}
		p += n
		record := body[p : p+int(length)]
		p += int(length)
		q := 1 // attributes, of which none is defined
		timeDelta, n1 := varint(record[q:])
		q += max(n1, 0)
		offsetDelta, n2 := varint(record[q:])
		q += max(n2, 0)
		keySize, n3 := varint(record[q:])
		q += max(n3, 0)
		if n1 <= 0 || n2 <= 0 || n3 <= 0 || keySize < -1 || keySize > int64(len(record)-q) {
			return d.corrupt(data, "record %d of %d is malformed", i, h.count)
		}
		key := record[q : q+int(max(keySize, 0))]
		q += len(key)
		valueSize, n4 := varint(record[q:])
		q += max(n4, 0)
		at := h.base + offsetDelta
		if n4 <= 0 || valueSize < -1 || valueSize > int64(len(record)-q) || at <= previous || at > h.last {
			return d.corrupt(data, "record %d of %d is malformed (offset %d)", i, h.count, at)
		}
		previous = at
		if at < dst.Next {
			continue // the batch began before what was asked for
		}
		if ofRecord {
			timestamp = (h.firstTime + timeDelta) * 1000
		}
		if valueSize < 0 || dst.Null != nil {
			dst.MarkNull(valueSize < 0)
		}
		value := record[q : q+int(max(valueSize, 0))]
		if dst.Want != 0 && !keepParts(dst, key, keySize < 0, record[q+len(value):]) {
			return d.corrupt(data, "record %d of %d has malformed headers", i, h.count)
		}
		dst.Values = append(dst.Values, value...)
		dst.Ends = append(dst.Ends, len(dst.Values))
		dst.Offsets = append(dst.Offsets, at)
		dst.Timestamps = append(dst.Timestamps, timestamp)
	}
	dst.Next = max(dst.Next, h.last+1)
	return nil
}

// keepParts appends what dst wants of a record besides its value. It reports
// whether the headers, which are the rest of the record behind its value, are
// well formed.
func keepParts(dst *connectors.Records, key []byte, null bool, rest []byte) bool {
	if dst.Want&connectors.Headers != 0 {
		headers, ok := headerBytes(rest)
		if !ok {
			return false
		}
		dst.HeaderBytes = append(dst.HeaderBytes, headers...)
		dst.HeaderEnds = append(dst.HeaderEnds, len(dst.HeaderBytes))
	}
	if dst.Want&connectors.Keys != 0 {
		dst.KeyBytes = append(dst.KeyBytes, key...)
		dst.KeyEnds = append(dst.KeyEnds, len(dst.KeyBytes))
		dst.NullKeys = append(dst.NullKeys, null)
	}
	return true
}

// headerBytes returns the headers that follow their count. Records keeps them
// as Kafka writes them, so they are checked and copied whole: memory is in
// proportion to their bytes, however many there are.
func headerBytes(rest []byte) (headers []byte, ok bool) {
	count, n := varint(rest)
	if n <= 0 || count < 0 {
		return nil, false
	}
	rest = rest[n:]
	p := 0
	for range count {
		size, n := varint(rest[p:])
		if n <= 0 || size < 0 || size > int64(len(rest)-p-n) {
			return nil, false
		}
		p += n + int(size)
		size, n = varint(rest[p:])
		if n <= 0 || size < -1 || size > int64(len(rest)-p-n) {
			return nil, false
		}
		p += n + int(max(size, 0))
	}
	return rest[:p], true
}

// unreadable appends n records without bytes for the end of a batch that
// inflates beyond the bound. Where the batch was compacted as well, nobody can
// tell which of its offsets exist: that is an error.
func (d *decoder) unreadable(h header, n, from int64, dst *connectors.Records) error {
	reason := fmt.Sprintf("the record batch at offset %d inflates beyond %d bytes", h.base, d.maxBatchBytes)
	if n != h.last-from+1 || n > maxOneUnread {
		return &thalweg.Error{Op: "decode record batch", Kind: thalweg.Exhausted, Subject: fmt.Sprintf("offsets %d to %d", from, h.last),
			Err: fmt.Errorf("%s, with %d records in them", reason, n)}
	}
	for at := max(from, dst.Next); at <= h.last; at++ {
		if dst.Unreadable == nil {
			dst.Unreadable = make(map[int]string)
		}
		dst.Unreadable[len(dst.Offsets)] = reason
		if dst.Null != nil {
			dst.MarkNull(false)
		}
		if dst.Want != 0 {
			keepParts(dst, nil, true, []byte{0})
		}
		dst.Ends = append(dst.Ends, len(dst.Values))
		dst.Offsets = append(dst.Offsets, at)
		dst.Timestamps = append(dst.Timestamps, h.maxTime*1000)
	}
	dst.Next = max(dst.Next, h.last+1)
	return nil
}

// varint is binary.Varint with its common cases of one and two bytes inline.
func varint(b []byte) (int64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int64(b[0]>>1) ^ -int64(b[0]&1), 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		u := uint64(b[0]&0x7f) | uint64(b[1])<<7
		return int64(u>>1) ^ -int64(u&1), 2
	}
	return binary.Varint(b)
}
