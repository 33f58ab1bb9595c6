package shuffle

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

var rowSchema = table.Schema{Columns: []table.Column{{Name: "s", Type: table.String, Nullable: true}, {Name: "f", Type: table.Float64, Nullable: true},
	{Name: "i", Type: table.Int64, Nullable: true}, {Name: "b", Type: table.Bool, Nullable: true}, {Name: "t", Type: table.Timestamp, Nullable: true}}}

// found returns what a shuffle finds of rows, which are cut into shards of so many and
// batches of at most so many: rows as numbers of the whole dataset, and what they get.
func found(t interface{ Fatal(...any) }, dir string, rows [][]any, of pipeline.Shuffle, shards []int, batch, reducers, room int) ([]int, []string) {
	var starts []int
	sorters := make([]*Sorter, reducers)
	for i := range sorters {
		sorters[i] = NewSorter(dir, 0)
		sorters[i].room = room
		defer sorters[i].Close()
	}
	pieces := NewPieces(of, reducers, func(to, _ int, body []byte) (string, error) {
		_, err := sorters[to].AddPiece(body)
		return "", err
	})
	at := 0
	for shard, n := range shards {
		starts = append(starts, at)
		first := int64(0)
		for some := range slices.Chunk(rows[at:at+n], batch) {
			if err := pieces.Add(tabletest.Batch(memory.DefaultAllocator, rowSchema, first, some...), shard); err != nil {
				t.Fatal(err)
			}
			first += int64(len(some))
		}
		at += n
	}
	if _, err := pieces.Finish(); err != nil {
		t.Fatal(err)
	}
	var all pipeline.Settled
	for _, s := range sorters {
		objects := make(map[string][]byte)
		out := NewOutcome(func(first int, body []byte) (string, error) {
			name := fmt.Sprint(first)
			objects[name] = slices.Clone(body)
			return name, nil
		})
		if err := errors.Join(Reduce(context.Background(), s, of, 0, out.Put), out.Finish()); err != nil {
			t.Fatal(err)
		}
		for shard, start := range starts {
			var some pipeline.Settled
			if err := Read(&some, objects[out.Index.Of(shard)], shard, of.Value != ""); err != nil {
				t.Fatal(err)
			}
			for _, row := range some.Rows {
				all.Rows = append(all.Rows, int64(start)+row)
			}
			all.Values = append(all.Values, some.Values...)
		}
	}
	all.Sort()
	var numbers []int
	for _, row := range all.Rows {
		numbers = append(numbers, int(row))
	}
	return numbers, all.Values
}

// doubles is found of a shuffle without values.
func doubles(t interface{ Fatal(...any) }, dir string, rows [][]any, of pipeline.Shuffle, shards []int, batch, reducers, room int) []int {
	numbers, _ := found(t, dir, rows, of, shards, batch, reducers, room)
	return numbers
}

// slowLast is what found finds of a shuffle with values, by looking back from each row.
func slowLast(rows [][]any, of pipeline.Shuffle) (numbers []int, values []string) {
	column := func(name string) int { i, _, _ := rowSchema.Lookup(name); return i }
	missing := func(v any) bool { f, ok := v.(float64); return v == nil || ok && f != f }
	text := func(v any) string {
		switch v := v.(type) {
		case string:
			return v
		case int64:
			return string(binary.LittleEndian.AppendUint64(nil, uint64(v)))
		case float64:
			return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
		}
		return string([]byte{map[any]byte{true: 1}[v], 0, 0, 0, 0, 0, 0, 0})
	}
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	if of.By != "" {
		by := column(of.By)
		slices.SortStableFunc(order, func(a, b int) int {
			x, y := rows[a][by], rows[b][by]
			if missing(x) || missing(y) {
				return map[bool]int{true: 1}[missing(x)] - map[bool]int{true: 1}[missing(y)]
			}
			if x, ok := x.(bool); ok {
				return map[bool]int{true: 1}[x] - map[bool]int{true: 1}[y.(bool)]
			}
			if x, ok := x.(int64); ok {
				return cmp.Compare(x, y.(int64))
			}
			return cmp.Compare(x.(float64), y.(float64))
		})
	}
	last, got := map[string]any{}, map[int]string{}
	for _, i := range order {
		v := rows[i][column(of.Keys[0])]
		if v == math.Copysign(0, -1) {
			v = 0.0
		}
		key := fmt.Sprintf("%T %v", v, v)
		if v := rows[i][column(of.Value)]; !missing(v) {
			last[key] = v
		} else if last[key] != nil {
			got[i] = text(last[key])
		}
	}
	for _, i := range slices.Sorted(maps.Keys(got)) {
		numbers, values = append(numbers, i), append(values, got[i])
	}
	return numbers, values
}

// slow is what doubles finds, by comparing rows.
func slow(rows [][]any, of pipeline.Shuffle) (found []int) {
	text := func(row []any) string {
		var key strings.Builder
		for _, name := range of.Keys {
			i, _, _ := rowSchema.Lookup(name)
			v := row[i]
			if v == math.Copysign(0, -1) {
				v = 0.0
			}
			fmt.Fprintf(&key, "%T %v|", v, v)
		}
		return key.String()
	}
	number := func(row []any) (float64, bool) {
		i, _, ok := rowSchema.Lookup(of.By)
		if !ok {
			return 0, true
		}
		switch v := row[i].(type) {
		case int64:
			return float64(v), true
		case float64:
			return v, v == v
		case bool:
			return map[bool]float64{true: 1}[v], true
		}
		return 0, false
	}
	best := make(map[string]int)
	for i, row := range rows {
		was, ok := best[text(row)]
		if ok {
			a, hasA := number(rows[was])
			b, hasB := number(row)
			wins := hasB && (!hasA || a > b)
			if of.Descending {
				wins = hasB == hasA && a <= b || hasB && !hasA || !hasA && !hasB
			}
			if !wins {
				found = append(found, i)
				continue
			}
			found = append(found, was)
		}
		best[text(row)] = i
	}
	slices.Sort(found)
	return found
}

// What is not the first of its key, and the last value before a row, are the same for any cutting into shards and batches,
// any number of reducers, and with or without spilling: and is what comparing finds.
func TestWhatIsFoundDoesNotDependOnShardsTasksReducersAndMemory(t *testing.T) {
	dir := t.TempDir()
	values := [][]any{
		{nil, "", "a", "b", "ab"},
		{nil, math.NaN(), 0.0, math.Copysign(0, -1), 1.5, math.Inf(1), math.Inf(-1), -2.0},
		{nil, int64(0), int64(1), int64(-1), int64(1 << 40)},
		{nil, true, false},
		{nil, int64(0), int64(-5), int64(7)},
	}
	rapid.Check(t, func(t *rapid.T) {
		rows := make([][]any, rapid.IntRange(1, 300).Draw(t, "rows"))
		for i := range rows {
			rows[i] = make([]any, len(values))
			for k := range values {
				rows[i][k] = rapid.SampledFrom(values[k]).Draw(t, "value")
			}
		}
		names := slices.Collect(rowSchema.Names())
		of := pipeline.Shuffle{Keys: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID).Draw(t, "keys"),
			By: rapid.SampledFrom([]string{"", "f", "i", "b", "t"}).Draw(t, "by"), Descending: rapid.Bool().Draw(t, "descending")}
		var shards []int
		for left := len(rows); left > 0; left -= shards[len(shards)-1] {
			shards = append(shards, rapid.IntRange(1, left).Draw(t, "shard"))
		}
		got := doubles(t, dir, rows, of, shards, rapid.IntRange(1, 100).Draw(t, "batch"), rapid.IntRange(1, 4).Draw(t, "reducers"), rapid.SampledFrom([]int{7, 64, 1000}).Draw(t, "room"))
		if want := slow(rows, of); !slices.Equal(got, want) {
			t.Fatalf("%+v: %v, want %v", of, got, want)
		}
		of.Keys, of.Descending, of.Value = of.Keys[:1], false, rapid.SampledFrom(names).Draw(t, "values")
		numbers, gets := found(t, dir, rows, of, shards, rapid.IntRange(1, 100).Draw(t, "batch"), rapid.IntRange(1, 4).Draw(t, "reducers"), rapid.SampledFrom([]int{7, 64, 1000}).Draw(t, "room"))
		if want, values := slowLast(rows, of); !slices.Equal(numbers, want) || !slices.Equal(gets, values) {
			t.Fatalf("%+v: %v %q, want %v %q", of, numbers, gets, want, values)
		}
	})
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v is left, %v", files, err)
	}
}

// Integers that a float cannot tell apart are ordered all the same, and those at the ends
// of their range beside rows without a value.
func TestRanksAreExact(t *testing.T) {
	for _, descending := range []bool{false, true} {
		of := pipeline.Shuffle{Keys: []string{"s"}, By: "i", Descending: descending}
		rows := [][]any{{"a", nil, nil, nil, nil}, {"a", nil, int64(math.MaxInt64), nil, nil}, {"a", nil, int64(math.MaxInt64 - 1), nil, nil}, {"b", nil, nil, nil, nil}, {"b", nil, int64(math.MinInt64), nil, nil}, {"b", nil, nil, nil, nil}}
		want := []int{0, 1, 3, 5}
		if descending {
			want = []int{0, 2, 3, 5}
		}
		if got := doubles(t, t.TempDir(), rows, of, []int{2, 4}, 10, 1, 100); !slices.Equal(got, want) {
			t.Errorf("descending %v: %v, want %v", descending, got, want)
		}
	}
}

// Many rows of few and of many keys, which fill many blocks and runs, are sorted.
func TestRunsOfManyBlocksAreMerged(t *testing.T) {
	for _, different := range []uint64{1, 1 << 40} {
		var sums [2]uint64
		for i, room := range []int{3 * blockRows, 1 << 20} {
			s := NewSorter(t.TempDir(), 0)
			s.room = room
			const n = 20*blockRows + 17
			for k := range uint64(n) {
				if err := s.Add(Record{Key: [2]uint64{k * 0x9e3779b97f4a7c15 % different, k % 3}, At: n - k}); err != nil {
					t.Fatal(err)
				}
			}
			last, rows := Record{}, 0
			for r, err := range s.Sorted(t.Context()) {
				if err != nil || rows > 0 && compare(last, r) >= 0 {
					t.Fatalf("%v behind %v, %v", r, last, err)
				}
				rows++
				last = r
				sums[i] = sums[i]*31 + r.At
			}
			if rows != n || s.Spilled() != (i == 0) {
				t.Errorf("%d rows, spilled %v", rows, s.Spilled())
			}
			s.Close()
		}
		if sums[0] != sums[1] {
			t.Errorf("%d keys: another order where rows are spilled", different)
		}
	}
}

// A block of the disk that is not what was written ends the sorting, and names the file.
func TestADamagedBlockIsFound(t *testing.T) {
	s := NewSorter(t.TempDir(), 0)
	defer s.Close()
	for i := range uint64(5 * minRoom) {
		if err := s.Add(Record{At: i}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.file.WriteAt([]byte{1}, 100); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Sorted(t.Context()) {
		if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), s.file.Name()) {
			t.Errorf("%v", err)
		}
		return
	}
}

// What a dataset cannot have is refused, not folded into another place.
func TestPlacesAreInTheirBounds(t *testing.T) {
	for _, c := range []struct {
		shard int
		row   int64
		fits  bool
	}{{1<<24 - 1, 1<<38 - 1, true}, {1 << 24, 0, false}, {0, 1 << 38, false}, {0, -1, false}} {
		if _, err := place(c.shard, c.row); (err == nil) != c.fits {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Bytes that are no outcome and no piece are an error, not a panic or memory.
func FuzzRead(f *testing.F) {
	o := NewOutcome(func(_ int, body []byte) (string, error) {
		f.Add(slices.Clone(body), 3, true)
		f.Add(Append(nil, Record{}), 3, false)
		return "", nil
	})
	if err := errors.Join(o.Put(3, &pipeline.Settled{Rows: []int64{0, 7, 1 << 37}, Values: []string{"", "a", "b"}}), o.Put(9, &pipeline.Settled{Rows: []int64{1}}), o.Finish()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, shard int, valued bool) {
		var found pipeline.Settled
		if err := Read(&found, body, shard, valued); err == nil && len(found.Rows) > len(body) {
			t.Errorf("%d rows of %d bytes", len(found.Rows), len(body))
		}
		s := NewSorter(t.TempDir(), 0)
		defer s.Close()
		if _, err := s.AddPiece(body); err != nil && !thalweg.Is(err, thalweg.Corrupt) {
			t.Error(err)
		}
	})
}

// The pieces of a task for a reducer hang together, and texts keep their numbers.
func TestPiecesHangTogether(t *testing.T) {
	objects := make(map[string][]byte)
	of := pipeline.Shuffle{Keys: []string{"i"}, Value: "s"}
	pieces := NewPieces(of, 2, func(to, n int, body []byte) (string, error) {
		name := fmt.Sprint(to, " ", n)
		objects[name] = slices.Clone(body)
		return name, nil
	})
	const n = 400_000
	var batch [][]any
	for i := range n {
		batch = append(batch, []any{fmt.Sprint("text ", i%1000), nil, int64(i), nil, nil})
		if len(batch) == 1000 {
			if err := pieces.Add(tabletest.Batch(memory.DefaultAllocator, rowSchema, int64(i-999), batch...), 0); err != nil {
				t.Fatal(err)
			}
			batch = nil
		}
	}
	last, err := pieces.Finish()
	if err != nil || len(last) != 2 || len(objects) < 4 {
		t.Fatalf("%v of %d objects, %v", last, len(objects), err)
	}
	rows := 0
	for _, name := range last {
		s := NewSorter(t.TempDir(), 1<<30)
		before, err := s.AddPiece(objects[name])
		for _, name := range before {
			if err == nil {
				_, err = s.AddPiece(objects[name])
			}
		}
		for r, failed := range s.Sorted(t.Context()) {
			_, row := r.Place(of)
			if rows++; failed != nil || s.texts.all[r.Value] != fmt.Sprint("text ", row%1000) {
				t.Fatalf("row %d has %q, %v", row, s.texts.all[r.Value], failed)
			}
		}
		if s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if rows != n {
		t.Errorf("%d rows", rows)
	}
}

// A text that fills many rows of a shard is written, and read, once.
func TestTextsThatFillManyRowsAreWrittenOnce(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	var want pipeline.Settled
	for i := range 1000 {
		want.Rows, want.Values = append(want.Rows, int64(i)), append(want.Values, long+fmt.Sprint(i%3))
	}
	var object []byte
	o := NewOutcome(func(_ int, body []byte) (string, error) {
		object = slices.Clone(body)
		return "", nil
	})
	for shard := range 3 {
		if err := o.Put(shard, &want); err != nil {
			t.Fatal(err)
		}
	}
	var got pipeline.Settled
	if err := errors.Join(o.Finish(), Read(&got, object, 1, true)); err != nil || !slices.Equal(got.Rows, want.Rows) || !slices.Equal(got.Values, want.Values) {
		t.Errorf("%d rows, %v", len(got.Rows), err)
	}
	if len(object) > 3*40_000 {
		t.Errorf("%d bytes", len(object))
	}
}

// More different texts than there may be are an error that another attempt does not mend.
func TestTooManyDifferentTextsAreRefused(t *testing.T) {
	s := NewSorter(t.TempDir(), 0)
	defer s.Close()
	s.Texts = 1000
	pieces := NewPieces(pipeline.Shuffle{Keys: []string{"i"}, Value: "s"}, 1, func(_, _ int, body []byte) (string, error) {
		_, err := s.AddPiece(body)
		return "", err
	})
	var batch [][]any
	for i := range 100 {
		batch = append(batch, []any{fmt.Sprint("text ", i), nil, int64(i), nil, nil})
	}
	err := pieces.Add(tabletest.Batch(memory.DefaultAllocator, rowSchema, 0, batch...), 0)
	if err == nil {
		_, err = pieces.Finish()
	}
	if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "different texts are values") {
		t.Error(err)
	}
}

func BenchmarkSorter(b *testing.B) {
	const n = 1 << 20
	for _, room := range []int{n, n / 16} {
		b.Run(fmt.Sprint(room), func(b *testing.B) {
			dir := b.TempDir()
			for b.Loop() {
				s := NewSorter(dir, 0)
				s.room = room
				for k := range uint64(n) {
					if err := s.Add(Record{Key: [2]uint64{k * 0x9e3779b97f4a7c15, k}, At: k}); err != nil {
						b.Fatal(err)
					}
				}
				for _, err := range s.Sorted(b.Context()) {
					if err != nil {
						b.Fatal(err)
					}
				}
				s.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
