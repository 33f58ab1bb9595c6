package compact

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"reflect"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// every is a column of each canonical type.
func every() (s table.Schema) {
	for _, t := range table.Types() {
		s.Columns = append(s.Columns, table.Column{Name: string(t), Type: t, Nullable: true})
	}
	return s
}

// rows returns what a file holds, row by row, and the notes on its batches.
func rows(data []byte) (all [][]any, notes []string, note string, err error) {
	f, err := Open(data)
	if err != nil {
		return nil, nil, "", err
	}
	for {
		b, err := f.Next()
		if err == io.EOF {
			return all, notes, string(f.Note), nil
		}
		if err != nil {
			return nil, nil, "", err
		}
		notes = append(notes, string(b.Note))
		for chunk := range b.Chunks() {
			record, err := b.Chunk(chunk)
			if err != nil {
				return nil, nil, "", err
			}
			all = append(all, tabletest.Rows(record)...)
		}
	}
}

// one returns a file of one batch.
func one(schema table.Schema, tail int, batch arrow.Record) []byte {
	e := NewEncoder(schema.Columns, tail)
	e.Add(batch, nil)
	return e.Finish(nil)
}

func TestBatchesOfAnyTypeComeBack(t *testing.T) {
	schema := every()
	rapid.Check(t, func(rt *rapid.T) {
		batch := tabletest.Draw(rt, memory.DefaultAllocator, schema, 70)
		e := NewEncoder(schema.Columns, rapid.IntRange(1, len(schema.Columns)+1).Draw(rt, "tail"))
		var want []string
		for i, part := range tabletest.Split(rt, batch) {
			want = append(want, fmt.Sprint(i))
			e.Add(part, []byte(want[i]))
		}
		got, notes, note, err := rows(e.Finish([]byte("all")))
		if err != nil || !reflect.DeepEqual(notes, want) || note != "all" || !reflect.DeepEqual(got, append([][]any(nil), tabletest.Rows(batch)...)) && batch.NumRows() > 0 {
			rt.Fatalf("notes %v %q, %v, rows %v, want %v", notes, note, err, got, tabletest.Rows(batch))
		}
	})
}

// A chunk is decoded by itself, whichever came before it.
func TestChunksAreReadByThemselves(t *testing.T) {
	schema := every()
	var all [][]any
	for i := range 3*ChunkRows - 7 {
		all = append(all, edges()[i%3])
	}
	batch := tabletest.Batch(memory.DefaultAllocator, schema, 0, all...)
	f, err := Open(one(schema, 2, batch))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Next()
	if err != nil || b.Chunks() != 3 || b.Rows() != len(all) || !reflect.DeepEqual(tabletest.Rows(b.Tail)[5], tabletest.Rows(batch)[5][len(schema.Columns)-1:]) {
		t.Fatalf("%v, %v", b, err)
	}
	for _, chunk := range []int{2, 0} {
		record, err := b.Chunk(chunk)
		from, to := b.Bounds(chunk)
		if err != nil || !reflect.DeepEqual(tabletest.Rows(record), tabletest.Rows(batch)[from:to]) {
			t.Errorf("chunk %d: %v", chunk, err)
		}
	}
}

// A value takes as many bytes as those of its column need.
func TestColumnsTakeTheBytesTheyNeed(t *testing.T) {
	const n = 1000
	of := func(typ table.Type, value func(i int) any) int {
		all := make([][]any, n)
		for i := range all {
			all[i] = []any{value(i)}
		}
		schema := table.Schema{Columns: []table.Column{{Name: "x", Type: typ}}}
		batch := tabletest.Batch(memory.DefaultAllocator, schema, 0, all...)
		defer batch.Release()
		return len(one(schema, 1, batch)) / n
	}
	for name, c := range map[string]struct{ got, want int }{
		"row numbers":       {of(table.Int64, func(i int) any { return int64(i) }), 0},
		"hundreds":          {of(table.Int64, func(i int) any { return int64(1e12) + int64(i*i%250) }), 1},
		"thousands":         {of(table.Int64, func(i int) any { return int64(i * i % 2500) }), 2},
		"integers as float": {of(table.Float64, func(i int) any { return float64(i * i % 200) }), 1},
		"halves":            {of(table.Float64, func(i int) any { return float64(i*i%77) / 2 }), 4},
		"tenths":            {of(table.Float64, func(i int) any { return float64(i*i%77) / 10 }), 8},
		"airports":          {of(table.String, func(i int) any { return fmt.Sprint("airport ", i*i%20) }), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d bytes each, want %d", name, c.got, c.want)
		}
	}
}

// Of a large dictionary that a few rows use, a piece holds what they use.
func TestUnusedEntriesAreNotKept(t *testing.T) {
	var dictionary []string
	for i := range 5000 {
		dictionary = append(dictionary, fmt.Sprintf("a value that is as long as some are %d", i))
	}
	column := tabletest.Strings(memory.DefaultAllocator, dictionary, dictionary[4000], nil, dictionary[7], dictionary[4000])
	numbers := tabletest.Column(memory.DefaultAllocator, table.Int64, int64(3), int64(4), int64(5), int64(6))
	schema := table.Schema{Columns: []table.Column{{Name: "x", Type: table.String, Nullable: true}}}
	data := one(schema, 1, array.NewRecord(schema.Arrow(), []arrow.Array{column, numbers}, 4))
	got, _, _, err := rows(data)
	if want := [][]any{{dictionary[4000], int64(3)}, {nil, int64(4)}, {dictionary[7], int64(5)}, {dictionary[4000], int64(6)}}; err != nil || !reflect.DeepEqual(got, want) || len(data) > 400 {
		t.Errorf("%v in %d bytes, %v", got, len(data), err)
	}
}

// A batch that a file could not be read back with is not written, and the file goes on
// without it.
func TestBatchesThatWouldNotBeReadAreRefused(t *testing.T) {
	mem := memory.DefaultAllocator
	lists := func(elements int) arrow.Record {
		schema := table.Schema{Columns: []table.Column{{Name: "x", Type: table.BoolList}}}
		buf, offsets := table.Alloc(mem, 2, arrow.Int32Traits)
		offsets[0], offsets[1] = 0, int32(elements)
		values := table.NewColumn(mem, table.Bool, elements, table.NewMask(elements).Buffer(mem), table.Mask{})
		list := table.NewList(mem, table.BoolList, 1, buf, table.Mask{}, values)
		return array.NewRecord(schema.Arrow(), []arrow.Array{list, tabletest.Column(mem, table.Int64, int64(0))}, 1)
	}
	many := func(rows int) arrow.Record {
		buf, _ := table.Alloc(mem, rows, arrow.Int64Traits)
		return array.NewRecord(table.Schema{}.Arrow(), []arrow.Array{table.NewColumn(mem, table.Int64, rows, buf, table.Mask{})}, int64(rows))
	}
	for name, c := range map[string]struct {
		columns     []table.Column
		large, fits arrow.Record
	}{
		"elements": {[]table.Column{{Name: "x", Type: table.BoolList}}, lists(maxElements + 1), lists(maxElements)},
		"rows":     {nil, many(maxBatchRows + 1), many(maxBatchRows)},
	} {
		e := NewEncoder(c.columns, 1)
		if e.Add(c.large, nil) || !e.Add(c.fits, nil) {
			t.Fatalf("%s: the bound is not kept to", name)
		}
		f, err := Open(e.Finish(nil))
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.Next()
		if err != nil || b.Rows() != int(c.fits.NumRows()) {
			t.Fatalf("%s: %v", name, err)
		}
		for chunk := range b.Chunks() {
			if _, err := b.Chunk(chunk); err != nil {
				t.Errorf("%s: chunk %d: %v", name, chunk, err)
			}
		}
	}
}

// A flipped bit, wherever, is noticed, and so is a file that was cut.
func TestDamageIsNoticed(t *testing.T) {
	data := one(every(), 1, tabletest.Batch(memory.DefaultAllocator, every(), 0, edges()...))
	for i := range data {
		for _, bad := range [][]byte{append([]byte(nil), data...), data[:i]} {
			if i < len(bad) {
				bad[i] ^= 1 << (i % 8)
			}
			if _, err := Open(bad); !thalweg.Is(err, thalweg.Corrupt) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

// edges are rows of every type.
func edges() [][]any {
	return [][]any{
		{"a", int64(math.MinInt64), math.Inf(1), true, int64(60e6), []any{int64(1), nil}, []any{0.5}, []any{}},
		{nil, int64(math.MaxInt64), 0.1, nil, nil, nil, []any{}, []any{true}},
		{"", nil, math.Copysign(0, -1), false, int64(math.MinInt64), []any{}, nil, nil},
	}
}

// FuzzDecode reads bytes with a checksum that is right: whatever they are, they are
// rows, or an error.
func FuzzDecode(f *testing.F) {
	e := NewEncoder(every().Columns, 2)
	e.Add(tabletest.Batch(memory.DefaultAllocator, every(), 0, edges()...), []byte("note"))
	e.Add(tabletest.Batch(memory.DefaultAllocator, every(), 0, edges()[1:]...), nil)
	f.Add(e.Finish([]byte("all"))[len(magic):])
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append([]byte(magic), body...)
		data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
		if _, _, _, err := rows(data); err != nil && !thalweg.Is(err, thalweg.Corrupt) {
			t.Fatal(err)
		}
	})
}
