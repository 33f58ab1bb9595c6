package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go/compress"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// encoded returns one batch of values whose first offset is base.
func encoded(tb testing.TB, codec compress.Compression, base int64, values ...string) []byte {
	tb.Helper()
	var b batchBuilder
	for i, v := range values {
		b.add([]byte("key"), []byte(v), 1700000000000+int64(i), []connectors.Header{{Name: "h", Value: []byte("v")}})
	}
	data, err := b.finish(codec, 7, 1, 0)
	if err != nil {
		tb.Fatal(err)
	}
	batch := bytes.Clone(data[4:])
	binary.BigEndian.PutUint64(batch, uint64(base))
	return batch
}

// resealed applies change to a batch and makes its checksum right again.
func resealed(batch []byte, change func([]byte)) []byte {
	batch = bytes.Clone(batch)
	change(batch)
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[crcFrom:], castagnoli))
	return batch
}

func decodeAll(data []byte, offset int64) (connectors.Records, error) {
	d := decoder{maxBatchBytes: 1 << 20}
	var r connectors.Records
	r.Want = connectors.Keys | connectors.Headers
	r.Reset()
	r.Next = offset
	_, err := d.decode(data, 1<<20, &r)
	return r, err
}

func TestDecodeUndoesEncode(t *testing.T) {
	values := []string{"", "a", strings.Repeat("long ", 1000), `{"x":1}`}
	for codec := compress.None; codec <= compress.Zstd; codec++ {
		r, err := decodeAll(slices.Concat(encoded(t, codec, 10, values...), encoded(t, codec, 20, "z")), 11)
		if err != nil {
			t.Fatalf("%v: %v", codec, err)
		}
		if want := []int64{11, 12, 13, 20}; !slices.Equal(r.Offsets, want) || r.Next != 21 {
			t.Errorf("%v: offsets %d up to %d, want %d", codec, r.Offsets, r.Next, want)
		}
		for i, want := range append(values[1:len(values):len(values)], "z") {
			if string(r.Value(i)) != want {
				t.Errorf("%v: value %d is %.20q", codec, i, r.Value(i))
			}
		}
		if r.Timestamps[0] != 1700000000001000 {
			t.Errorf("%v: timestamp %d", codec, r.Timestamps[0])
		}
	}
}

func TestRepeatedBatchGivesItsRecordsOnce(t *testing.T) {
	first, second := encoded(t, compress.None, 0, "a", "b"), encoded(t, compress.None, 1, "b", "c")
	r, err := decodeAll(slices.Concat(first, first, second), 0)
	if err != nil || !slices.Equal(r.Offsets, []int64{0, 1, 2}) || string(r.Values) != "abc" {
		t.Errorf("offsets %d, values %q, %v", r.Offsets, r.Values, err)
	}
}

func TestBatchCutOffAtTheEndIsLeftForTheNextFetch(t *testing.T) {
	first, second := encoded(t, compress.None, 0, "a", "b"), encoded(t, compress.None, 2, "c")
	for cut := range len(second) {
		r, err := decodeAll(slices.Concat(first, second[:cut]), 0)
		if err != nil || r.Len() != 2 || r.Next != 2 {
			t.Fatalf("cut at %d: %d records up to %d, %v", cut, r.Len(), r.Next, err)
		}
	}
}

func TestEmptyBatchOfACompactedLogIsPassed(t *testing.T) {
	empty := resealed(encoded(t, compress.None, 5, "x")[:batchHeader], func(b []byte) {
		binary.BigEndian.PutUint32(b[8:], batchHeader-batchPrefix)
		binary.BigEndian.PutUint32(b[23:], 9) // last offset 14
		binary.BigEndian.PutUint32(b[57:], 0) // no records
	})
	r, err := decodeAll(empty, 5)
	if err != nil || r.Len() != 0 || r.Next != 15 {
		t.Errorf("%d records up to %d, %v; want none up to 15", r.Len(), r.Next, err)
	}
}

func TestLogAppendTimeIsTheBatchsMaximum(t *testing.T) {
	batch := resealed(encoded(t, compress.None, 0, "a", "b"), func(b []byte) {
		b[22] |= appendTime
		binary.BigEndian.PutUint64(b[35:], 1800000000000)
	})
	r, err := decodeAll(batch, 0)
	if err != nil || !slices.Equal(r.Timestamps, []int64{1800000000000000, 1800000000000000}) {
		t.Errorf("%d, %v", r.Timestamps, err)
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	good := encoded(t, compress.None, 0, "a", "b", "c")
	want, err := decodeAll(good, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			got, err := decodeAll(bad, 0)
			// The base offset, the length and the leader epoch lie outside of the
			// checksum; offsets are judged by their order, lengths by the bytes.
			if err == nil && i >= 16 && (!bytes.Equal(got.Values, want.Values) || !slices.Equal(got.Offsets, want.Offsets)) {
				t.Fatalf("bit %d of byte %d flipped: read %q without an error", bit, i, got.Values)
			}
		}
	}
}

func TestMalformedBatchesAreCorrupt(t *testing.T) {
	good := encoded(t, compress.None, 100, "a", "b", "c")
	for name, change := range map[string]func([]byte){
		"more records than bytes": func(b []byte) {
			binary.BigEndian.PutUint32(b[57:], 1<<30)
			binary.BigEndian.PutUint32(b[23:], 1<<30)
		},
		"more records than offsets": func(b []byte) { binary.BigEndian.PutUint32(b[23:], 0) },
		"negative last offset":      func(b []byte) { binary.BigEndian.PutUint32(b[23:], 0xfffffff0) },
		"negative count":            func(b []byte) { binary.BigEndian.PutUint32(b[57:], 0xfffffff0) },
		"unknown codec":             func(b []byte) { b[22] = 7 },
		"not the codec":             func(b []byte) { b[22] = byte(compress.Zstd) },
		"record too long":           func(b []byte) { b[batchHeader] = 0x7e },
		"record negative":           func(b []byte) { b[batchHeader] = 0x01 },
		"offsets not rising":        func(b []byte) { b[batchHeader+3] = 0x04 },
		"key too long":              func(b []byte) { b[batchHeader+4] = 0x7e },
		"headers negative":          func(b []byte) { b[batchHeader+10] = 0x01 },
		"more headers than bytes":   func(b []byte) { b[batchHeader+10] = 0x04 },
		"header name too long":      func(b []byte) { b[batchHeader+11] = 0x7e },
		"header value too long":     func(b []byte) { b[batchHeader+13] = 0x7e },
	} {
		r, err := decodeAll(resealed(good, change), 100)
		if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "offset 100") {
			t.Errorf("%s: %v with %d records, want corrupt naming the offset", name, err, r.Len())
		}
	}
	if _, err := decodeAll(resealed(good, func(b []byte) { b[16] = 1 }), 100); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("message format 1: %v, want unsupported", err)
	}
}

func FuzzDecodeBatches(f *testing.F) {
	for codec := compress.None; codec <= compress.Zstd; codec++ {
		f.Add(encoded(f, codec, 3, "a", `{"x":1}`), int64(0), true)
	}
	f.Add(slices.Concat(encoded(f, compress.None, 0, "a"), encoded(f, compress.None, 1, "b")[:40]), int64(1), false)
	f.Fuzz(func(t *testing.T, data []byte, offset int64, seal bool) {
		if offset < 0 {
			return
		}
		if seal && len(data) > batchHeader {
			binary.BigEndian.PutUint32(data[8:], uint32(len(data)-batchPrefix))
			data = resealed(data, func([]byte) {})
		}
		d := decoder{maxBatchBytes: 64 << 10, committed: true}
		d.begin([]abortedTransaction{{producer: 7, first: 2}})
		r := connectors.Records{Want: connectors.Keys | connectors.Headers}
		r.Reset()
		r.Next = offset
		rest, err := d.decode(data, 32<<10, &r)
		dates := decoder{committed: true}
		dates.begin(nil)
		if us, _, ok := dates.dateOf(data, offset); !ok && us != 0 {
			t.Fatalf("a time that is not known is %d", us)
		}
		if err == nil && len(rest) >= len(data) && len(data) > 0 {
			t.Fatal("no progress")
		}
		if len(r.Ends) != r.Len() || len(r.Timestamps) != r.Len() || r.Null != nil && len(r.Null) != r.Len() {
			t.Fatalf("%d offsets, %d ends, %d timestamps, %d nulls", r.Len(), len(r.Ends), len(r.Timestamps), len(r.Null))
		}
		if len(r.KeyEnds) != r.Len() || len(r.NullKeys) != r.Len() || len(r.HeaderEnds) != r.Len() {
			t.Fatalf("%d offsets, %d keys, %d of them null or not, headers of %d", r.Len(), len(r.KeyEnds), len(r.NullKeys), len(r.HeaderEnds))
		}
		for i := range r.Len() {
			r.Key(i)
			for range r.AllHeaders(i) {
			}
		}
		previous, end := offset-1, 0
		for i, at := range r.Offsets {
			if at <= previous || r.Ends[i] < end || r.Ends[i] > len(r.Values) {
				t.Fatalf("record %d: offset %d, end %d", i, at, r.Ends[i])
			}
			previous, end = at, r.Ends[i]
		}
	})
}

func FuzzParseFetchResponse(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 'e', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9,
		0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2, 1, 2}, int16(11))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
		0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 3, 1, 2, 0, 0, 0}, int16(idFetchVersion))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
		0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 1, 0, 13, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0}, int16(idFetchVersion))
	f.Fuzz(func(t *testing.T, data []byte, version int16) {
		res, err := parseFetchResponse(data, version%(idFetchVersion+1), nil)
		if err == nil && len(res.batches) > len(data) {
			t.Fatal("more batches than bytes")
		}
		if err == nil && res.divergesAt < -1 {
			t.Fatalf("the log diverges at %d", res.divergesAt)
		}
	})
}

func BenchmarkDecodeBatch(b *testing.B) {
	const events = 10_000
	values := slices.Repeat([]string{`{"date":"2001-03-31 21:40:00","delay":-8,"distance":480,"origin":"SAN","destination":"SJC"}`}, events)
	for _, codec := range []compress.Compression{compress.None, compress.Lz4, compress.Zstd} {
		batch := encoded(b, codec, 0, values...)
		b.Run(codec.String(), func(b *testing.B) {
			d := decoder{maxBatchBytes: 1 << 30}
			var r connectors.Records
			b.ReportAllocs()
			for b.Loop() {
				r.Reset()
				r.Next = 0
				if _, err := d.decode(batch, 1<<30, &r); err != nil || r.Len() != events {
					b.Fatal(err, r.Len())
				}
			}
			b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
	}
}
