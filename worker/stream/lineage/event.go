package lineage

import (
	"context"
	"fmt"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// fetchTries bounds how often a topic is asked for a record that is between
// its bounds: a fetch may end at one before it.
const fetchTries = 100

// fetch reads one record with its key and headers. Lost: the broker does not
// have it.
func fetch(ctx context.Context, source connectors.Source, q Query) (*connectors.Records, error) {
	lost := func(err error) error {
		return &thalweg.Error{Op: "fetch event", Kind: thalweg.Lost, Subject: q.String(), Err: err}
	}
	first, next, err := source.Bounds(ctx, q.Partition)
	if err != nil {
		return nil, err
	}
	if q.Offset < first || q.Offset >= next {
		return nil, lost(fmt.Errorf("the topic has offsets [%d, %d)", first, next))
	}
	batch := &connectors.Records{Want: connectors.Keys | connectors.Headers, TopicID: q.TopicID}
	at := q.Offset
	for range fetchTries {
		if err := source.Fetch(ctx, q.Partition, at, 5*time.Second, 1, batch); err != nil {
			return nil, err
		}
		for i, offset := range batch.Offsets {
			if offset == q.Offset {
				one := &connectors.Records{Want: batch.Want, Next: offset + 1, End: -1}
				one.AppendRecords(batch, i, i+1)
				if why, bad := batch.Unreadable[i]; bad {
					one.Unreadable = map[int]string{0: why}
				}
				return one, nil
			}
		}
		if at = batch.Next; at > q.Offset {
			return nil, lost(fmt.Errorf("the topic has no record there"))
		}
	}
	return nil, &thalweg.Error{Op: "fetch event", Kind: thalweg.Unavailable, Subject: q.String(), Err: fmt.Errorf("no answer in %d tries", fetchTries)}
}

// describe notes what a record is, all but its value.
func (e *Event) describe(r *connectors.Records) {
	value := r.Value(0)
	e.TimestampUS, e.SHA256, e.SizeBytes = r.Timestamps[0], storage.SHA256(value), int64(len(value))
	e.Null = r.Null != nil && r.Null[0]
	if key := r.Key(0); key == nil {
		e.NoKey = true
	} else {
		e.Key = append([]byte(nil), key...)
	}
	for name, value := range r.AllHeaders(0) {
		h := engine.Header{Name: string(name)}
		if value != nil {
			h.Value = append([]byte{}, value...)
		}
		e.Headers = append(e.Headers, h)
	}
	if _, bad := r.Unreadable[0]; bad {
		e.SHA256, e.SizeBytes = "", 0
	}
}

// withhold forgets what columns with pii may come from, and the hash of it, which tells
// who has a guess whether it is right.
func (e *Event) withhold() { e.SHA256, e.Key, e.Headers, e.Value = "", nil, nil, nil }

// record makes the record again of what the document says and the bytes of its
// value.
func (e *Event) record(value []byte) *connectors.Records {
	r := &connectors.Records{Want: connectors.Keys | connectors.Headers, Next: e.Offset + 1, End: -1}
	for _, h := range e.Headers {
		r.AppendHeader(h.Name, h.Value)
	}
	key := e.Key
	if key == nil && !e.NoKey {
		key = []byte{}
	}
	switch {
	case e.Null:
		value = nil
	case value == nil:
		value = []byte{}
	}
	r.Append(e.Offset, e.TimestampUS, key, value)
	return r
}
