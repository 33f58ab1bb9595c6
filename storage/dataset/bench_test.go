package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	parquetwriter "github.com/apache/arrow/go/v15/parquet"
	pqcompress "github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	pgzstd "github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/thalweg/thalweg/storage/dataset"
)

var benchFile = flag.String("file", "", "a Parquet file with the columns of flights to read in benchmarks; default one made up")

// flightsLike returns rows that are distributed as the flights are: dates in
// order, delays around zero, a few thousand distances, a few hundred airports of
// which some are much busier.
func flightsLike(rows int) arrow.Record {
	rng := rand.New(rand.NewPCG(1, 2))
	b := array.NewRecordBuilder(memory.DefaultAllocator, flightsSchema)
	defer b.Release()
	airport := func(f int) {
		name := int(math.Exp(rng.Float64()*math.Log(300))) - 1
		if err := b.Field(f).(*array.BinaryDictionaryBuilder).AppendString(fmt.Sprintf("%c%c%c", 'A'+name%26, 'A'+name/26, 'A'+name*7%26)); err != nil {
			panic(err)
		}
	}
	minute := int64(978307200)
	for range rows {
		minute += rng.Int64N(2) * rng.Int64N(2) * 60
		b.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(minute * 1_000_000))
		b.Field(1).(*array.Int64Builder).Append(int64(rng.ExpFloat64()*25) - 20)
		b.Field(2).(*array.Int64Builder).Append(100 + 7*int64(rng.IntN(37)*rng.IntN(18)))
		airport(3)
		airport(4)
	}
	return b.NewRecord()
}

// benchData returns the file to read: as a general writer makes it, every
// column by dictionary, compressed by zstd.
func benchData(b *testing.B) []byte {
	b.Helper()
	if *benchFile != "" {
		data, err := os.ReadFile(*benchFile)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	type flight struct {
		Date        int64  `parquet:"date,optional,dict,timestamp(microsecond:local)"`
		Delay       *int64 `parquet:"delay,optional,dict"`
		Distance    *int64 `parquet:"distance,optional,dict"`
		Origin      string `parquet:"origin,optional,dict"`
		Destination string `parquet:"destination,optional,dict"`
	}
	rec := flightsLike(600_000)
	defer rec.Release()
	var out bytes.Buffer
	w := parquet.NewGenericWriter[flight](&out, parquet.Compression(&pgzstd.Codec{}), parquet.MaxRowsPerRowGroup(272_727))
	rows := make([]flight, rec.NumRows())
	name := func(c, i int) string {
		d := rec.Column(c).(*array.Dictionary)
		return d.Dictionary().(*array.String).Value(d.GetValueIndex(i))
	}
	for i := range rows {
		delay, distance := rec.Column(1).(*array.Int64).Value(i), rec.Column(2).(*array.Int64).Value(i)
		rows[i] = flight{int64(rec.Column(0).(*array.Timestamp).Value(i)), &delay, &distance, name(3, i), name(4, i)}
	}
	if _, err := w.Write(rows); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

func rate(b *testing.B, rows int64) {
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

// BenchmarkRead compares the Reader with the obvious loop over pqarrow, and
// with the time that undoing the compression takes alone.
func BenchmarkRead(b *testing.B) {
	data := benchData(b)
	columns := []string{"date", "delay", "distance", "origin", "destination"}
	pool := dataset.NewPool(0)
	reader := func(b *testing.B, cfg dataset.ReaderConfig) {
		b.ReportAllocs()
		var rows int64
		for b.Loop() {
			r, err := dataset.OpenBytes("bench", data, columns, cfg)
			if err != nil {
				b.Fatal(err)
			}
			for {
				rec, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
				rows += rec.NumRows()
				rec.Release()
			}
			r.Close()
		}
		rate(b, rows)
	}
	b.Run("reader", func(b *testing.B) { reader(b, dataset.ReaderConfig{Pool: pool}) })
	b.Run("reader-recycling", func(b *testing.B) { reader(b, dataset.ReaderConfig{Pool: pool, Allocator: pool.Allocator()}) })
	b.Run("pqarrow", func(b *testing.B) {
		b.ReportAllocs()
		var rows int64
		for b.Loop() {
			f, err := file.NewParquetReader(bytes.NewReader(data))
			if err != nil {
				b.Fatal(err)
			}
			r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: 64 << 10}, memory.DefaultAllocator)
			if err != nil {
				b.Fatal(err)
			}
			records, err := r.GetRecordReader(context.Background(), nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			for records.Next() {
				rows += records.Record().NumRows()
			}
			records.Release()
		}
		rate(b, rows)
	})
	b.Run("zstd", func(b *testing.B) {
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		pages := compressedPages(b, data, f)
		var rows int64
		var buf []byte
		for b.Loop() {
			for _, p := range pages {
				if buf, err = z.DecodeAll(p, buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
			rows += f.NumRows()
		}
		rate(b, rows)
	})
}

// BenchmarkReadLists reads embeddings and short lists, and compares with the obvious
// loop over pqarrow.
func BenchmarkReadLists(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name         string
		rows, length int
		nulls        float64
	}{{"embeddings", 20_000, 64, 0}, {"short", 200_000, 4, 0.1}} {
		schema := schemaOf([]arrow.DataType{arrow.ListOf(arrow.PrimitiveTypes.Float32)}, true)
		lists := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Float32)
		values := lists.ValueBuilder().(*array.Float32Builder)
		for range c.rows {
			if rng.Float64() < c.nulls {
				lists.AppendNull()
				continue
			}
			lists.Append(true)
			for range c.length {
				if rng.Float64() < c.nulls {
					values.AppendNull()
				} else {
					values.Append(rng.Float32())
				}
			}
		}
		rec := array.NewRecord(schema, []arrow.Array{lists.NewArray()}, int64(c.rows))
		data := byPqarrow(b, []arrow.Record{rec}, parquetwriter.WithCompression(pqcompress.Codecs.Zstd))
		pool := dataset.NewPool(0)
		b.Run(c.name+"/reader", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := dataset.OpenBytes("bench", data, nil, dataset.ReaderConfig{Pool: pool})
				if err != nil {
					b.Fatal(err)
				}
				for rec, err := r.Next(); !errors.Is(err, io.EOF); rec, err = r.Next() {
					if err != nil {
						b.Fatal(err)
					}
					rec.Release()
				}
				r.Close()
			}
			b.ReportMetric(float64(c.rows*c.length*b.N)/b.Elapsed().Seconds()/1e6, "Melements/s")
		})
		b.Run(c.name+"/pqarrow", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := file.NewParquetReader(bytes.NewReader(data))
				if err != nil {
					b.Fatal(err)
				}
				r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: 64 << 10}, memory.DefaultAllocator)
				if err != nil {
					b.Fatal(err)
				}
				records, err := r.GetRecordReader(context.Background(), nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				for records.Next() {
				}
				records.Release()
			}
			b.ReportMetric(float64(c.rows*c.length*b.N)/b.Elapsed().Seconds()/1e6, "Melements/s")
		})
	}
}

// compressedPages finds the zstd frames of a file by their magic number.
func compressedPages(b *testing.B, data []byte, f *parquet.File) [][]byte {
	b.Helper()
	var pages [][]byte
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd}
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			start := c.MetaData.DataPageOffset
			if d := c.MetaData.DictionaryPageOffset; d > 0 {
				start = min(start, d)
			}
			chunk := data[start : start+c.MetaData.TotalCompressedSize]
			for len(chunk) > 0 {
				at := bytes.Index(chunk, frame)
				if at < 0 {
					break
				}
				var h zstd.Header
				if err := h.Decode(chunk[at:]); err != nil {
					b.Fatal(err)
				}
				end := frameEnd(chunk[at:], h)
				pages = append(pages, chunk[at:at+end])
				chunk = chunk[at+end:]
			}
		}
	}
	return pages
}

// frameEnd walks the blocks of a zstd frame.
func frameEnd(frame []byte, h zstd.Header) int {
	at := h.HeaderSize
	for {
		head := int(frame[at]) | int(frame[at+1])<<8 | int(frame[at+2])<<16
		size := head >> 3
		if head>>1&3 == 1 {
			size = 1
		}
		at += 3 + size
		if head&1 != 0 {
			break
		}
	}
	if h.HasCheckSum {
		at += 4
	}
	return at
}

type discard struct{ n int64 }

func (d *discard) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	return len(p), nil
}

// BenchmarkWrite writes the five columns of flights, many rows and few, and
// rows of thirteen columns as scorers write them.
func BenchmarkWrite(b *testing.B) {
	five := flightsLike(300_000)
	var scored []arrow.Field
	scored = append(scored, flightsSchema.Fields()...)
	cols := append([]arrow.Array{}, five.Columns()...)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, f := range []arrow.Field{{Name: "prediction", Type: arrow.FixedWidthTypes.Boolean}, {Name: "probability", Type: arrow.PrimitiveTypes.Float32}, {Name: "_topic", Type: stringType},
		{Name: "_partition", Type: arrow.PrimitiveTypes.Int32}, {Name: "_offset", Type: arrow.PrimitiveTypes.Int64}, {Name: "_model_version", Type: arrow.PrimitiveTypes.Int64},
		{Name: "_transform_hash", Type: stringType}, {Name: "_scored_at", Type: arrow.FixedWidthTypes.Timestamp_us}} {
		scored = append(scored, f)
		builder := array.NewBuilder(memory.DefaultAllocator, f.Type)
		for i := range five.NumRows() {
			switch builder := builder.(type) {
			case *array.BooleanBuilder:
				builder.Append(rng.IntN(5) == 0)
			case *array.Float32Builder:
				builder.Append(rng.Float32())
			case *array.Int32Builder:
				builder.Append(3)
			case *array.Int64Builder:
				builder.Append(map[bool]int64{true: 1_000_000 + i, false: 7}[f.Name == "_offset"])
			case *array.TimestampBuilder:
				builder.Append(1_700_000_000_000_000)
			case *array.BinaryDictionaryBuilder:
				if err := builder.AppendString(f.Name); err != nil {
					b.Fatal(err)
				}
			}
		}
		cols = append(cols, builder.NewArray())
	}
	thirteen := array.NewRecord(arrow.NewSchema(scored, nil), cols, five.NumRows())
	for _, rec := range []arrow.Record{five, thirteen, thirteen.NewSlice(0, 1000)} {
		for _, c := range []dataset.Compression{dataset.Zstd, dataset.Snappy, dataset.Uncompressed} {
			b.Run(fmt.Sprintf("columns=%d/rows=%d/%s", rec.NumCols(), rec.NumRows(), c), func(b *testing.B) {
				b.ReportAllocs()
				cfg := dataset.WriterConfig{Compression: c, Pool: dataset.NewPool(0)}
				var rows int64
				var out discard
				for b.Loop() {
					out.n = 0
					w, err := dataset.NewWriter(&out, rec.Schema(), cfg)
					if err != nil {
						b.Fatal(err)
					}
					for at := int64(0); at < rec.NumRows(); at += 64 << 10 {
						part := rec.NewSlice(at, min(at+64<<10, rec.NumRows()))
						if err := w.Write(part); err != nil {
							b.Fatal(err)
						}
						part.Release()
					}
					if err := w.Close(); err != nil {
						b.Fatal(err)
					}
					rows += rec.NumRows()
				}
				rate(b, rows)
				b.ReportMetric(float64(out.n), "bytes")
			})
		}
	}
}
