package profile_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/profile"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

var wild = table.Schema{Columns: []table.Column{
	{Name: "few", Type: table.Int64}, {Name: "many", Type: table.Int64}, {Name: "real", Type: table.Float64},
	{Name: "truth", Type: table.Bool}, {Name: "at", Type: table.Timestamp}, {Name: "text", Type: table.String},
	{Name: "names", Type: table.String}, {Name: "list", Type: table.Float64List}, {Name: "none", Type: table.Int64},
}, Unsupported: []table.UnsupportedColumn{{Name: "empty", Type: table.AllNull}, {Name: "maps", Type: "map<utf8, int64>"}}}

// wildRows returns rows of whatever there is: of some columns more values than are
// counted each, which are some 32,768.
func wildRows(n int, seed uint64) [][]any {
	random := rand.New(rand.NewPCG(seed, 1))
	words := []any{"", " ", "a", "ä", "日本", "a\x00b", "true", "12", "1e9", "\xff", strings.Repeat("ü", 200), nil}
	reals := []any{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1), 0.0, nil}
	whole := []any{int64(math.MaxInt64), int64(math.MinInt64), int64(math.MaxInt64 - 1), int64(0), nil}
	rows := make([][]any, n)
	for i := range rows {
		one := func(odd []any, other any) any {
			if random.IntN(4) == 0 {
				return odd[random.IntN(len(odd))]
			}
			return other
		}
		rows[i] = []any{one(whole, int64(random.IntN(50))), one(whole, random.Int64()), one(reals, random.NormFloat64()),
			one([]any{nil}, i%3 == 0), one([]any{nil}, random.Int64N(1e15)), one(words, "w"), one(words, fmt.Sprint("name ", random.IntN(1<<30))),
			one([]any{nil, []any{}, []any{nil}}, []any{1.5, float64(random.IntN(3))}), nil}
	}
	return append(rows, rows[:n/10]...)
}

func built(rows [][]any, batch int) *profile.Builder {
	b := profile.New(wild)
	for from := 0; from < len(rows); from += batch {
		rec := tabletest.Batch(memory.DefaultAllocator, wild, 0, rows[from:min(from+batch, len(rows))]...)
		b.Observe(rec)
		rec.Release()
	}
	return b
}

func encoded(t *testing.T, b *profile.Builder) string {
	t.Helper()
	data, err := json.Marshal(b.Profile())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Rows in another order, cut elsewhere, and merged from parts in any order give the
// same bytes, whether values were few or too many to be counted.
func TestTheSameRowsGiveTheSameProfileInAnyOrderAndCutting(t *testing.T) {
	for _, n := range []int{0, 1, 300, 45_000} {
		rows := wildRows(n, 5)
		want := encoded(t, built(rows, 8192))
		random := rand.New(rand.NewPCG(7, uint64(n)))
		random.Shuffle(len(rows), func(i, k int) { rows[i], rows[k] = rows[k], rows[i] })
		parts := []*profile.Builder{built(rows[:n/7], 1000), built(nil, 1), built(rows[n/7:n/2], 777), built(rows[n/2:], 20_000)}
		for range 2 {
			random.Shuffle(len(parts), func(i, k int) { parts[i], parts[k] = parts[k], parts[i] })
			all := built(nil, 1)
			for _, p := range parts {
				all.Merge(p)
			}
			if got := encoded(t, all); got != want {
				t.Fatalf("%d rows: got\n%.3000s\nwant\n%.3000s", n, got, want)
			}
		}
	}
}

// What is said of few values is what counting them gives.
func TestAProfileIsWhatCountingGives(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "x", Type: table.Float64}, {Name: "s", Type: table.String}, {Name: "big", Type: table.Int64}}}
	random := rand.New(rand.NewPCG(2, 3))
	var values []float64
	var rows [][]any
	counts := map[string]int64{}
	for range 5000 {
		x := math.Round(random.NormFloat64()*1000) / 8
		word := string(rune('a' + random.IntN(20)*random.IntN(2)))
		values, rows = append(values, x), append(rows, []any{x, word, int64(math.MaxInt64) - int64(random.IntN(3))})
		counts[word]++
	}
	rows = append(rows, []any{nil, nil, nil}, []any{math.NaN(), "", nil}, []any{nil, nil, nil})
	b := profile.New(schema)
	b.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...))
	p := b.Profile()
	x, s, big := p.Columns[0], p.Columns[1], p.Columns[2]
	slices.Sort(values)
	var sum, squares float64
	for _, v := range values {
		sum += v
	}
	mean := sum / 5000
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	if p.Rows != 5003 || x.Nulls != 2 || x.NaN != 1 || s.Nulls != 2 || s.Text.Empty != 1 || p.Duplicates < 1 || !p.DuplicatesExact {
		t.Errorf("counts: %+v", p)
	}
	if math.Abs(x.Numbers.Mean-mean) > 1e-9 || math.Abs(x.Numbers.Deviation-math.Sqrt(squares/5000)) > 1e-9 {
		t.Errorf("mean %v, deviation %v; want %v, %v", x.Numbers.Mean, x.Numbers.Deviation, mean, math.Sqrt(squares/5000))
	}
	for _, q := range x.Numbers.Quantiles {
		rank := q.Share * 4999
		low := int(rank)
		want := values[low] + (rank-float64(low))*(values[min(low+1, 4999)]-values[low])
		if math.Abs(q.Value-want) > 1e-9 {
			t.Errorf("quantile %v is %v, want %v", q.Share, q.Value, want)
		}
	}
	h := x.Numbers.Histogram
	inside := h.Below + h.Above
	for i, n := range h.Counts {
		inside += n
		var want int64
		for _, v := range values {
			if v >= h.Edge(i) && (v < h.Edge(i+1) || i == len(h.Counts)-1 && v <= h.To) {
				want++
			}
		}
		if n != want {
			t.Errorf("bin %d has %d values, want %d", i, n, want)
		}
	}
	var all int64
	for _, c := range x.Numbers.Cells {
		all += c.Count
	}
	if inside != 5000 || all != 5000 {
		t.Errorf("%d values in the histogram, %d in cells", inside, all)
	}
	if s.Distinct != int64(len(counts))+1 || s.Top[0].Count != counts[s.Top[0].Value] || s.Min != "" || s.Text.Longest != 1 {
		t.Errorf("text: %+v", s)
	}
	if big.Distinct != 3 || big.Max != "9223372036854775807" || big.Min != "9223372036854775805" {
		t.Errorf("values next to each other beyond 2^53 are told apart: %+v", big)
	}
}

// Of many values, the number of different ones is near, and so are rows that are there
// before.
func TestEstimatesAreWithinTheirStatedErrors(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "n", Type: table.Int64}, {Name: "s", Type: table.String}}}
	for _, different := range []int{32_000, 40_000, 120_000} {
		b := profile.New(schema)
		var rows [][]any
		for i := range different {
			rows = append(rows, []any{int64(i * i), fmt.Sprint(i)})
			if i%2 == 0 { // a third of the rows are there before
				rows = append(rows, rows[len(rows)-1])
			}
			if len(rows) > 30_000 || i == different-1 {
				b.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...))
				rows = nil
			}
		}
		p := b.Profile()
		for _, c := range p.Columns {
			if off := math.Abs(float64(c.Distinct)/float64(different) - 1); off > 0.03 || c.DistinctExact && off > 0 {
				t.Errorf("column %s: %d different values, want %d", c.Name, c.Distinct, different)
			}
		}
		if off := math.Abs(float64(p.Duplicates)/float64(different/2) - 1); off > 0.03 || p.DuplicatesExact && off > 0 {
			t.Errorf("%d rows there before, want %d", p.Duplicates, different/2)
		}
	}
}

// Texts that are something else are told from those that are not.
func TestTextsAreToldByWhatTheyAreWrittenAs(t *testing.T) {
	for want, texts := range map[string][]string{
		"whole numbers":            {"1", "-20", "+3", "", "0"},
		"numbers":                  {"1", "2.5", "-1e9", ".5"},
		"numbers with separators":  {"1,234.50", "12.345,6", "1 234 567", "0,5", "-1,000"},
		"times":                    {"2024-01-31", "2024-01-31 10:00:00", "2024-01-31T10:00:00Z"},
		"dates in a declared form": {"31.12.2024", "1/2/24", "2024/12/31 10:00"},
		"booleans":                 {"yes", "No", "", "YES"},
		"":                         {"007", "042", "abc", "1.2.3.4.5", "n/a", "12 apples", "NaN", "0x10"},
	} {
		schema := table.Schema{Columns: []table.Column{{Name: "s", Type: table.String}}}
		b := profile.New(schema)
		for _, s := range texts {
			b.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, []any{s}))
		}
		if got := b.Profile().Columns[0].Text.Likely; got != want {
			t.Errorf("%q are %q, want %q", texts, got, want)
		}
	}
}

// A name or a value with a line end, a tab or an escape does not leave its cell.
func TestATableIsNotBrokenByWhatIsInIt(t *testing.T) {
	hostile := "a\tb\nc\x1b[31m\u202e"
	schema := table.Schema{Columns: []table.Column{{Name: hostile, Type: table.String}}}
	b := profile.New(schema)
	b.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, []any{hostile}, []any{hostile}))
	var out strings.Builder
	b.Profile().WriteTable(&out)
	if text := out.String(); strings.ContainsAny(text, "\x1b\u202e") || strings.Count(text, "\n") != 5 {
		t.Errorf("got %q", text)
	}
}

// Times as far apart as there are have a deviation that can be read.
func TestTimesFarApartAreShown(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "at", Type: table.Timestamp}}}
	b := profile.New(schema)
	b.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, []any{table.MinMicros}, []any{table.MaxMicros}))
	var out strings.Builder
	b.Profile().WriteTable(&out)
	for _, want := range []string{"0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999…", "1.826e+06 days"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

// However many different values there are, memory stays below what DESIGN.md states.
func TestMemoryIsBoundedWhateverTheRows(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "n", Type: table.Int64}, {Name: "x", Type: table.Float64}, {Name: "s", Type: table.String}}}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b := profile.New(schema)
	var rows [][]any
	for i := range 200_000 {
		rows = append(rows, []any{int64(i) << 20, math.Sqrt(float64(i)), fmt.Sprintf("%0100d", i)})
		if len(rows) == 5000 {
			b.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...))
			rows = rows[:0]
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > (3*8+8)<<20 {
		t.Errorf("%d bytes are held", held)
	}
	runtime.KeepAlive(b)
}
