package average

import (
	"bytes"
	"io"
	"math"
	"slices"
	"testing"
)

// body writes two replicas' elements [10, 10+n).
func body(t testing.TB, n int) ([]byte, []entry) {
	t.Helper()
	var entries []entry
	for r := range 2 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(math.Sin(float64(i + r)))
		}
		entries = append(entries, entry{replica: 3 * r, contribution: contribution{weight: float64(r) + 0.5, vector: v, note: []byte("a note")[:6*r]}})
	}
	var out bytes.Buffer
	if err := writeBody(&out, 7, entries, 10, 10+n, func() {}); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != bodySize(entries) {
		t.Errorf("%d bytes, announced %d", out.Len(), bodySize(entries))
	}
	return out.Bytes(), entries
}

// readAll reads a body to its end.
func readAll(data []byte, n int) ([]entry, error) {
	r, err := readBody(bytes.NewReader(data), 7, []int{0, 3}, 10, 10+n)
	if err != nil {
		return nil, err
	}
	for at := 0; at < n; at += chunkFloats {
		k := min(chunkFloats, n-at)
		for i := range r.entries {
			part, err := r.next(k)
			if err != nil {
				return nil, err
			}
			v := make([]float32, k)
			decodeFloats(v, part)
			r.entries[i].vector = append(r.entries[i].vector, v...)
		}
	}
	return r.entries, r.end()
}

func TestBodiesComeBack(t *testing.T) {
	for _, n := range []int{0, 1, chunkFloats, 2*chunkFloats + 5} {
		data, want := body(t, n)
		got, err := readAll(data, n)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i].replica != want[i].replica || got[i].weight != want[i].weight || !bytes.Equal(got[i].note, want[i].note) || !slices.Equal(got[i].vector, want[i].vector) {
				t.Errorf("%d elements: replica %d came back otherwise", n, want[i].replica)
			}
		}
	}
}

func TestEveryDamageOfABodyIsNoticed(t *testing.T) {
	data, _ := body(t, 20)
	for i := range data {
		for _, flip := range []byte{1, 0x80} {
			bad := bytes.Clone(data)
			bad[i] ^= flip
			if _, err := readAll(bad, 20); err == nil {
				t.Errorf("byte %d flipped by %x: no error", i, flip)
			}
		}
		if _, err := readAll(data[:i], 20); err == nil || err == io.EOF {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if _, err := readAll(append(bytes.Clone(data), 0), 20); err == nil {
		t.Error("a byte too many: no error")
	}
}

func FuzzReadBody(f *testing.F) {
	data, _ := body(f, 3)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := readAll(data, 3)
		if err == nil && (len(entries) != 2 || len(entries[0].vector) != 3) {
			t.Fatalf("%+v", entries)
		}
	})
}
