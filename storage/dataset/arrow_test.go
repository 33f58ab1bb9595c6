package dataset_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
)

var arrowSchema = arrow.NewSchema([]arrow.Field{
	{Name: "i", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "d", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, Nullable: true},
	{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Float64), Nullable: true}, {Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "v", Type: arrow.BinaryTypes.StringView, Nullable: true}, {Name: "g", Type: arrow.BinaryTypes.LargeString, Nullable: true},
}, nil)

// arrowObject is batches of Arrow IPC, each of so many rows, and the rows as text. later
// says that the dictionary grows from batch to batch.
func arrowObject(t testing.TB, stream, later bool, options []ipc.Option, batches ...int) (object []byte, rows []string) {
	t.Helper()
	var out bytes.Buffer
	options = append(options, ipc.WithSchema(arrowSchema), ipc.WithDictionaryDeltas(later))
	var w interface {
		Write(arrow.Record) error
		Close() error
	}
	w = ipc.NewWriter(&out, options...)
	if !stream {
		f, err := ipc.NewFileWriter(&seekable{&out}, options...)
		if err != nil {
			t.Fatal(err)
		}
		w = f
	}
	n := 0
	for batch, of := range batches {
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSchema)
		words := []string{"x", "y", "z"}
		if later {
			words = append(words, fmt.Sprint("w", batch))
		}
		for _, word := range words { // all batches have the same dictionary
			if err := b.Field(2).(*array.BinaryDictionaryBuilder).AppendString(word); err != nil {
				t.Fatal(err)
			}
		}
		dictionary := b.Field(2).NewArray().(*array.Dictionary).Dictionary()
		index := array.NewInt8Builder(memory.DefaultAllocator)
		for range of {
			n++
			b.Field(0).(*array.Int64Builder).Append(int64(n))
			b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("é", n%3))
			index.Append(int8(n % len(words)))
			b.Field(3).(*array.ListBuilder).Append(true)
			b.Field(3).(*array.ListBuilder).ValueBuilder().(*array.Float64Builder).AppendValues([]float64{float64(n), 1}, []bool{true, n%2 == 0})
			b.Field(4).(*array.BooleanBuilder).Append(n%2 == 0)
			b.Field(5).(*array.StringViewBuilder).Append(fmt.Sprint("a view that is long ", n))
			b.Field(6).(*array.LargeStringBuilder).AppendNull()
			rows = append(rows, fmt.Sprintf("%d é%d %s %v a view that is long %d", n, n%3, words[n%len(words)], n%2 == 0, n))
		}
		columns := make([]arrow.Array, 7)
		for i := range columns {
			if i == 2 {
				columns[i] = array.NewDictionaryArray(arrowSchema.Field(2).Type, index.NewArray(), dictionary)
			} else {
				columns[i] = b.Field(i).NewArray()
			}
		}
		if err := w.Write(array.NewRecord(arrowSchema, columns, int64(of))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), rows
}

// seekable is a buffer for who asks where it is.
type seekable struct{ *bytes.Buffer }

func (f *seekable) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence == io.SeekStart {
		return 0, errors.New("nobody seeks")
	}
	return int64(f.Len()), nil
}

// readArrow returns the rows of an object as text.
func readArrow(ctx context.Context, object []byte, cfg dataset.DiscoverConfig) (rows []string, m *dataset.Manifest, err error) {
	bucket := storememory.New()
	if _, err := bucket.Put(ctx, "k.arrow", object); err != nil {
		return nil, nil, err
	}
	m, schema, err := dataset.DiscoverArrow(ctx, bucket, "k.arrow", cfg)
	if err != nil {
		return nil, nil, err
	}
	if err := m.Validate(); err != nil {
		return nil, nil, err
	}
	columns := slices.DeleteFunc([]string{"i", "s", "d", "b", "v", "g", "l"}, func(name string) bool { return !schema.HasField(name) })
	for shard := range m.Shards {
		r, err := dataset.OpenArrow(ctx, bucket, m, shard, columns, dataset.ReaderConfig{BatchRows: 7})
		if err != nil {
			return nil, nil, err
		}
		defer r.Close()
		for {
			batch, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, nil, err
			}
			_, _, first := r.Place()
			if first != int64(len(rows)) {
				return nil, nil, fmt.Errorf("a batch is of row %d, not %d", first, len(rows))
			}
			for row := range int(batch.NumRows()) {
				var text []string
				for i, c := range batch.Columns() {
					if batch.ColumnName(i) != "l" && batch.ColumnName(i) != "g" {
						text = append(text, c.ValueStr(row))
					} else {
						_ = c.IsNull(row) || valueOf(c, row) == nil
					}
				}
				rows = append(rows, strings.Join(text, " "))
			}
			batch.Release()
		}
	}
	return rows, m, nil
}

// valueOf reads a value that may be damaged.
func valueOf(c arrow.Array, row int) any {
	if lists, ok := c.(*array.List); ok {
		from, to := lists.ValueOffsets(row)
		for i := from; i < to; i++ {
			_ = lists.ListValues().IsNull(int(i)) || lists.ListValues().ValueStr(int(i)) == ""
		}
		return nil
	}
	return c.ValueStr(row)
}

func TestArrowIsReadAsItWasWritten(t *testing.T) {
	for name, options := range map[string][]ipc.Option{"none": nil, "lz4": {ipc.WithLZ4()}, "zstd": {ipc.WithZstd()}} {
		for _, stream := range []bool{true, false} {
			object, want := arrowObject(t, stream, false, options, 10, 0, 25, 3)
			for _, shardRows := range []int64{0, 10, 1} {
				got, m, err := readArrow(t.Context(), object, dataset.DiscoverConfig{ShardRows: shardRows})
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("%s, stream %v, shards of %d: %q, %v, want %q", name, stream, shardRows, got, err, want)
				}
				if shards := map[int64]int{0: 1, 10: 3, 1: 4}[shardRows]; len(m.Shards) != shards {
					t.Errorf("%s, stream %v, shards of %d: %+v", name, stream, shardRows, m.Shards)
				}
			}
		}
	}
	// Dictionaries that grow are those of the batches behind them.
	object, want := arrowObject(t, true, true, nil, 10, 20, 5)
	if got, m, err := readArrow(t.Context(), object, dataset.DiscoverConfig{ShardRows: 1}); err != nil || !slices.Equal(got, want) || len(m.Shards) != 1 {
		t.Errorf("dictionaries that change: %q, %v, want %q", got, err, want)
	}
}

// Objects of pyarrow and Polars: testdata/arrow.py says how.
func TestArrowOfOthersIsRead(t *testing.T) {
	files, err := filepath.Glob("testdata/arrow/*")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		object, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := readArrow(t.Context(), object, dataset.DiscoverConfig{ShardRows: 1})
		if err != nil || len(got) != 40 {
			t.Fatalf("%s: %d rows, %v", name, len(got), err)
		}
		for i, row := range got {
			null := func(text string, every int) string {
				if i%every == 0 {
					return "(null)"
				}
				return text
			}
			if want := fmt.Sprintf("%s %s k%d %v a long string é%d", null(fmt.Sprint(i), 7), null(fmt.Sprintf("w%d", i%5), 3), i%4, i%2 == 0, i); row != want {
				t.Errorf("%s, row %d: %s, want %s", name, i, row, want)
			}
		}
	}
}

// maxArrowFile is what reading a file may allocate, whatever its bytes claim to become.
const maxArrowFile = 512 << 20

// Damaged objects are errors or other values, never a panic, a decoder's included, nor
// more memory than their bytes can hold.
func TestMutatedArrowIsAnError(t *testing.T) {
	for name, options := range map[string][]ipc.Option{"none": nil, "lz4": {ipc.WithLZ4()}, "zstd": {ipc.WithZstd()}} {
		for _, stream := range []bool{true, false} {
			sound, _ := arrowObject(t, stream, false, options, 10, 20)
			random := rand.New(rand.NewPCG(3, 9))
			failed, seeds := 0, int(effort.Seeds(750, 5_000))
			for range seeds {
				object := slices.Clone(sound)
				for range 1 + random.IntN(3) {
					at := random.IntN(len(object))
					switch random.IntN(4) {
					case 0:
						object[at] ^= 1 << random.IntN(8)
					case 1:
						object[at] = byte(random.IntN(256))
					case 2:
						copy(object[at:], []byte{0xff, 0xff, 0xff, 0x7f})
					default:
						object = object[:max(1, at)]
					}
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, _, err := readArrow(t.Context(), object, dataset.DiscoverConfig{ShardRows: 1})
				runtime.ReadMemStats(&after)
				if n := after.TotalAlloc - before.TotalAlloc; n > maxArrowFile {
					t.Errorf("%s: %d bytes are allocated for a file of %d", name, n, len(object))
				}
				if err != nil {
					failed++
					if kind := thalweg.KindOf(err); kind == thalweg.Other || !strings.Contains(err.Error(), "k.arrow") && kind != thalweg.NotFound {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
			if failed < seeds/5 {
				t.Errorf("%s: only %d failed", name, failed)
			}
		}
	}
	object, _ := arrowObject(t, false, false, nil, 10, 20)
	for want, body := range map[string][]byte{"cut short": object[:len(object)-3], "no Arrow IPC": []byte("PAR1PAR1PAR1"), "no shard": nil} {
		if _, _, err := readArrow(t.Context(), body, dataset.DiscoverConfig{}); body != nil && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzArrow(f *testing.F) {
	for _, stream := range []bool{true, false} {
		object, _ := arrowObject(f, stream, false, []ipc.Option{ipc.WithZstd()}, 3, 2)
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		_, _, _ = readArrow(t.Context(), object, dataset.DiscoverConfig{ShardRows: 1})
	})
}

// Strings with wide offsets are read as others are: words of which there are none, and
// bytes that are no UTF-8.
func TestWideStringsOfArrowAreReadAsOthersAre(t *testing.T) {
	wide := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.LargeString}
	schema := arrow.NewSchema([]arrow.Field{{Name: "d", Type: wide, Nullable: true}, {Name: "g", Type: arrow.BinaryTypes.LargeString, Nullable: true},
		{Name: "i", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.PrimitiveTypes.Int64}, Nullable: true}}, nil)
	none := array.MakeArrayOfNull(memory.DefaultAllocator, arrow.PrimitiveTypes.Int32, 1)
	of := func(i int) arrow.Array {
		words := array.NewBuilder(memory.DefaultAllocator, schema.Field(i).Type.(*arrow.DictionaryType).ValueType).NewArray()
		return array.NewDictionaryArray(schema.Field(i).Type, none, words)
	}
	text := array.NewLargeStringBuilder(memory.DefaultAllocator)
	text.Append("a\xff")
	var object bytes.Buffer
	w := ipc.NewWriter(&object, ipc.WithSchema(schema))
	if err := errors.Join(w.Write(array.NewRecord(schema, []arrow.Array{of(0), text.NewArray(), of(2)}, 1)), w.Close()); err != nil {
		t.Fatal(err)
	}
	rows, _, err := readArrow(t.Context(), object.Bytes(), dataset.DiscoverConfig{})
	if err != nil || !slices.Equal(rows, []string{"(null) (null)"}) {
		t.Errorf("%q, %v", rows, err)
	}
}

// hollow is a bucket of objects that are much longer than what is kept of them.
type hollow struct {
	storage.Bucket
	size int64
	most int // what was asked for at once
}

func (h *hollow) Head(ctx context.Context, key string) (storage.Info, error) {
	info, err := h.Bucket.Head(ctx, key)
	info.SizeBytes = h.size
	return info, err
}

func (h *hollow) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for info, err := range h.Bucket.List(ctx, prefix, after) {
			info.SizeBytes = h.size
			yield(info, err)
		}
	}
}

func (h *hollow) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	h.most = max(h.most, len(buf))
	body, _, err := h.Bucket.Get(ctx, key)
	if offset < int64(len(body)) {
		copy(buf, body[offset:])
	}
	return err
}

// A record batch that says that it has more bytes than any may have is refused before
// memory is made for them.
func TestAnArrowBatchOfTooManyBytesIsRefused(t *testing.T) {
	object, _ := arrowObject(t, true, false, nil, 3)
	b := &hollow{Bucket: storememory.New(), size: 1 << 40}
	bodies := 0
	for at := len(object) - 8; at >= 0; at-- { // of the messages' bodies, which are aligned to 8
		if n := binary.LittleEndian.Uint64(object[at:]); at%4 == 0 && n > 64 && n < uint64(len(object)) && n%8 == 0 && bodies == 0 {
			binary.LittleEndian.PutUint64(object[at:], 2<<30)
			if _, err := b.Put(t.Context(), "k.arrow", object); err != nil {
				t.Fatal(err)
			}
			_, _, err := dataset.DiscoverArrow(t.Context(), b, "k.arrow", dataset.DiscoverConfig{})
			if binary.LittleEndian.PutUint64(object[at:], n); thalweg.Is(err, thalweg.Exhausted) && strings.Contains(err.Error(), "more than 448 MiB") {
				bodies++
			}
		}
	}
	if bodies != 1 || b.most > 1<<20 {
		t.Errorf("%d bodies were refused, %d bytes asked for at once", bodies, b.most)
	}
}
