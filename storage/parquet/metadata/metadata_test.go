package metadata

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	pg "github.com/parquet-go/parquet-go/format"
)

const fileSize = 1 << 20

// sound returns a footer of three columns, one of them within a list, in two
// row groups of 10 and 5 rows.
func sound() *pg.FileMetaData {
	m := &pg.FileMetaData{Version: 2, NumRows: 15, CreatedBy: "test"}
	m.Schema = thrift.Slice[pg.SchemaElement]{
		{Name: "root", NumChildren: thrift.New[int32](3)},
		{Name: "a", Type: thrift.New(pg.Int64), RepetitionType: thrift.New(pg.Required), LogicalType: pg.LogicalType{Value: &pg.TimestampType{IsAdjustedToUTC: true, Unit: pg.TimeUnit{Value: &pg.MicroSeconds{}}}}},
		{Name: "b", Type: thrift.New(pg.FixedLenByteArray), TypeLength: thrift.New[int32](7), RepetitionType: thrift.New(pg.Optional),
			ConvertedType: thrift.New(deprecated.Decimal), Precision: thrift.New[int32](16), Scale: thrift.New[int32](3)},
		{Name: "l", NumChildren: thrift.New[int32](1), RepetitionType: thrift.New(pg.Optional), LogicalType: pg.LogicalType{Value: &pg.ListType{}}},
		{Name: "list", NumChildren: thrift.New[int32](1), RepetitionType: thrift.New(pg.Repeated)},
		{Name: "element", Type: thrift.New(pg.ByteArray), RepetitionType: thrift.New(pg.Optional), ConvertedType: thrift.New(deprecated.UTF8)},
	}
	for _, rows := range []int64{10, 5} {
		g := pg.RowGroup{NumRows: rows}
		for i, t := range []pg.Type{pg.Int64, pg.FixedLenByteArray, pg.ByteArray} {
			g.Columns = append(g.Columns, pg.ColumnChunk{MetaData: pg.ColumnMetaData{Type: t, PathInSchema: thrift.Slice[string]{"x"}, Encoding: thrift.Slice[pg.Encoding]{pg.Plain},
				Codec: pg.Zstd, NumValues: rows, TotalCompressedSize: 100, TotalUncompressedSize: 200, DataPageOffset: int64(4 + 100*i)}})
		}
		m.RowGroups = append(m.RowGroups, g)
	}
	return m
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	data, err := thrift.Marshal(new(thrift.CompactProtocol), v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestFooter(t *testing.T) {
	f, err := ParseFooter(encoded(t, sound()), fileSize)
	if err != nil {
		t.Fatal(err)
	}
	if f.Rows != 15 || len(f.Leaves) != 3 || len(f.RowGroups) != 2 {
		t.Fatalf("%+v", f)
	}
	a, b, l := f.Leaves[0], f.Leaves[1], f.Leaves[2]
	if a.Logical != (Logical{Annotation: Timestamp, Unit: Micros, UTC: true}) || !a.Flat() || a.Repetition != pg.Required || a.Repeated {
		t.Errorf("a: %+v", a)
	}
	if b.Logical.Annotation != Decimal || b.Logical.Precision != 16 || b.Logical.Scale != 3 || b.TypeLength != 7 || b.Repetition != pg.Optional || !b.Flat() || b.Repeated {
		t.Errorf("b: %+v", b)
	}
	if l.Logical.Annotation != String || !l.Repeated || l.Flat() || strings.Join(l.Path, ".") != "l.list.element" {
		t.Errorf("l: %+v", l)
	}
	if c := f.RowGroups[1].Chunks[2]; !reflect.DeepEqual(c, Chunk{Codec: pg.Zstd, Values: 5, Offset: 204, Size: 100}) {
		t.Errorf("%+v", c)
	}
}

func TestAFooterOfNoRowsIsReadAsItsRowGroupsSay(t *testing.T) {
	m := sound()
	m.NumRows = 0
	if f, err := ParseFooter(encoded(t, m), fileSize); err != nil || f.Rows != 15 || !f.Uncounted {
		t.Errorf("%+v: %v", f, err)
	}
	if f, err := ParseFooter(encoded(t, sound()), fileSize); err != nil || f.Uncounted {
		t.Errorf("one that counts its rows: %+v: %v", f, err)
	}
	m.RowGroups[0].NumRows, m.RowGroups[1].NumRows = math.MaxInt64-1, 5
	for i := range m.RowGroups[0].Columns {
		m.RowGroups[0].Columns[i].MetaData.NumValues = math.MaxInt64 - 1
	}
	if _, err := ParseFooter(encoded(t, m), fileSize); err == nil || !strings.Contains(err.Error(), "more rows") {
		t.Errorf("a sum that overflows: %v", err)
	}
}

func TestFooterRefusesWhatCannotBe(t *testing.T) {
	chunk := func(m *pg.FileMetaData) *pg.ColumnMetaData { return &m.RowGroups[1].Columns[1].MetaData }
	for name, c := range map[string]struct {
		spoil func(*pg.FileMetaData)
		want  string
	}{
		"rows of the file":    {func(m *pg.FileMetaData) { m.NumRows = 16 }, "15 rows"},
		"fewer rows":          {func(m *pg.FileMetaData) { m.NumRows = 14 }, "more rows"},
		"negative rows":       {func(m *pg.FileMetaData) { m.NumRows = -1 }, "row count"},
		"overflowing rows":    {func(m *pg.FileMetaData) { m.RowGroups[0].NumRows = math.MaxInt64 - 1 }, "more rows"},
		"no schema":           {func(m *pg.FileMetaData) { m.Schema = nil }, "schema"},
		"no columns":          {func(m *pg.FileMetaData) { m.Schema[0].NumChildren = thrift.New[int32](0) }, "no columns"},
		"too many children":   {func(m *pg.FileMetaData) { m.Schema[0].NumChildren = thrift.New[int32](1 << 30) }, "fields"},
		"too few children":    {func(m *pg.FileMetaData) { m.Schema[0].NumChildren = thrift.New[int32](2) }, "no group"},
		"empty group":         {func(m *pg.FileMetaData) { m.Schema[5].Type = thrift.Null[pg.Type]{} }, "neither"},
		"physical type":       {func(m *pg.FileMetaData) { m.Schema[1].Type = thrift.New[pg.Type](9) }, "physical type 9"},
		"type length":         {func(m *pg.FileMetaData) { m.Schema[2].TypeLength = thrift.New[int32](-1) }, "-1 bytes"},
		"wide values":         {func(m *pg.FileMetaData) { m.Schema[2].TypeLength = thrift.New[int32](math.MaxInt32) }, "bytes"},
		"repetition":          {func(m *pg.FileMetaData) { m.Schema[1].RepetitionType = thrift.New[pg.FieldRepetitionType](3) }, "repetition"},
		"a chunk too few":     {func(m *pg.FileMetaData) { m.RowGroups[0].Columns = m.RowGroups[0].Columns[:2] }, "2 column chunks for 3"},
		"another type":        {func(m *pg.FileMetaData) { chunk(m).Type = pg.Int32 }, `row group 1, column "b"`},
		"unknown codec":       {func(m *pg.FileMetaData) { chunk(m).Codec = 8 }, "codec 8"},
		"values":              {func(m *pg.FileMetaData) { chunk(m).NumValues = 6 }, "6 values in 5 rows"},
		"values in a list":    {func(m *pg.FileMetaData) { m.RowGroups[0].Columns[2].MetaData.NumValues = 9 }, "9 values in 10 rows"},
		"offset":              {func(m *pg.FileMetaData) { chunk(m).DataPageOffset = 3 }, "outside"},
		"negative offset":     {func(m *pg.FileMetaData) { chunk(m).DataPageOffset = -5 }, "outside"},
		"offset past the end": {func(m *pg.FileMetaData) { chunk(m).DataPageOffset = fileSize }, "outside"},
		"size":                {func(m *pg.FileMetaData) { chunk(m).TotalCompressedSize = fileSize }, "outside"},
		"size and offset": {func(m *pg.FileMetaData) {
			chunk(m).TotalCompressedSize = math.MaxInt64
			chunk(m).DataPageOffset = math.MaxInt64
		}, "outside"},
		"negative size":         {func(m *pg.FileMetaData) { chunk(m).TotalCompressedSize = -1 }, "outside"},
		"pages in another file": {func(m *pg.FileMetaData) { m.RowGroups[1].Columns[1].FilePath = "x.parquet" }, "another file"},
	} {
		m := sound()
		c.spoil(m)
		if _, err := ParseFooter(encoded(t, m), fileSize); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	deep := sound()
	deep.Schema = deep.Schema[:1]
	deep.Schema[0].NumChildren = thrift.New[int32](1)
	for range 100 {
		deep.Schema = append(deep.Schema, pg.SchemaElement{Name: "x", NumChildren: thrift.New[int32](1)})
	}
	if _, err := ParseFooter(encoded(t, deep), fileSize); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Errorf("a hundred levels: %v", err)
	}
	whole := encoded(t, sound())
	for n := range whole {
		if _, err := ParseFooter(whole[:n:n], fileSize); err == nil {
			t.Fatalf("the first %d bytes of %d were enough", n, len(whole))
		}
	}
}

func TestDictionaryBeforeTheDataBeginsTheChunk(t *testing.T) {
	for dict, want := range map[int64]int64{0: 104, 50: 50, 300: 104} {
		m := sound()
		m.RowGroups[0].Columns[1].MetaData.DictionaryPageOffset = dict
		f, err := ParseFooter(encoded(t, m), fileSize)
		if err != nil || f.RowGroups[0].Chunks[1].Offset != want {
			t.Errorf("dictionary at %d: chunk at %d: %v", dict, f.RowGroups[0].Chunks[1].Offset, err)
		}
	}
}

func TestFooterLength(t *testing.T) {
	tail := func(n uint32, magic string) []byte {
		return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}, magic...)
	}
	if n, err := FooterLength(tail(100, "PAR1"), 112); err != nil || n != 100 {
		t.Errorf("%d, %v", n, err)
	}
	for name, c := range map[string]struct {
		tail []byte
		size int64
	}{
		"larger than the file": {tail(101, "PAR1"), 112}, "huge": {tail(math.MaxUint32, "PAR1"), 1 << 40}, "over the bound": {tail(MaxFooterBytes+1, "PAR1"), 1 << 40},
		"magic": {tail(1, "ORC1"), 112}, "encrypted": {tail(1, "PARE"), 112}, "nothing": {nil, 0}, "magic as length": {[]byte("PAR1PAR1"), 8},
	} {
		if n, err := FooterLength(c.tail, c.size); err == nil {
			t.Errorf("%s: %d", name, n)
		}
	}
}

func TestPageHeaderRefusesWhatCannotBe(t *testing.T) {
	body := make([]byte, 100)
	v1 := func(h pg.PageHeader) pg.PageHeader {
		h.Type, h.DataPageHeader = pg.DataPage, thrift.New(pg.DataPageHeader{NumValues: 10})
		return h
	}
	ok := v1(pg.PageHeader{UncompressedPageSize: 200, CompressedPageSize: 100, CRC: -2})
	h, n, err := ParsePageHeader(append(encoded(t, &ok), body...))
	if err != nil || n != len(encoded(t, &ok)) || h.Values != 10 || h.CompressedSize != 100 || !h.HasCRC || h.CRC != math.MaxUint32-1 {
		t.Fatalf("%+v, %d: %v", h, n, err)
	}
	v2 := func(h pg.DataPageHeaderV2) pg.PageHeader {
		return pg.PageHeader{Type: pg.DataPageV2, UncompressedPageSize: 200, CompressedPageSize: 100, DataPageHeaderV2: thrift.New(h)}
	}
	for name, h := range map[string]pg.PageHeader{
		"larger than the chunk": v1(pg.PageHeader{UncompressedPageSize: 200, CompressedPageSize: 101}),
		"negative size":         v1(pg.PageHeader{UncompressedPageSize: 200, CompressedPageSize: -1}),
		"negative raw size":     v1(pg.PageHeader{UncompressedPageSize: -200, CompressedPageSize: 100}),
		"over the bound":        v1(pg.PageHeader{UncompressedPageSize: MaxPageBytes + 1, CompressedPageSize: 100}),
		"unknown kind":          {Type: 9, UncompressedPageSize: 1, CompressedPageSize: 1},
		"no inner header":       {Type: pg.DataPage, UncompressedPageSize: 1, CompressedPageSize: 1},
		"another inner header":  {Type: pg.DataPage, UncompressedPageSize: 1, CompressedPageSize: 1, DictionaryPageHeader: thrift.New(pg.DictionaryPageHeader{NumValues: 1})},
		"negative values":       {Type: pg.DictionaryPage, UncompressedPageSize: 1, CompressedPageSize: 1, DictionaryPageHeader: thrift.New(pg.DictionaryPageHeader{NumValues: -1})},
		"more nulls":            v2(pg.DataPageHeaderV2{NumValues: 5, NumNulls: 6, NumRows: 5}),
		"levels too long":       v2(pg.DataPageHeaderV2{NumValues: 5, NumRows: 5, DefinitionLevelsByteLength: 60, RepetitionLevelsByteLength: 60}),
		"negative levels":       v2(pg.DataPageHeaderV2{NumValues: 5, NumRows: 5, DefinitionLevelsByteLength: -1}),
	} {
		if got, _, err := ParsePageHeader(append(encoded(t, &h), body...)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	// A page header with one field of every wire type, numbered from 20, before
	// the stop byte.
	h := pg.PageHeader{Type: pg.IndexPage}
	data := encoded(t, &h)
	data = data[:len(data)-1]
	data = append(data, 0x01, 40) // bool true, field 20 (long form)
	data = append(data, 0x13, 7)  // byte
	data = append(data, 0x14, 2)  // i16
	data = append(data, 0x17, 1, 2, 3, 4, 5, 6, 7, 8)
	data = append(data, 0x18, 2, 'x', 'y')                                    // binary
	data = append(data, 0x19, 0x21, 1, 2)                                     // list of two booleans
	data = append(data, 0x1a, 0xf5, 16)                                       // set of 16 i32
	data = append(data, bytes.Repeat([]byte{3}, 16)...)                       //
	data = append(data, 0x1b, 1, 0x85, 1, 'k', 9)                             // map of binary to i32
	data = append(data, 0x1b, 0)                                              // empty map
	data = append(data, 0x1c, 0x1c, 0x00, 0x00)                               // struct of an empty struct
	data = append(data, 0x1d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6) // uuid
	data = append(data, 0x00)
	got, n, err := ParsePageHeader(data)
	if err != nil || n != len(data) || got.Kind != pg.IndexPage {
		t.Errorf("%+v, %d of %d: %v", got, n, len(data), err)
	}
	nested := append(encoded(t, &h)[:2:2], bytes.Repeat([]byte{0x1c}, 1000)...)
	if _, _, err := ParsePageHeader(nested); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Errorf("a thousand structs: %v", err)
	}
}

func FuzzFooter(f *testing.F) {
	f.Add(encoded(f, sound()))
	names, err := filepath.Glob("../../testdata/n*.parquet")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if n, err := FooterLength(data, int64(len(data))); err == nil {
			f.Add(data[int64(len(data))-TailSize-n : len(data)-TailSize])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseFooter(data, fileSize)
		if err != nil {
			return
		}
		for _, g := range file.RowGroups {
			for i, c := range g.Chunks {
				if c.Offset < 0 || c.Size < 0 || c.Offset+c.Size > fileSize || file.Leaves[i].Leaf != i {
					t.Fatalf("chunk %+v", c)
				}
			}
		}
	})
}

func FuzzPageHeader(f *testing.F) {
	h := pg.PageHeader{Type: pg.DataPageV2, UncompressedPageSize: 20, CompressedPageSize: 10, CRC: 5,
		DataPageHeaderV2: thrift.New(pg.DataPageHeaderV2{NumValues: 5, NumNulls: 1, NumRows: 5, DefinitionLevelsByteLength: 2})}
	f.Add(append(encoded(f, &h), make([]byte, 10)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, n, err := ParsePageHeader(data)
		if err == nil && (h.CompressedSize < 0 || n+h.CompressedSize > len(data) || h.DefBytes+h.RepBytes > h.CompressedSize || h.Nulls > h.Values) {
			t.Fatalf("%+v after %d of %d bytes", h, n, len(data))
		}
	})
}
