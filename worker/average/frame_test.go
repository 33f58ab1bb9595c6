package average

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// kinds are empty vectors of each type.
var kinds = []kernel.Vector{{Float32: []float32{}}, {Float64: []float64{}}, {Int64: []int64{}}}

// fill sets the elements of a vector.
func fill(v kernel.Vector, r int) kernel.Vector {
	for i := range v.Float32 {
		v.Float32[i] = float32(math.Sin(float64(i + r)))
	}
	for i := range v.Float64 {
		v.Float64[i] = math.Sin(float64(i + r))
	}
	for i := range v.Int64 {
		v.Int64[i] = int64(i-r) << 40
	}
	return v
}

// body writes two replicas' elements [10, 10+n), with few that are not zero in a sparse
// one, and none in the first chunk of the second replica.
func body(t testing.TB, kind kernel.Vector, n int, sparse bool) ([]byte, []entry) {
	t.Helper()
	var entries []entry
	for r := range 2 {
		v := fill(kind.Zeros(n), r)
		if sparse {
			empty(v, 0, r*elementOf(kind).chunk())
			for i := 0; i < n; i += 7 {
				empty(v, i, i+6)
			}
			for i := range min(n, 3) {
				if v.Float32 != nil {
					v.Float32[i] = float32(math.Copysign(0, -1))
				}
			}
		}
		if r > 0 && kind.Int64 != nil {
			v = kernel.Vector{} // it is in the first
		}
		entries = append(entries, entry{replica: 3 * r, contribution: contribution{weight: float64(r) + 0.5, vector: v, note: []byte("a note")[:6*r]}})
	}
	var out bytes.Buffer
	if err := writeBody(&out, 7, entries, stretch{10, 10 + n}, sparse, new(packer)); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != bodySize(entries) && !sparse {
		t.Errorf("%d bytes, announced %d", out.Len(), bodySize(entries))
	}
	return out.Bytes(), entries
}

// empty sets elements to zero.
func empty(v kernel.Vector, from, to int) {
	v = v.Slice(min(from, v.Len()), min(to, v.Len()))
	clear(v.Float32)
	clear(v.Float64)
	clear(v.Int64)
}

// readAll reads a body to its end.
func readAll(data []byte, kind kernel.Vector, n int) ([]entry, error) {
	r, err := readBody(bytes.NewReader(data), 7, elementOf(kind), []int{0, 3}, stretch{10, 10 + n})
	if err != nil {
		return nil, err
	}
	for i := range r.entries {
		if i == 0 || kind.Int64 == nil {
			r.entries[i].vector = kind.Zeros(n)
		}
	}
	chunk := elementOf(kind).chunk()
	for at := 0; at < n; at += chunk {
		end := min(at+chunk, n)
		for _, e := range r.entries {
			if e.vector.Len() == 0 {
				continue
			}
			if err := r.read(e.vector.Slice(at, end)); err != nil {
				return nil, err
			}
		}
	}
	return r.entries, nil
}

func TestBodiesComeBack(t *testing.T) {
	for k, kind := range kinds {
		for _, n := range []int{0, 1, elementOf(kind).chunk(), 2*elementOf(kind).chunk() + 5} {
			for _, sparse := range []bool{false, true} {
				data, want := body(t, kind, n, sparse)
				got, err := readAll(data, kind, n)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if got[i].replica != want[i].replica || got[i].weight != want[i].weight || !bytes.Equal(got[i].note, want[i].note) ||
						!bytes.Equal(got[i].vector.Bytes(), want[i].vector.Bytes()) {
						t.Errorf("type %d, %d elements, sparse %v: replica %d came back otherwise", k, n, sparse, want[i].replica)
					}
				}
			}
		}
	}
}

func TestEveryDamageOfABodyIsNoticed(t *testing.T) {
	for k, kind := range slices.Concat(kinds, kinds) {
		data, _ := body(t, kind, 20, k >= len(kinds))
		for i := range data {
			for _, flip := range []byte{1, 0x80} {
				bad := bytes.Clone(data)
				bad[i] ^= flip
				if _, err := readAll(bad, kind, 20); err == nil {
					t.Errorf("byte %d flipped by %x: no error", i, flip)
				}
			}
			if _, err := readAll(data[:i], kind, 20); err == nil || err == io.EOF {
				t.Errorf("cut to %d bytes: %v", i, err)
			}
		}
		if _, err := readAll(append(bytes.Clone(data), 0), kind, 20); err == nil {
			t.Error("a byte too many: no error")
		}
		if _, err := readAll(data, kinds[(k+1)%3], 20); err == nil {
			t.Errorf("the body of type %d was taken for another's", k)
		}
	}
}

// A body says in few bytes that elements are zero, and is as before where they are not.
func TestZerosTakeABitOfABody(t *testing.T) {
	for _, kind := range kinds {
		n := 3*elementOf(kind).chunk() + 5
		data, entries := body(t, kind, n, true)
		if size := bodySize(entries); !isSparse(entries) || int64(len(data)) > size/4 {
			t.Errorf("%d of %d bytes, sparse %v", len(data), size, isSparse(entries))
		}
		if data, entries = body(t, kind, n, false); isSparse(entries) {
			t.Error("a dense body is taken for a sparse one")
		}
		chunks := 2 * 4
		if kind.Int64 != nil {
			chunks = 4
		}
		// Where the judgement is wrong it costs the lengths only.
		var out bytes.Buffer
		if err := writeBody(&out, 7, entries, stretch{10, 10 + n}, true, new(packer)); err != nil || out.Len() != len(data)+chunks*lengthBytes {
			t.Errorf("%d bytes, %d dense, %v", out.Len(), len(data), err)
		}
		if got, err := readAll(out.Bytes(), kind, n); err != nil || !reflect.DeepEqual(got[0].vector, entries[0].vector) || !reflect.DeepEqual(got[1].vector, entries[1].vector) {
			t.Errorf("dense chunks of a sparse body: %v", err)
		}
	}
}

// What is packed comes back for any count of elements and places of zeros, and has a bit
// for each and those that are not zero.
func TestPackedElementsComeBack(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	var p packer
	for _, width := range []int{4, 8} {
		for n := range 70 {
			memory, set := make([]byte, n*width), 0
			for i := range n {
				if random.IntN(6) == 0 {
					memory[i*width+random.IntN(width)] = 1 << random.IntN(8)
					set++
				}
			}
			packed, got := p.pack(memory, width), bytes.Repeat([]byte{7}, len(memory))
			if want := min((n+7)/8+set*width, len(memory)); len(packed) != want {
				t.Fatalf("%d bytes for %d elements of %d, not %d", len(packed), n, width, want)
			}
			if len(packed) < len(memory) && (!unpack(got, packed, width) || !bytes.Equal(got, memory)) {
				t.Fatalf("%d elements of %d bytes came back otherwise", n, width)
			}
		}
	}
}

// BenchmarkPacked packs and unpacks a chunk of which one element in so many is not zero.
func BenchmarkPacked(b *testing.B) {
	for _, one := range []int{4, 27, 1000} {
		random, memory := rand.New(rand.NewPCG(4, 4)), make([]byte, chunkBytes)
		for i := range len(memory) / 4 {
			if random.IntN(one) == 0 {
				memory[4*i] = 1
			}
		}
		var p packer
		b.Run(fmt.Sprintf("1 in %d", one), func(b *testing.B) {
			b.SetBytes(chunkBytes)
			for b.Loop() {
				p.pack(memory, 4)
			}
		})
		packed := bytes.Clone(p.pack(memory, 4))
		b.Run(fmt.Sprintf("back, 1 in %d", one), func(b *testing.B) {
			b.SetBytes(chunkBytes)
			for b.Loop() {
				unpack(memory, packed, 4)
			}
		})
	}
}

func FuzzReadBody(f *testing.F) {
	for i, kind := range kinds {
		for _, sparse := range []bool{false, true} {
			data, _ := body(f, kind, 3, sparse)
			f.Add(data, byte(i))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		entries, err := readAll(data, kinds[kind%3], 3)
		if err == nil && len(entries) != 2 {
			t.Fatalf("%+v", entries)
		}
	})
}
