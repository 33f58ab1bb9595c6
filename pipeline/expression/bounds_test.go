package expression_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// doubled returns an expression that joins a string with itself so many times
// over.
func doubled(s string, times int) string {
	for range times {
		s = "(" + s + "+" + s + ")"
	}
	return s
}

// TestStringsThatOutgrowABatchEndItsEvaluation, before they have taken the memory
// that they would.
func TestStringsThatOutgrowABatchEndItsEvaluation(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "s", Type: table.String}, {Name: "i", Type: table.Int64}, {Name: "b", Type: table.Bool}}}
	rows := make([][]any, 64)
	for i := range rows {
		rows[i] = []any{strings.Repeat(string(rune('0'+i)), 256<<10), int64(i), true}
	}
	long := tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...)
	defer long.Release()
	many := make([][]any, 1<<16)
	for i := range many {
		many[i] = []any{string(rune(0x4e00+i%8192)) + string(rune(0x4e00+i/8192)), int64(i), i%2 == 0}
	}
	short := tabletest.Batch(memory.DefaultAllocator, schema, 0, many...)
	defer short.Release()

	choice := "s"
	for range 7 {
		choice = "(b ? " + choice + ": " + choice + ")"
	}
	for what, source := range map[string]string{
		"joins":                       doubled("s", 6),
		"joins with what is chosen":   doubled("(b ? s : string(i))", 5),
		"joins of texts of numbers":   doubled("(s + string(i))", 5),
		"replacements by entry":       `replace(s, "0", "0123") + replace(s, "1", "0123") + replace(s[1:], "", "-" ) + s + s + s + s`,
		"replacements by row":         `replace(s, "x", string(i)) + (replace(s, "y", string(i)) + replace(s, "z", string(i) + replace(s, "", "")) )+ replace(s, "q", s[0:1]) + s`,
		"parts by row":                `split(s, string(i) + "?")[0] + split(s, string(i) + "!")[0] + s + s + s`,
		"what is chosen of one thing": choice,
	} {
		p, err := expression.Compile(source, schema, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		batch := long
		if source == choice {
			batch = short
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = p.Eval(batch)
		runtime.ReadMemStats(&after)
		if !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(err.Error(), "256 MiB") {
			t.Errorf("%s: error %v", what, err)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 1024 {
			t.Errorf("%s: the evaluation took %d MiB in all", what, took)
		}
	}
}

func TestAStringOfTooManyPartsHasNone(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "s", Type: table.String}}}
	p, err := expression.Compile(`split(s, "-")[0]`, schema, nil)
	if err != nil {
		t.Fatal(err)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, schema, 0,
		[]any{"a-b"}, []any{"c" + strings.Repeat("-", 1<<16-1)}, []any{"d" + strings.Repeat("-", 1<<16)})
	defer batch.Release()
	a, err := p.Eval(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	for i, want := range []any{"a", "c", nil} {
		if got := tabletest.Value(a, i); got != want {
			t.Errorf("row %d: %v, want %v", i, got, want)
		}
	}
}

// TestALiteralCannotBeMadeLongerThanAText: a spec of a few KiB would else compile
// to a megabyte for each of its steps.
func TestALiteralCannotBeMadeLongerThanAText(t *testing.T) {
	text := strings.Repeat("a", 100)
	if _, err := expression.Compile(`replace("`+text+`", "a", "`+text+`")`, table.Schema{}, nil); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "10000 bytes") {
		t.Errorf("error %v", err)
	}
}
