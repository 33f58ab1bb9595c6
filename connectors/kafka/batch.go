package kafka

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// The layout of a record batch (magic 2): kafka.apache.org, "Record Batch".
const (
	batchPrefix  = 12 // base offset and length; length counts what follows
	batchEpoch   = 12 // where the epoch of the leader that wrote it is
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
// maxBytes, or maxBytes/minRecord records, or data or the leader's epoch ends, and moves dst.Next. It
// returns the batches left. A batch cut off at the end is what brokers send to
// save themselves the arithmetic: it is dropped, to be fetched again.
func (d *decoder) decode(data []byte, maxBytes int, dst *connectors.Records) ([]byte, error) {
	dst.Values = slices.Grow(dst.Values, min(maxBytes, len(data))) // at once, and not by doubling
	from := dst.Next
	for len(data) >= batchPrefix && dst.SizeBytes() < maxBytes && len(dst.Offsets) < max(1, maxBytes/minRecord) {
		size := int64(int32(binary.BigEndian.Uint32(data[8:]))) + batchPrefix
		if size > int64(len(data)) {
			return nil, nil
		}
		if size < batchHeader {
			return nil, d.corrupt(data, "a batch of %d bytes", size)
		}
		epoch := max(0, int32(binary.BigEndian.Uint32(data[batchEpoch:]))+1)
		before := dst.Next
		if before > from && epoch != dst.LeaderEpoch {
			return data, nil
		}
		if err := d.batch(data[:size], dst); err != nil {
			return nil, err
		}
		if dst.Next > before {
			dst.LeaderEpoch = epoch
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
	var b kmsg.RecordBatch
	if err := b.ReadFrom(data); err != nil {
		return d.corrupt(data, "%w", err)
	}
	if want, got := uint32(b.CRC), crc32.Checksum(data[crcFrom:], castagnoli); want != got {
		return d.corrupt(data, "checksum %08x, computed %08x", want, got)
	}
	if b.LastOffsetDelta < 0 || b.FirstOffset < 0 || b.NumRecords < 0 || int64(b.NumRecords) > int64(b.LastOffsetDelta)+1 || b.FirstOffset > math.MaxInt64-1<<31 {
		return d.corrupt(data, "%d records in %d offsets", b.NumRecords, int64(b.LastOffsetDelta)+1)
	}
	if last(&b) < dst.Next {
		return nil // wholly before what was asked for
	}
	if d.hidden(&b) {
		dst.Next = max(dst.Next, last(&b)+1)
		return nil
	}
	body, whole, err := d.inflater.inflate(b.Records, int(b.Attributes&codecMask), d.maxBatchBytes)
	if thalweg.Is(err, thalweg.Canceled) {
		return err // nothing is wrong with the batch
	}
	if err != nil {
		return d.corrupt(data, "inflate: %w", err)
	}
	return d.records(data, &b, body, whole, dst)
}

// last returns the offset of a batch's last record, also where compaction
// removed it.
func last(b *kmsg.RecordBatch) int64 { return b.FirstOffset + int64(b.LastOffsetDelta) }

// hidden reports whether no record of the batch is an event: control records,
// and for a committed reader those of an aborted transaction.
func (d *decoder) hidden(b *kmsg.RecordBatch) bool {
	if d.committed {
		for len(d.pending) > 0 && d.pending[0].first <= last(b) {
			if d.aborted == nil {
				d.aborted = make(map[int64]bool)
			}
			d.aborted[d.pending[0].producer] = true
			d.pending = d.pending[1:]
		}
		if b.Attributes&control != 0 && markerType(b.Records) == abortMarker {
			delete(d.aborted, b.ProducerID)
		}
	}
	return b.Attributes&control != 0 || b.Attributes&transaction != 0 && d.aborted[b.ProducerID]
}

// markerType returns the type of a control record, the second int16 of its
// key; -1 if there is none.
func markerType(record []byte) int16 {
	r := kbin.Reader{Src: record}
	r.Varint() // length
	r.Int8()   // attributes
	r.Varlong()
	r.Varint() // timestamp and offset, as distances from the batch's
	key := kbin.Reader{Src: r.VarintBytes()}
	key.Int16() // version
	if kind := key.Int16(); key.Ok() {
		return kind
	}
	return -1
}

// records appends the records in body. Where body is not whole, the offsets
// after the last whole record are appended as unreadable.
func (d *decoder) records(data []byte, b *kmsg.RecordBatch, body []byte, whole bool, dst *connectors.Records) error {
	timestamp := b.MaxTimestamp * 1000
	ofRecord := b.Attributes&appendTime == 0
	if int64(b.NumRecords) > int64(len(body)/minRecord)+1 && whole {
		return d.corrupt(data, "%d records in %d bytes", b.NumRecords, len(body))
	}
	base, end := b.FirstOffset, last(b)
	previous := base - 1
	p := 0
	for i := range b.NumRecords {
		length, n := varint(body[p:])
		if n <= 0 || length < minRecord-1 || length > int64(len(body)-p-n) {
			if !whole && (n == 0 || length > int64(len(body)-p-n)) {
				return d.unreadable(b, int64(b.NumRecords-i), previous+1, dst)
			}
			return d.corrupt(data, "record %d of %d has %d bytes of %d", i, b.NumRecords, length, len(body)-p)
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
			return d.corrupt(data, "record %d of %d is malformed", i, b.NumRecords)
		}
		key := record[q : q+int(max(keySize, 0))]
		q += len(key)
		valueSize, n4 := varint(record[q:])
		q += max(n4, 0)
		at := base + offsetDelta
		if n4 <= 0 || valueSize < -1 || valueSize > int64(len(record)-q) || at <= previous || at > end {
			return d.corrupt(data, "record %d of %d is malformed (offset %d)", i, b.NumRecords, at)
		}
		previous = at
		if at < dst.Next {
			continue // the batch began before what was asked for
		}
		if ofRecord {
			timestamp = (b.FirstTimestamp + timeDelta) * 1000
		}
		if valueSize < 0 || dst.Null != nil {
			dst.MarkNull(valueSize < 0)
		}
		value := record[q : q+int(max(valueSize, 0))]
		if dst.Want != 0 && !keepParts(dst, key, keySize < 0, record[q+len(value):]) {
			return d.corrupt(data, "record %d of %d has malformed headers", i, b.NumRecords)
		}
		dst.Values = append(dst.Values, value...)
		dst.Ends = append(dst.Ends, len(dst.Values))
		dst.Offsets = append(dst.Offsets, at)
		dst.Timestamps = append(dst.Timestamps, timestamp)
	}
	dst.Next = max(dst.Next, end+1)
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
func (d *decoder) unreadable(b *kmsg.RecordBatch, n, from int64, dst *connectors.Records) error {
	reason := fmt.Sprintf("the record batch at offset %d inflates beyond %d bytes", b.FirstOffset, d.maxBatchBytes)
	if n != last(b)-from+1 || n > maxOneUnread {
		return &thalweg.Error{Op: "decode record batch", Kind: thalweg.Exhausted, Subject: fmt.Sprintf("offsets %d to %d", from, last(b)),
			Err: fmt.Errorf("%s, with %d records in them", reason, n)}
	}
	for at := max(from, dst.Next); at <= last(b); at++ {
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
		dst.Timestamps = append(dst.Timestamps, b.MaxTimestamp*1000)
	}
	dst.Next = max(dst.Next, last(b)+1)
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
