package clean

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// TestStepsThatOutgrowABatchAreExhaustedByName, whether one step makes too much or
// all of them together, of text or of numbers.
func TestStepsThatOutgrowABatchAreExhaustedByName(t *testing.T) {
	in := columns("s", "string", "i", "int64")
	const rows = 1 << 16
	batch := make([][]any, rows)
	for i := range batch {
		batch[i] = []any{fmt.Sprintf("%c%c%c", 'A'+i%300/26, 'A'+i%26, 'A'+i%7), int64(i)}
	}
	doubling := []string{stepOf(&Derive{Column: "c0", Expression: "s + s"})}
	for i := range 21 {
		doubling = append(doubling, stepOf(&Derive{Column: fmt.Sprintf("c%d", i+1), Expression: fmt.Sprintf("c%d + c%d", i, i)}))
	}
	var numbers []string
	for i := range 520 {
		numbers = append(numbers, stepOf(&Derive{Column: fmt.Sprintf("n%d", i), Expression: fmt.Sprintf("i + %d", i)}))
	}
	shared := numbers[:0:0]
	for i := range 300 {
		shared = append(shared, stepOf(&Derive{Column: fmt.Sprintf("t%d", i), Expression: "s"}))
	}
	for _, c := range []struct {
		what  string
		steps []string
		phase pipeline.Phase
		says  string // "" where it fits
	}{
		{"strings that double", doubling, pipeline.InTraining, " derive: the steps so far make more than 256 MiB of one batch"},
		{"strings that double, of events", doubling, pipeline.InScoring, " derive: the steps so far make more than 64 MiB of one batch"},
		{"many columns", numbers, pipeline.InTraining, "step 513 derive: the steps so far make more than 256 MiB of one batch"},
		{"many columns of events", numbers, pipeline.InScoring, "step 129 derive: the steps so far make more than 64 MiB of one batch"},
		{"fewer columns of events", numbers[:120], pipeline.InScoring, ""},
		{"columns that share their text", shared, pipeline.InScoring, ""},
	} {
		chain := New(planOf(t, in, c.steps...), c.phase)
		all := tabletest.Batch(memory.DefaultAllocator, chain.Input(), 0, batch...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err := chain.Apply(t.Context(), all, nil)
		runtime.ReadMemStats(&after)
		all.Release()
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.says == "":
			out.Release()
		case !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(err.Error(), "clean: step ") || !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: error %v, which shall say %q", c.what, err, c.says)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 2048 {
			t.Errorf("%s: cleaning took %d MiB in all", c.what, took)
		}
	}
}
