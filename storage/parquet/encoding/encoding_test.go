package encoding

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/bytestreamsplit"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

// pieces splits n into random parts: decoders must keep their place anywhere.
func pieces(rng *rand.Rand, n int, each func(n int)) {
	for n > 0 {
		m := min(n, 1+rng.IntN(1+rng.IntN(400)))
		each(m)
		n -= m
	}
}

// runs returns n integers below limit, some of them in runs.
func runs(rng *rand.Rand, n int, limit uint64) []uint32 {
	var out []uint32
	for len(out) < n {
		v := uint32(rng.Uint64N(limit))
		for range min(n-len(out), 1+rng.IntN(3)*rng.IntN(30)) {
			out = append(out, v)
		}
	}
	return out
}

func TestHybridReadsWhatParquetGoWrites(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		width := 1 + rng.IntN(32)
		values := runs(rng, 1+rng.IntN(2000), 1<<width)
		signed := make([]int32, len(values))
		for i, v := range values {
			signed[i] = int32(v)
		}
		data, err := (&rle.Encoding{BitWidth: width}).EncodeInt32(nil, signed)
		if err != nil {
			t.Fatal(err)
		}
		var h Hybrid
		if err := h.Reset(slices.Clip(data), uint(width)); err != nil {
			t.Fatal(err)
		}
		var got []uint32
		pieces(rng, len(values), func(n int) {
			part := make([]uint32, n)
			if err := h.Read(part); err != nil {
				t.Fatal(err)
			}
			got = append(got, part...)
		})
		if !slices.Equal(got, values) {
			t.Fatalf("seed %d, width %d", seed, width)
		}
	}
}

func TestHybridEdges(t *testing.T) {
	read := func(data []byte, width uint, n int) ([]uint32, error) {
		var h Hybrid
		if err := h.Reset(data, width); err != nil {
			return nil, err
		}
		out := make([]uint32, n)
		return out, h.Read(out)
	}
	if got, err := read([]byte{200, 1}, 0, 100); err != nil || got[99] != 0 { // 100 values of no bits
		t.Errorf("width 0: %v, %v", got, err)
	}
	if got, err := read([]byte{0x03, 0x0f}, 1, 5); err != nil || !slices.Equal(got, []uint32{1, 1, 1, 1, 0}) {
		t.Errorf("packed: %v, %v", got, err)
	}
	// A last group that was cut short holds as many values as its bytes.
	if got, err := read([]byte{0x03, 0x21, 0x03}, 4, 4); err != nil || !slices.Equal(got, []uint32{1, 2, 3, 0}) {
		t.Errorf("cut short: %v, %v", got, err)
	}
	for name, c := range map[string]struct {
		data  []byte
		width uint
		n     int
	}{
		"nothing": {nil, 3, 1}, "empty runs": {[]byte{0, 1, 0, 1}, 8, 1}, "no value": {[]byte{4}, 8, 1}, "cut too short": {[]byte{0x03, 0x21, 0x03}, 4, 5},
		"width": {[]byte{2, 1}, 33, 1}, "endless length": {bytes.Repeat([]byte{0xff}, 12), 1, 1}, "fewer values": {[]byte{4, 1}, 1, 3},
	} {
		if got, err := read(c.data, c.width, c.n); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	var h Hybrid
	var b Bitmap
	if err := h.Reset([]byte{4, 2}, 1); err != nil || h.ReadBits(&b, 1) == nil {
		t.Error("a level of 2 where 1 is the highest")
	}
}

func TestBitmapIsABitmap(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var b Bitmap
		for range 2 { // the second time in used memory
			b.Reset()
			var model []bool
			for range rng.IntN(20) {
				n := rng.IntN(100)
				if rng.IntN(6) == 0 {
					n = min(n, len(model))
					var moved Bitmap
					b.MoveLast(n, &moved)
					cut := model[len(model)-n:]
					model = model[:len(model)-n]
					for i, v := range cut {
						if got := moved.Zeros() == 0 || moved.Get(i); got != v {
							t.Fatalf("seed %d: bit %d of %d moved", seed, i, n)
						}
					}
					if moved.Len() != n {
						t.Fatalf("seed %d: %d bits moved instead of %d", seed, moved.Len(), n)
					}
					continue
				}
				if rng.IntN(2) == 0 {
					v := rng.IntN(3) > 0
					b.Repeat(v, n)
					for range n {
						model = append(model, v)
					}
					continue
				}
				src := make([]byte, 20)
				for i := range src {
					src[i] = byte(rng.Uint32()) | byte(rng.IntN(2)*255)
				}
				at := rng.IntN(50)
				b.Copy(src, at, n)
				for i := range n {
					model = append(model, src[(at+i)/8]>>((at+i)%8)&1 != 0)
				}
			}
			zeros := 0
			for i, v := range model {
				if !v {
					zeros++
				}
				_ = i
			}
			if b.Len() != len(model) || b.Zeros() != zeros {
				t.Fatalf("seed %d: %d bits, %d zeros instead of %d, %d", seed, b.Len(), b.Zeros(), len(model), zeros)
			}
			if zeros > 0 {
				for i, v := range model {
					if b.Get(i) != v {
						t.Fatalf("seed %d: bit %d", seed, i)
					}
				}
			}
			if n := len(model); n > 0 {
				from := rng.IntN(n)
				to := from + rng.IntN(n-from+1)
				ones := 0
				for _, v := range model[from:to] {
					if v {
						ones++
					}
				}
				if got := b.Ones(from, to); got != ones {
					t.Fatalf("seed %d: %d ones in [%d, %d) instead of %d", seed, got, from, to, ones)
				}
			}
		}
	}
}

// integers returns values whose differences are of every size.
func integers(rng *rand.Rand, n int) []int64 {
	out := make([]int64, n)
	shift := rng.IntN(64)
	for i := range out {
		out[i] = rng.Int64() >> shift
		if rng.IntN(2) == 0 {
			out[i] = -out[i]
		}
		if rng.IntN(500) == 0 {
			out[i] = []int64{math.MinInt64, math.MaxInt64}[rng.IntN(2)]
		}
	}
	return out
}

func TestDeltaReadsWhatParquetGoWrites(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		want := integers(rng, rng.IntN(1000))
		data, err := new(delta.BinaryPackedEncoding).EncodeInt64(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		tail := []byte("what follows")
		var d Delta
		if err := d.Reset(append(slices.Clip(data), tail...)); err != nil || d.Total() != len(want) {
			t.Fatalf("seed %d: %d values of %d: %v", seed, d.Total(), len(want), err)
		}
		if after, err := d.After(); err != nil || !bytes.Equal(after, tail) {
			t.Fatalf("seed %d: %q follows: %v", seed, after, err)
		}
		var got []int64
		pieces(rng, len(want), func(n int) {
			part := make([]int64, n)
			if err := d.Read(part); err != nil {
				t.Fatal(err)
			}
			got = append(got, part...)
		})
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d", seed)
		}
		if d.Read(make([]int64, 1)) == nil {
			t.Fatalf("seed %d: more values than there are", seed)
		}
		for range 20 { // whatever is cut off, nothing but an error
			if len(data) == 0 {
				break
			}
			short := slices.Clip(data[:rng.IntN(len(data))])
			if d.Reset(short) == nil {
				_, _ = d.After()
				_ = d.Read(make([]int64, min(len(want), d.Total())))
			}
		}
	}
}

func TestDeltaOf32BitsWrapsAround(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	want := make([]int32, 500)
	for i := range want {
		want[i] = int32(rng.Uint32())
	}
	want[100], want[101], want[102] = math.MinInt32, math.MaxInt32, math.MinInt32
	data, err := new(delta.BinaryPackedEncoding).EncodeInt32(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	f := Fixed{Physical: format.Int32, Width: 4}
	if err := f.Reset(format.DeltaBinaryPacked, data); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4*len(want))
	if err := f.Read(got, len(want)); err != nil || !slices.Equal(Words[int32](got), want) {
		t.Error(err)
	}
}

func TestDeltaRefusesImpossibleHeaders(t *testing.T) {
	header := func(v ...uint64) []byte {
		var out []byte
		for _, v := range v {
			out = binary.AppendUvarint(out, v)
		}
		return out
	}
	var d Delta
	for _, h := range [][]byte{header(0, 1, 1, 0), header(128, 0, 1, 0), header(128, 3, 1, 0), header(128, 32, 1, 0), header(1<<40, 1, 1, 0), header(128, 4, 1<<40, 0), header(128, 4), {0xff}} {
		if err := d.Reset(h); err == nil {
			t.Errorf("% x was taken", h)
		}
	}
	if err := d.Reset(append(header(128, 4, 40, 0), 0, 65, 0, 0, 0)); err != nil || d.Read(make([]int64, 40)) == nil {
		t.Error("a miniblock of 65 bits")
	}
}

// bytesOf returns random strings that share prefixes, and their ends.
func bytesOf(rng *rand.Rand, n int) (data []byte, offsets []uint32) {
	offsets = []uint32{0}
	for range n {
		data = append(data, fmt.Sprint("prefix-"[:rng.IntN(8)], rng.IntN(1<<rng.IntN(20)))...)
		if rng.IntN(10) == 0 {
			data = data[:offsets[len(offsets)-1]]
		}
		offsets = append(offsets, uint32(len(data)))
	}
	return data, offsets
}

func TestBytesReadWhatParquetGoWrites(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 5))
		want, offsets := bytesOf(rng, 1+rng.IntN(800))
		n := len(offsets) - 1
		for _, enc := range []format.Encoding{format.Plain, format.DeltaLengthByteArray, format.DeltaByteArray} {
			var data []byte
			var err error
			switch enc {
			case format.Plain:
				for i := range n {
					data = binary.LittleEndian.AppendUint32(data, offsets[i+1]-offsets[i])
					data = append(data, want[offsets[i]:offsets[i+1]]...)
				}
			case format.DeltaLengthByteArray:
				data, err = new(delta.LengthByteArrayEncoding).EncodeByteArray(nil, want, offsets)
			case format.DeltaByteArray:
				data, err = new(delta.ByteArrayEncoding).EncodeByteArray(nil, want, offsets)
			}
			if err != nil {
				t.Fatal(err)
			}
			var b Bytes
			if err := b.Reset(enc, slices.Clip(data)); err != nil {
				t.Fatal(err)
			}
			var got []byte
			var ends []int32
			pieces(rng, n, func(m int) {
				part := make([]int32, m)
				if got, err = b.Append(m, got, part, math.MaxInt32); err != nil {
					t.Fatal(err)
				}
				ends = append(ends, part...)
			})
			if !bytes.Equal(got, want) || len(ends) != n || ends[n-1] != int32(offsets[n]) {
				t.Fatalf("seed %d, %v", seed, enc)
			}
			if b.Reset(enc, data) != nil {
				t.Fatal("a second time")
			}
			if len(want) > 0 {
				if _, err := b.Append(n, nil, make([]int32, n), len(want)-1); !errors.Is(err, ErrTooLarge) {
					t.Fatalf("seed %d, %v, beyond the limit: %v", seed, enc, err)
				}
			}
			for range 20 {
				short := slices.Clip(data[:rng.IntN(len(data))])
				if b.Reset(enc, short) == nil {
					if _, err := b.Append(n, nil, make([]int32, n), math.MaxInt32); err == nil {
						t.Fatalf("seed %d, %v: %d bytes of %d were enough", seed, enc, len(short), len(data))
					}
				}
			}
		}
	}
}

func TestFixedReadsSplitStreams(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	want := make([]float64, 700)
	for i := range want {
		want[i] = rng.NormFloat64()
	}
	data, err := new(bytestreamsplit.Encoding).EncodeDouble(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	f := Fixed{Physical: format.Double, Width: 8}
	if err := f.Reset(format.ByteStreamSplit, data); err != nil {
		t.Fatal(err)
	}
	var got []float64
	pieces(rng, len(want), func(n int) {
		part := make([]byte, 8*n)
		if err := f.Read(part, n); err != nil {
			t.Fatal(err)
		}
		got = append(got, Words[float64](part)...)
	})
	if !slices.Equal(got, want) {
		t.Error("other values")
	}
	if f.Read(make([]byte, 8), 1) == nil {
		t.Error("more values than there are")
	}
	if f.Reset(format.ByteStreamSplit, data[1:]) == nil {
		t.Error("streams of different lengths")
	}
	for _, c := range []struct {
		enc      format.Encoding
		physical format.Type
	}{{format.DeltaBinaryPacked, format.Double}, {format.RLE, format.Int32}, {format.DeltaByteArray, format.Int64}, {format.ByteStreamSplit, format.Int96}, {99, format.Int32}} {
		f := Fixed{Physical: c.physical, Width: 8}
		if f.Reset(c.enc, data) == nil {
			t.Errorf("%v of %v", c.enc, c.physical)
		}
	}
}

// FuzzDecoders feeds every decoder arbitrary bytes: errors, not panics.
func FuzzDecoders(f *testing.F) {
	f.Add(uint8(0), []byte{3, 0x88, 0xc6, 0xfa, 4, 1})
	d, err := new(delta.BinaryPackedEncoding).EncodeInt64(nil, []int64{1, 5, -7, 1 << 40})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(1), d)
	text, err := new(delta.ByteArrayEncoding).EncodeByteArray(nil, []byte("abcabd"), []uint32{0, 3, 6})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(5), text)
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		const n = 1000
		ends := make([]int32, n)
		switch which % 6 {
		case 0:
			var h Hybrid
			if h.Reset(data, uint(which)/6) == nil {
				_ = h.Read(make([]uint32, n))
			}
		case 1:
			var d Delta
			if d.Reset(data) == nil {
				_, _ = d.After()
				_ = d.Read(make([]int64, min(n, d.Total())))
			}
		case 2:
			var b Bits
			var out Bitmap
			if b.Reset([]format.Encoding{format.Plain, format.RLE}[which/6%2], data) == nil {
				_ = b.Read(&out, n)
			}
		default:
			var b Bytes
			if b.Reset([]format.Encoding{format.Plain, format.DeltaLengthByteArray, format.DeltaByteArray}[which%6-3], data) == nil {
				out, err := b.Append(n, nil, ends, 1<<20)
				if err == nil && (len(out) > 1<<20 || int(ends[n-1]) != len(out)) {
					t.Fatalf("%d bytes, ends at %d", len(out), ends[n-1])
				}
			}
		}
	})
}
