package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/segmentio/kafka-go/compress"

	"github.com/thalweg/thalweg/connectors"
)

// batchBuilder encodes records into one record batch (magic 2). Its memory is
// used again after reset.
type batchBuilder struct {
	transactional bool // the batches are of a transaction

	records   []byte
	count     int
	firstTime int64 // milliseconds
	maxTime   int64
	squeezed  bytes.Buffer
	out       []byte
}

// add appends a record. A nil key or value is a null.
func (b *batchBuilder) add(key, value []byte, timestampMS int64, headers []connectors.Header) {
	if b.count == 0 {
		b.firstTime, b.maxTime = timestampMS, timestampMS
	}
	b.maxTime = max(b.maxTime, timestampMS)
	timeDelta, offsetDelta := timestampMS-b.firstTime, int64(b.count)
	size := 1 + varintSize(timeDelta) + varintSize(offsetDelta) + bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for _, h := range headers {
		size += varintSize(int64(len(h.Name))) + len(h.Name) + bytesSize(h.Value)
	}
	r := binary.AppendVarint(b.records, int64(size))
	r = append(r, 0) // attributes
	r = binary.AppendVarint(r, timeDelta)
	r = binary.AppendVarint(r, offsetDelta)
	r = appendBytes(r, key)
	r = appendBytes(r, value)
	r = binary.AppendVarint(r, int64(len(headers)))
	for _, h := range headers {
		r = append(binary.AppendVarint(r, int64(len(h.Name))), h.Name...)
		r = appendBytes(r, h.Value)
	}
	b.records = r
	b.count++
}

func varintSize(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // the varint of -1
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// finish returns the batch behind its length, as a produce request wants it,
// valid until the next call; the producer's id, epoch and sequence let the
// broker recognise a second copy.
func (b *batchBuilder) finish(codec compress.Compression, producer int64, epoch int16, sequence int32) ([]byte, error) {
	body := b.records
	if codec != compress.None {
		b.squeezed.Reset()
		w := codec.Codec().NewWriter(&b.squeezed)
		if _, err := w.Write(body); err != nil {
			w.Close()
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		body = b.squeezed.Bytes()
	}
	o := binary.BigEndian.AppendUint32(b.out[:0], uint32(batchHeader+len(body)))
	o = binary.BigEndian.AppendUint64(o, 0) // base offset: the broker's
	o = binary.BigEndian.AppendUint32(o, uint32(batchHeader-batchPrefix+len(body)))
	o = binary.BigEndian.AppendUint32(o, 0xffffffff) // leader epoch: not known
	o = append(o, maxMagic)
	o = binary.BigEndian.AppendUint32(o, 0) // checksum, below
	attributes := uint16(codec)
	if b.transactional {
		attributes |= transaction
	}
	o = binary.BigEndian.AppendUint16(o, attributes)
	o = binary.BigEndian.AppendUint32(o, uint32(b.count-1))
	o = binary.BigEndian.AppendUint64(o, uint64(b.firstTime))
	o = binary.BigEndian.AppendUint64(o, uint64(b.maxTime))
	o = binary.BigEndian.AppendUint64(o, uint64(producer))
	o = binary.BigEndian.AppendUint16(o, uint16(epoch))
	o = binary.BigEndian.AppendUint32(o, uint32(sequence))
	o = binary.BigEndian.AppendUint32(o, uint32(b.count))
	o = append(o, body...)
	batch := o[4:]
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[crcFrom:], castagnoli))
	b.out = o
	return o, nil
}
