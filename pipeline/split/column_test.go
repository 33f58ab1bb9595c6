package split

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// rowOf is a row of an object, by its number there.
type rowOf struct {
	object string
	number int64
	value  any // nil, string, int64 or bool
}

// shardOf is rows of one object, one after another.
type shardOf struct {
	origin Origin
	rows   []rowOf
}

// rowsOf returns a batch of rows with numbers from first on.
func rowsOf(of table.Type, rows []rowOf, first int64) arrow.Record {
	schema := table.Schema{Columns: []table.Column{{Name: "date", Type: of, Nullable: true}}}
	var values [][]any
	for _, r := range rows {
		values = append(values, []any{r.value})
	}
	return tabletest.Batch(memory.DefaultAllocator, schema, first, values...)
}

// splitOf splits shards, in batches of a few rows, and returns the split of each row by
// object and number, and the cuts.
func splitOf(t interface {
	Fatal(...any)
	Helper()
}, p *pipeline.Plan, of table.Type, shards []shardOf, rows int) (map[string]uint8, *Cuts) {
	t.Helper()
	var partials [][]byte
	for _, s := range shards {
		o, err := NewObserver(p, s.origin)
		if err != nil {
			t.Fatal(err)
		}
		first := int64(0)
		for chunk := range slices.Chunk(s.rows, rows) {
			batch := rowsOf(of, chunk, first)
			first += int64(len(chunk))
			if err := o.Observe(batch); err != nil {
				t.Fatal(err)
			}
		}
		data, err := o.Partial()
		if err != nil {
			t.Fatal(err)
		}
		partials = append(partials, data)
	}
	cuts, err := Finish(p, partials)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]uint8)
	for _, s := range shards {
		first := int64(0)
		for chunk := range slices.Chunk(s.rows, rows) {
			parts, err := cuts.Codes(p, rowsOf(of, chunk, first), s.origin, nil)
			if err != nil {
				t.Fatal(err)
			}
			first += int64(len(chunk))
			for i, r := range chunk {
				out[r.object+" "+strconv.FormatInt(r.number, 10)] = parts[i]
			}
		}
	}
	return out, cuts
}

// cutInto cuts objects into shards at places that next draws.
func cutInto(objects map[string][]rowOf, next func(most int) int) (out []shardOf) {
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		for rows := objects[name]; len(rows) > 0; {
			n := next(len(rows))
			out = append(out, shardOf{Origin{name, rows[0].number}, rows[:n]})
			rows = rows[n:]
		}
	}
	return out
}

// objectsOf returns objects of so many rows each with values that next draws.
func objectsOf(sizes []int, value func() any) map[string][]rowOf {
	objects := make(map[string][]rowOf)
	for k, n := range sizes {
		name := fmt.Sprintf("part %d", k)
		for i := range n {
			objects[name] = append(objects[name], rowOf{name, int64(i), value()})
		}
	}
	return objects
}

// A row's split is the same however objects are cut into shards and these into batches.
func TestSplitsDoNotDependOnShardsAndBatches(t *testing.T) {
	values := map[table.Type][]any{
		table.String: {nil, "", "a", "b", "late", "café", "0"},
		table.Int64:  {nil, int64(0), int64(-7), int64(1), int64(math.MaxInt64)},
		table.Bool:   {nil, true, false},
	}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{"random", "hash", "stratify", "fixed"}).Draw(t, "kind")
		types := []table.Type{table.String, table.Int64, table.Bool}
		if kind == "hash" || kind == "fixed" {
			types = types[:2]
		}
		of := rapid.SampledFrom(types).Draw(t, "type")
		choice := values[of]
		if kind == "fixed" {
			choice = []any{"train", "validation", "test", "0", "1", "2"}
			if of == table.Int64 {
				choice = []any{int64(0), int64(1), int64(2)}
			}
		}
		sizes := rapid.SliceOfN(rapid.IntRange(1, 60), 1, 4).Draw(t, "sizes")
		objects := objectsOf(sizes, func() any { return rapid.SampledFrom(choice).Draw(t, "value") })
		objects["part 0"] = append(objects["part 0"], rowOf{"part 0", int64(sizes[0]), choice[len(choice)-1]})
		if kind == "fixed" {
			objects["part 0"][0].value = choice[0]
		}
		want, cuts := splitOf(t, plan(kind), of, cutInto(objects, func(most int) int { return most }), 1000)
		got, again := splitOf(t, plan(kind), of, cutInto(objects, func(most int) int { return rapid.IntRange(1, most).Draw(t, "cut") }), rapid.IntRange(1, 30).Draw(t, "batch"))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if a, b := asJSON(cuts), asJSON(again); a != b {
			t.Fatalf("cuts %s, want %s", b, a)
		}
	})
}

func asJSON(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

// Objects that come or go, or are told before others, leave the splits of rows alone.
func TestOtherObjectsDoNotChangeRandomAndHashSplits(t *testing.T) {
	n := 0
	objects := objectsOf([]int{300, 200, 400}, func() any { n++; return int64(n * n) })
	for _, kind := range []string{"random", "hash"} {
		want, _ := splitOf(t, plan(kind), table.Int64, cutInto(objects, func(most int) int { return most }), 100)
		fewer := map[string][]rowOf{"part 1": objects["part 1"], "part 2": objects["part 2"]}
		got, _ := splitOf(t, plan(kind), table.Int64, cutInto(fewer, func(most int) int { return min(70, most) }), 33)
		for row, p := range got {
			if p != want[row] {
				t.Errorf("%s: row %s is %s without object 0, %s with it", kind, row, Names[p], Names[want[row]])
			}
		}
	}
}

// Each value's rows have the shares of the spec, to the row, and so have rows without one.
func TestEachStratumHasItsSharesToTheRow(t *testing.T) {
	// Beyond some 5,000 rows of a value not all of its hashes are kept.
	sizes := map[any]int{"common": 150_000, "some": 20_000, "few": 13, "two": 2, "one": 1, nil: 997}
	var order []any
	for _, v := range []any{"few", "common", "two", nil, "some", "one"} {
		order = append(order, slices.Repeat([]any{v}, sizes[v])...)
	}
	at, total := 0, len(order)
	next := func() any { // far from in order
		at = (at + 7919) % total
		return order[at]
	}
	objects := objectsOf([]int{50_000, total - 50_000}, next)
	for _, most := range []int{total, 9_000} {
		got, cuts := splitOf(t, plan("stratify"), table.String, cutInto(objects, func(n int) int { return min(n, most) }), 4096)
		counts := make(map[any]*[Count]int)
		for _, rows := range objects {
			for _, r := range rows {
				if counts[r.value] == nil {
					counts[r.value] = new([Count]int)
				}
				counts[r.value][got[r.object+" "+strconv.FormatInt(r.number, 10)]]++
			}
		}
		for v, n := range sizes {
			of := counts[v]
			validation, test := int(math.Round(0.7*float64(n))), int(math.Round(0.85*float64(n)))
			if want := [Count]int{validation, test - validation, n - test}; of == nil || *of != want {
				t.Errorf("shards of %d rows: %v has %v rows, want %v", most, v, of, want)
			}
		}
		if len(cuts.Strata) != len(sizes) || cuts.Strata[0].Value != nil {
			t.Errorf("strata %+v", cuts.Strata)
		}
	}
}

// What is kept in another format, or compressed, is split alike.
func TestRowsAreSplitAlikeInAnyFormat(t *testing.T) {
	rows := rowsOf(table.Int64, make([]rowOf, 500), 0)
	cuts, err := Finish(plan("random"), nil)
	if err != nil {
		t.Fatal(err)
	}
	of := func(key string) []uint8 {
		parts, err := cuts.Assign(plan("random"), rows, Origin{Object: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return parts
	}
	want := of("a/2024.01.parquet")
	for _, key := range []string{"a/2024.01.csv", "a/2024.01.jsonl.gz", "a/2024.01.csv.zst"} {
		if !slices.Equal(of(key), want) {
			t.Errorf("%s is split otherwise", key)
		}
	}
	if slices.Equal(of("a/2024.02.parquet"), want) {
		t.Error("another object is split alike")
	}
}

func TestAllRowsOfAKeyAreInOneSplit(t *testing.T) {
	n := 0
	objects := objectsOf([]int{3_000, 3_000}, func() any { n++; return fmt.Sprintf("key %d", n%2_000) })
	got, _ := splitOf(t, plan("hash"), table.String, cutInto(objects, func(n int) int { return n }), 1000)
	of := make(map[any]uint8)
	var share [Count]float64
	for _, rows := range objects {
		for _, r := range rows {
			p := got[r.object+" "+strconv.FormatInt(r.number, 10)]
			if q, ok := of[r.value]; ok && p != q {
				t.Fatalf("%v is in %s and %s", r.value, Names[p], Names[q])
			}
			of[r.value] = p
			share[p] += 1.0 / 6000
		}
	}
	for k, p := range probabilities {
		if math.Abs(share[k]-p) > 0.03 {
			t.Errorf("%s has a share of %v, want about %v", Names[k], share[k], p)
		}
	}
}

func TestStratifyRefusesTooManyValues(t *testing.T) {
	var rows []rowOf
	for i := range maxStrata + 1 {
		rows = append(rows, rowOf{"a", int64(i), int64(i)})
	}
	o, err := NewObserver(plan("stratify"), Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Observe(rowsOf(table.Int64, rows, 0)); !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(err.Error(), "column date") {
		t.Errorf("error %v", err)
	}
	var partials [][]byte
	for half := range slices.Chunk(rows, maxStrata-1) {
		o, err := NewObserver(plan("stratify"), Origin{})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Observe(rowsOf(table.Int64, half, 0)); err != nil {
			t.Fatal(err)
		}
		data, err := o.Partial()
		if err != nil {
			t.Fatal(err)
		}
		partials = append(partials, data)
	}
	if _, err := Finish(plan("stratify"), partials); !thalweg.Is(err, thalweg.Exhausted) {
		t.Errorf("error %v", err)
	}
}

// A filtered dictionary has entries that no row has.
func TestEntriesThatNoRowHasAreNoStrata(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range 2 * maxStrata {
		b.Append(strconv.Itoa(i))
	}
	buf, indices := table.Alloc(memory.DefaultAllocator, 3*maxStrata, arrow.Int32Traits)
	for i := range indices {
		indices[i] = 7
	}
	rows := make([]rowOf, len(indices))
	for i := range rows {
		rows[i].value = "7"
	}
	plain := rowsOf(table.String, rows, 0)
	batch := array.NewRecord(plain.Schema(), []arrow.Array{table.NewText(memory.DefaultAllocator, len(indices), buf, table.Mask{}, b.NewArray()), plain.Column(1)}, int64(len(indices)))
	o, err := NewObserver(plan("stratify"), Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Observe(batch); err != nil {
		t.Fatal(err)
	}
	if n := len(o.(*strata).all.list); n != 1 {
		t.Errorf("%d strata", n)
	}
}

func TestAFixedSplitIsWhatTheColumnSays(t *testing.T) {
	rows := []rowOf{{"a", 0, "train"}, {"a", 1, "0"}, {"a", 2, "validation"}, {"a", 3, "train"}}
	got, cuts := splitOf(t, plan("fixed"), table.String, []shardOf{{Origin{"a", 0}, rows}}, 2)
	if fmt.Sprint(got) != "map[a 0:0 a 1:0 a 2:1 a 3:0]" || cuts.Bounds != [2]float64{0.75, 1} || cuts.Judged() != Validation {
		t.Errorf("%v, %+v", got, cuts)
	}
	rows[1].value = "test"
	if _, cuts = splitOf(t, plan("fixed"), table.String, []shardOf{{Origin{"a", 0}, rows}}, 2); cuts.Judged() != Test {
		t.Errorf("%+v", cuts)
	}
	for why, value := range map[string]any{`"Train" is no split`: "Train", "it is null": nil} {
		o, err := NewObserver(plan("fixed"), Origin{})
		if err != nil {
			t.Fatal(err)
		}
		err = o.Observe(rowsOf(table.String, []rowOf{{value: "train"}, {value: value}}, 40))
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "column date, row 41: "+why) {
			t.Errorf("error %v", err)
		}
	}
	o, _ := NewObserver(plan("fixed"), Origin{})
	if err := o.Observe(rowsOf(table.Int64, []rowOf{{value: int64(3)}}, 0)); err == nil || !strings.Contains(err.Error(), `"3" is no split`) {
		t.Errorf("error %v", err)
	}
	if _, err := Finish(plan("fixed"), [][]byte{[]byte(`{"rows":[0,1,2]}`)}); err == nil || !strings.Contains(err.Error(), "none of 3 rows is for training") {
		t.Errorf("error %v", err)
	}
}

func TestFinishRefusesDamagedStrata(t *testing.T) {
	for _, data := range []string{
		`{"strata":[{"value":"a","rows":0,"windows":[{"below":0,"limit":1,"kept":""},{"below":0,"limit":1,"kept":""}]}]}`,
		`{"strata":[{"value":"a","rows":1,"windows":[{"below":-1,"limit":1,"kept":""},{"below":0,"limit":1,"kept":""}]}]}`,
		`{"strata":[{"value":"a","rows":9,"windows":[{"below":0,"limit":1,"kept":"AAA="},{"below":0,"limit":1,"kept":""}]}]}`,
		`{"strata":[{"value":"a","rows":5,"windows":[{"below":5,"limit":1,"kept":""},{"below":5,"limit":1,"kept":""}]}]}`,
		`{"strata":[null]}`,
	} {
		if _, err := Finish(plan("stratify"), [][]byte{[]byte(data)}); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: error %v", data, err)
		}
	}
	if _, err := Finish(plan("fixed"), [][]byte{[]byte(`{"rows":[1,-1,2]}`)}); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("error %v", err)
	}
}

// Shares that add up to 1 but for rounding leave nothing for a test share of 0.
func TestAShareOfNothingHasNoRows(t *testing.T) {
	p := plan("random")
	p.Spec.Spec.Preprocessing.Split.Probabilities = []float64{0.333333, 0.6666666, 0}
	cuts, err := Finish(p, nil)
	if err != nil || cuts.Bounds[1] != 1 || cuts.Judged() != Validation {
		t.Errorf("%+v, %v", cuts, err)
	}
}
