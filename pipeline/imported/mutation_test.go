package imported

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline/imported/importedtest"
)

// The bounds of one damaged model file of some kilobytes.
const (
	maxMutationTime  = 10 * time.Second
	maxMutationBytes = 512 << 20 // allocated in all, so never more at once
)

// mutated damages a model in one to four places: bytes, digits and what stands elsewhere.
func mutated(r *rand.Rand, data []byte) []byte {
	out := slices.Clone(data)
	for range 1 + r.IntN(4) {
		if len(out) == 0 {
			break
		}
		at := r.IntN(len(out))
		switch r.IntN(8) {
		case 0:
			out[at] ^= 1 << r.IntN(8)
		case 1:
			out[at] = "0123456789-+.eE[]{}\",: =\n"[r.IntN(25)]
		case 2: // a large number
			out = slices.Insert(out, at, []byte([]string{"99999999", "2147483647", "-1", "1e308", "nan"}[r.IntN(5)])...)
		case 3: // something from elsewhere
			from := r.IntN(len(out))
			out = slices.Insert(out, at, slices.Clone(out[from:min(from+64, len(out))])...)
		case 4:
			out = slices.Delete(out, at, min(at+1+r.IntN(64), len(out)))
		case 5: // another digit
			for i := at; i < len(out); i++ {
				if out[i] >= '0' && out[i] <= '9' {
					out[i] = byte('0' + r.IntN(10))
					break
				}
			}
		case 6: // nested
			out = slices.Insert(out, at, slices.Repeat([]byte("["), 1+r.IntN(20_000))...)
		default:
			if r.IntN(8) == 0 {
				out = out[:at]
			}
		}
	}
	return out
}

// A damaged model is read whole or refused as Invalid, in bounded time and memory.
// MUTATION plays the mutation of one seed again.
func TestMutatedModelsAreReadWholeOrRefused(t *testing.T) {
	names := importedtest.Models(t)
	first, seeds := uint64(0), effort.Seeds(300, 100_000)
	if text := os.Getenv("MUTATION"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, seeds = seed, 1
	}
	refused := uint64(0)
	for seed := first; seed < first+seeds; seed++ {
		r := rand.New(rand.NewPCG(seed, 12))
		name := names[r.IntN(len(names))]
		data := mutated(r, importedtest.Model(t, name))
		replay := fmt.Sprintf("%s, play it again by MUTATION=%d go test -run %s ./pipeline/imported", name, seed, t.Name())
		watch := time.AfterFunc(maxMutationTime, func() { panic("no end: " + replay) })
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := readMutated(data)
		runtime.ReadMemStats(&after)
		watch.Stop()
		if n := after.TotalAlloc - before.TotalAlloc; n > maxMutationBytes {
			t.Errorf("%d bytes are allocated for a file of %d: %s", n, len(data), replay)
		}
		if err != nil {
			if refused++; !thalweg.Is(err, thalweg.Invalid) {
				t.Errorf("%v: %s", err, replay)
			}
		}
	}
	if seeds > 1 && refused < seeds/4 {
		t.Errorf("only %d of %d are refused: the damage reaches nothing", refused, seeds)
	}
}

// readMutated reads and uses a model; a panic is an error.
func readMutated(data []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	e, err := Parse("m", data)
	if err != nil {
		return err
	}
	again, err := Decode(e.Encode())
	if err != nil {
		return fmt.Errorf("what was written is not read: %w", err)
	}
	again.sum(map[string]any{"signed": 1.5, "letter": "x"})
	return nil
}
