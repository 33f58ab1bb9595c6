package average

import (
	"bytes"
	"io"
	"math"
	"reflect"
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

// body writes two replicas' elements [10, 10+n).
func body(t testing.TB, kind kernel.Vector, n int) ([]byte, []entry) {
	t.Helper()
	var entries []entry
	for r := range 2 {
		v := fill(kind.Zeros(n), r)
		entries = append(entries, entry{replica: 3 * r, contribution: contribution{weight: float64(r) + 0.5, vector: v, note: []byte("a note")[:6*r]}})
	}
	var out bytes.Buffer
	if err := writeBody(&out, 7, entries, stretch{10, 10 + n}); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != bodySize(entries) {
		t.Errorf("%d bytes, announced %d", out.Len(), bodySize(entries))
	}
	return out.Bytes(), entries
}

// readAll reads a body to its end.
func readAll(data []byte, kind kernel.Vector, n int) ([]entry, error) {
	r, err := readBody(bytes.NewReader(data), 7, elementOf(kind), []int{0, 3}, stretch{10, 10 + n})
	if err != nil {
		return nil, err
	}
	for i := range r.entries {
		r.entries[i].vector = kind.Zeros(n)
	}
	chunk := elementOf(kind).chunk()
	for at := 0; at < n; at += chunk {
		end := min(at+chunk, n)
		for _, e := range r.entries {
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
			data, want := body(t, kind, n)
			got, err := readAll(data, kind, n)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if got[i].replica != want[i].replica || got[i].weight != want[i].weight || !bytes.Equal(got[i].note, want[i].note) || !reflect.DeepEqual(got[i].vector, want[i].vector) {
					t.Errorf("type %d, %d elements: replica %d came back otherwise", k, n, want[i].replica)
				}
			}
		}
	}
}

func TestEveryDamageOfABodyIsNoticed(t *testing.T) {
	for k, kind := range kinds {
		data, _ := body(t, kind, 20)
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

func FuzzReadBody(f *testing.F) {
	for i, kind := range kinds {
		data, _ := body(f, kind, 3)
		f.Add(data, byte(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		entries, err := readAll(data, kinds[kind%3], 3)
		if err == nil && len(entries) != 2 {
			t.Fatalf("%+v", entries)
		}
	})
}
