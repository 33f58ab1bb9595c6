package kafka

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg/connectors"
)

// dateBytes is what a look at a record's time asks for: room for the headers of a few
// batches. A broker gives the first batch whole, however large it is.
const dateBytes = 4 << 10

var _ connectors.Dater = (*Source)(nil)

// TimeAt implements connectors.Dater from the header of the batch: nothing is inflated,
// and a batch that is too large to be held without asking is not read.
func (s *Source) TimeAt(ctx context.Context, partition int, offset int64, topicID string) (us int64, ok bool, err error) {
	cur := &cursor{exchange: newExchange(s.cluster.cfg, partition), topicID: topicID}
	cur.decoder.committed = s.cluster.cfg.IsolationLevel == ReadCommitted
	err = s.requestOnce(ctx, cur, partition, offset, 0, 0, dateBytes)
	defer func() { cur.exchange.release() }()
	var large largeError
	if errors.As(err, &large) {
		return -1, false, nil
	}
	if err != nil {
		return 0, false, s.identify(ctx, topicID, partition, offset, cur.end, err)
	}
	us, next, ok := cur.decoder.dateOf(cur.remaining, offset)
	if !ok && next < cur.end { // cut off, malformed, or more is behind what is hidden
		us = -1
	}
	return us, ok, nil
}

// dateOf returns the time of the first record at or after offset, by the header of its
// batch: that of the batch's first record, or of the broker. Nothing is known of a batch
// that is cut off or malformed; whoever fetches it says what is wrong. next is behind what
// was looked at.
func (d *decoder) dateOf(data []byte, offset int64) (us, next int64, ok bool) {
	next = offset
	for len(data) >= batchPrefix {
		size := int64(int32(binary.BigEndian.Uint32(data[8:]))) + batchPrefix
		var b kmsg.RecordBatch
		if size < batchHeader || size > int64(len(data)) || data[16] != maxMagic || b.ReadFrom(data[:size]) != nil {
			return 0, next, false
		}
		data, next = data[size:], max(next, last(&b)+1)
		switch {
		case last(&b) < offset || d.hidden(&b):
		case b.Attributes&appendTime != 0:
			return b.MaxTimestamp * 1000, next, true
		default:
			return b.FirstTimestamp * 1000, next, true
		}
	}
	return 0, next, false
}
