package dataset_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	pq "github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/parquet-go/parquet-go"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
)

// listGroup is a group annotated as a list.
type listGroup struct{ parquet.Group }

func (listGroup) Type() parquet.Type { return parquet.List(parquet.String()).Type() }

// TestListsInAllHistoricForms reads [1, null, 2], [], null and [3], as far as each
// form has them.
func TestListsInAllHistoricForms(t *testing.T) {
	t.Parallel()
	number := parquet.Leaf(parquet.Int32Type)
	for _, form := range []struct {
		name               string
		node               parquet.Node
		nullable, elements bool
	}{
		{"standard", parquet.Optional(parquet.List(parquet.Optional(number))), true, true},
		{"required list", parquet.List(parquet.Optional(number)), false, true},
		{"required elements", parquet.Optional(parquet.List(number)), true, false},
		{"hive and spark", parquet.Optional(listGroup{parquet.Group{"bag": parquet.Repeated(parquet.Group{"array": parquet.Optional(number)})}}), true, true},
		{"old pyarrow", parquet.Optional(listGroup{parquet.Group{"list": parquet.Repeated(parquet.Group{"item": parquet.Optional(number)})}}), true, true},
		{"old avro", parquet.Optional(listGroup{parquet.Group{"array": parquet.Repeated(number)}}), true, false},
		{"two levels, required", listGroup{parquet.Group{"element": parquet.Repeated(number)}}, false, false},
		{"protobuf", parquet.Repeated(number), false, false},
	} {
		for version := 1; version <= 2; version++ {
			t.Run(fmt.Sprintf("%s/v%d", form.name, version), func(t *testing.T) {
				var out bytes.Buffer
				w := parquet.NewWriter(&out, parquet.NewSchema("test", parquet.Group{"l": form.node}), parquet.DataPageVersion(version))
				slot := 1 // the definition level of an element
				if form.nullable {
					slot++
				}
				most := slot
				if form.elements {
					most++
				}
				value := func(v int32, rep int) parquet.Value { return parquet.Int32Value(v).Level(rep, most, 0) }
				nothing := func(rep, def int) parquet.Value { return parquet.Value{}.Level(rep, def, 0) }
				rows := []parquet.Row{{value(1, 0), value(2, 1)}, {nothing(0, slot-1)}, {value(3, 0)}}
				want := []string{"[1 2 ]", "[]", "[3 ]"}
				if form.nullable {
					rows, want = append(rows, parquet.Row{nothing(0, 0)}), append(want, "null")
				}
				if form.elements {
					rows, want = append(rows, parquet.Row{nothing(0, slot), value(4, 1)}), append(want, "[null 4 ]")
				}
				if _, err := w.WriteRows(rows); err != nil {
					t.Fatal(err)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				sameValues(t, readAll(t, out.Bytes(), nil, 2), table{"l": want})
			})
		}
	}
}

// TestLevelsThatNoListsHaveAreRefused damages the levels of a file of one page: the
// lists [1, null] and [2].
func TestLevelsThatNoListsHaveAreRefused(t *testing.T) {
	t.Parallel()
	b := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int32)
	defer b.Release()
	values := b.ValueBuilder().(*array.Int32Builder)
	b.Append(true)
	values.Append(1)
	values.AppendNull()
	b.Append(true)
	values.Append(2)
	schema := schemaOf([]arrow.DataType{arrow.ListOf(arrow.PrimitiveTypes.Int32)}, true)
	file := byPqarrow(t, []arrow.Record{array.NewRecord(schema, []arrow.Array{b.NewArray()}, 2)}, pq.WithDataPageVersion(pq.DataPageV2), pq.WithDictionaryDefault(false))
	// One bit-packed run of eight: the repetition levels 0 1 0, the definition levels 3 2 3.
	runs := func(reps, defs [3]byte) []byte {
		return []byte{3, reps[0] | reps[1]<<1 | reps[2]<<2, 3, defs[0] | defs[1]<<2 | defs[2]<<4, 0}
	}
	levels := runs([3]byte{0, 1, 0}, [3]byte{3, 2, 3})
	if bytes.Count(file, levels) != 1 {
		t.Fatalf("the levels are not where they were: %x", file)
	}
	for name, c := range map[string]struct {
		levels []byte
		want   string
	}{
		"as they were":                  {levels, ""},
		"begins in the middle of a row": {runs([3]byte{1, 1, 0}, [3]byte{3, 2, 3}), "levels"},
		"a null list goes on":           {runs([3]byte{0, 1, 0}, [3]byte{0, 2, 3}), "levels"},
		"goes on with a null list":      {runs([3]byte{0, 1, 0}, [3]byte{3, 0, 3}), "levels"},
		"goes on with no element":       {runs([3]byte{0, 1, 0}, [3]byte{3, 1, 3}), "levels"},
		"one row more than there are":   {runs([3]byte{0, 0, 0}, [3]byte{3, 2, 3}), "more rows"},
		"one row fewer":                 {runs([3]byte{0, 1, 1}, [3]byte{3, 2, 3}), "fewer rows"},
		"too few levels":                {append([]byte{4, 0}, levels[2:]...), "levels"},
		"no levels":                     {make([]byte, 5), "levels"},
	} {
		data := bytes.Replace(file, levels, c.levels, 1)
		err := readHostile(t, data)
		if c.want == "" && err != nil || c.want != "" && (!thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `column "c0"`)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAListBeyondTheBoundIsExhausted: runs let a few bytes stand for any number.
// It runs by itself: what it bounds is what the whole process allocates.
func TestAListBeyondTheBoundIsExhausted(t *testing.T) {
	b := array.NewListBuilder(memory.DefaultAllocator, arrow.FixedWidthTypes.Boolean)
	defer b.Release()
	b.Append(true)
	b.ValueBuilder().(*array.BooleanBuilder).AppendValues(make([]bool, 5<<20), nil)
	schema := schemaOf([]arrow.DataType{arrow.ListOf(arrow.FixedWidthTypes.Boolean)}, false)
	data := byPqarrow(t, []arrow.Record{array.NewRecord(schema, []arrow.Array{b.NewArray()}, 1)}, pq.WithCompression(compress.Codecs.Zstd))
	if len(data) > 1<<20 {
		t.Fatalf("the file has %d bytes", len(data))
	}
	if err := readHostile(t, data); !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(err.Error(), "4194304 elements") {
		t.Error(err)
	}
}

// TestListsOfGroupsAreRefusedByName: a repeated group of the name array is the
// element itself.
func TestListsOfGroupsAreRefusedByName(t *testing.T) {
	t.Parallel()
	number := parquet.Leaf(parquet.Int32Type)
	var out bytes.Buffer
	w := parquet.NewWriter(&out, parquet.NewSchema("test", parquet.Group{
		"tuple": parquet.Optional(listGroup{parquet.Group{"array": parquet.Repeated(parquet.Group{"x": number})}}),
		"group": parquet.Group{"x": parquet.Repeated(number)}, "repeated": parquet.Repeated(parquet.Group{"x": number}),
		"lists": parquet.List(parquet.List(number)),
	}))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tuple", "group", "repeated", "lists"} {
		_, err := dataset.OpenBytes("test.parquet", out.Bytes(), []string{name}, dataset.ReaderConfig{})
		if !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
