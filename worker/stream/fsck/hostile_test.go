package fsck

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
)

// allocated returns how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestDamagedFilesNeitherEndTheProcessNorFillItsMemory changes one byte of a file
// after the other.
func TestDamagedFilesNeitherEndTheProcessNorFillItsMemory(t *testing.T) {
	var rows []testRow
	for i := range int64(300) {
		rows = append(rows, testRow{i, 3})
	}
	whole, refused := parquetOf(t, rows, "abc"), 0
	if f, err := readParquet(whole); err != nil || f.rows != 300 {
		t.Fatal(f, err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= byte(1 + rng.IntN(255))
		n := allocated(func() {
			if _, err := readParquet(damaged); err != nil {
				refused++
			}
		})
		if n > 96<<20 {
			t.Errorf("with another byte at %d, reading allocates %d bytes", i, n)
		}
	}
	if refused < len(whole)/5 {
		t.Errorf("%d of %d damaged files are refused", refused, len(whole))
	}
}
