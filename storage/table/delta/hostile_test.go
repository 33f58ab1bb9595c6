package delta_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/table/delta"
)

// TestADamagedCheckpointOfAnotherWriterNeitherEndsTheProcessNorFillsItsMemory
// changes one byte of every 13 of a checkpoint that has no sum.
func TestADamagedCheckpointOfAnotherWriterNeitherEndsTheProcessNorFillsItsMemory(t *testing.T) {
	whole, err := os.ReadFile("testdata/delta-rs/_delta_log/00000000000000000003.checkpoint.parquet")
	if err != nil {
		t.Fatal(err)
	}
	rng, refused := rand.New(rand.NewPCG(1, 2)), 0
	for i := 0; i < len(whole); i += 13 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= byte(1 + rng.IntN(255))
		b := memory.New()
		if _, err := b.Put(t.Context(), "sink/_delta_log/00000000000000000003.checkpoint.parquet", damaged); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := delta.New(b, "sink/").Load(t.Context())
		runtime.ReadMemStats(&after)
		if err != nil && !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("with another byte at %d: %v", i, err)
		} else if err != nil {
			refused++
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 96<<20 {
			t.Errorf("with another byte at %d, reading allocates %d bytes", i, n)
		}
	}
	if refused < len(whole)/13/5 {
		t.Errorf("%d damaged checkpoints are refused", refused)
	}
}
