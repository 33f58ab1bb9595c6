package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

var codecs = []format.CompressionCodec{format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd, format.Lz4Raw, format.Lz4}

func compressed(t testing.TB, codec format.CompressionCodec, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	block := func() []byte {
		dst := make([]byte, lz4.CompressBlockBound(len(data)))
		n, err := lz4.CompressBlock(data, dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 { // not compressible: all literals
			return literals(data)
		}
		return dst[:n]
	}
	switch codec {
	case format.Uncompressed:
		return data
	case format.Snappy:
		return snappy.Encode(nil, data)
	case format.Gzip:
		w := gzip.NewWriter(&out)
		_, _ = w.Write(data)
		_ = w.Close()
	case format.Brotli:
		w := brotli.NewWriter(&out)
		_, _ = w.Write(data)
		_ = w.Close()
	case format.Zstd:
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(data, nil)
	case format.Lz4Raw:
		return block()
	case format.Lz4:
		b := block()
		frame := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
		return append(binary.BigEndian.AppendUint32(frame, uint32(len(b))), b...)
	}
	return out.Bytes()
}

// literals is an LZ4 block without matches.
func literals(data []byte) []byte {
	if len(data) < 15 {
		return append([]byte{byte(len(data) << 4)}, data...)
	}
	out := []byte{0xf0}
	rest := len(data) - 15
	for ; rest >= 255; rest -= 255 {
		out = append(out, 255)
	}
	return append(append(out, byte(rest)), data...)
}

func newDecompressor(t testing.TB) *Decompressor {
	t.Helper()
	z, err := NewZstd()
	if err != nil {
		t.Fatal(err)
	}
	return New(z)
}

func TestPagesComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	d := newDecompressor(t)
	for _, codec := range codecs {
		var dst []byte
		for name, data := range map[string][]byte{"zeros": make([]byte, 1<<20), "noise": noise, "text": []byte(strings.Repeat("ATL LAX ", 5000)), "one": {7}, "none": {}} {
			src := compressed(t, codec, data)
			out, err := d.Page(codec, dst, src, len(data))
			if err != nil || !bytes.Equal(out, data) {
				t.Errorf("%v of %s: %d bytes instead of %d: %v", codec, name, len(out), len(data), err)
				continue
			}
			if cap(out) < len(out)+Padding {
				t.Errorf("%v of %s: no padding", codec, name)
			}
			dst = out
			for _, size := range []int{len(data) - 1, len(data) + 1} {
				if size < 0 {
					continue
				}
				if out, err := d.Page(codec, nil, src, size); err == nil {
					t.Errorf("%v of %s: %d bytes taken for %d", codec, name, len(out), size)
				}
			}
			if codec != format.Uncompressed && len(src) > 1 {
				if _, err := d.Page(codec, nil, src[:len(src)/2], len(data)); err == nil && len(data) > 1 {
					t.Errorf("%v of %s: half of it was enough", codec, name)
				}
			}
		}
	}
}

func TestClaimsAreRefusedBeforeMemoryIsTaken(t *testing.T) {
	d := newDecompressor(t)
	var before, after runtime.MemStats
	for _, codec := range codecs {
		src := compressed(t, codec, []byte("a few bytes of data"))
		runtime.ReadMemStats(&before)
		_, err := d.Page(codec, nil, src, metadata.MaxPageBytes)
		runtime.ReadMemStats(&after)
		if err == nil || after.TotalAlloc-before.TotalAlloc > 8<<20 {
			t.Errorf("%v: %d bytes allocated: %v", codec, after.TotalAlloc-before.TotalAlloc, err)
		}
	}
}

func TestHadoopFramesMayBeManyOrMissing(t *testing.T) {
	data := []byte(strings.Repeat("hadoop ", 300))
	two := append(compressed(t, format.Lz4, data[:1000]), compressed(t, format.Lz4, data[1000:])...)
	for name, src := range map[string][]byte{"two frames": two, "no frame": compressed(t, format.Lz4Raw, data)} {
		if out, err := newDecompressor(t).Page(format.Lz4, nil, src, len(data)); err != nil || !bytes.Equal(out, data) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownCodecs(t *testing.T) {
	if _, err := newDecompressor(t).Page(format.LZO, nil, []byte("x"), 1); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

func FuzzPage(f *testing.F) {
	for i, codec := range codecs {
		f.Add(uint8(i), compressed(f, codec, []byte(strings.Repeat("page ", 40))), 200)
	}
	d := newDecompressor(f)
	f.Fuzz(func(t *testing.T, codec uint8, src []byte, size int) {
		if size < 0 || size > 1<<24 {
			return
		}
		out, err := d.Page(codecs[int(codec)%len(codecs)], nil, src, size)
		if err == nil && len(out) != size {
			t.Fatalf("%d bytes instead of %d", len(out), size)
		}
	})
}
