package kafka

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// zstdFrame begins a frame whose window is 2^log bytes and holds no block.
func zstdFrame(log int) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, byte(log-10) << 3, 0x01, 0x00, 0x00}
}

func TestABatchIsNotBelievedWhenItClaimsGigabytes(t *testing.T) {
	huge := binary.AppendUvarint(nil, 0xfffffff0)
	framed := append(append([]byte(nil), xerial...), 0, 0, 0, 1, 0, 0, 0, 1)
	framed = binary.BigEndian.AppendUint32(framed, uint32(len(huge)))
	for _, c := range []struct {
		name  string
		codec compress.Compression
		data  []byte
	}{
		{"a snappy block", compress.Snappy, append(huge, "xxxx"...)},
		{"a framed snappy block", compress.Snappy, append(framed, huge...)},
		{"a zstd window", compress.Zstd, zstdFrame(29)},
	} {
		var f inflater
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, whole, err := f.inflate(c.data, int(c.codec), 1<<20)
		runtime.ReadMemStats(&after)
		if len(out) != 0 || whole || err != nil {
			t.Errorf("%s: %d bytes, whole %v, %v", c.name, len(out), whole, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: %d bytes were allocated", c.name, n)
		}
	}
}

func TestWhatIsWithinTheBoundIsInflatedWhole(t *testing.T) {
	text := strings.Repeat("a flight from SFO to LAX; ", 30_000)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var f inflater
	for range 3 { // with what is left of the round before
		for codec, data := range map[compress.Compression][]byte{
			compress.Snappy: snappy.Encode(nil, []byte(text)),
			compress.Zstd:   z.EncodeAll([]byte(text), nil),
		} {
			out, whole, err := f.inflate(data, int(codec), 1<<20)
			if string(out) != text || !whole || err != nil {
				t.Errorf("codec %d: %d of %d bytes, whole %v, %v", codec, len(out), len(text), whole, err)
			}
			if out, whole, err := f.inflate(data, int(codec), 1000); len(out) > 1000 || whole || err != nil {
				t.Errorf("codec %d beyond the bound: %d bytes, whole %v, %v", codec, len(out), whole, err)
			}
		}
	}
}
