package encode

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg"
)

const (
	magic = "PAR1" // begins and ends every file
	// createdBy is in every footer. It names no version, which would change the
	// bytes of rows that did not change.
	createdBy = "thalweg"
	// maxGroups is the most row groups of a file: their ordinals have 16 bits.
	maxGroups = 1<<15 - 1
)

// File writes a Parquet file: the row groups that its columns gather, and the
// footer that describes them.
type File struct {
	pages   *pages
	columns []*Column
	groups  []format.RowGroup
	rows    int64 // in groups
}

// NewFile begins a file of at least one column; z is needed for zstd only.
func NewFile(w io.Writer, codec format.CompressionCodec, z *zstd.Encoder, columns []*Column) (*File, error) {
	f := &File{pages: &pages{w: w, codec: codec, zstd: z}, columns: columns}
	return f, f.pages.write([]byte(magic))
}

// Gathered returns the rows that every column gathered for the next row group.
func (f *File) Gathered() int { return f.columns[0].rows }

// Flush writes the rows gathered as a row group.
func (f *File) Flush() error {
	if len(f.groups) == maxGroups {
		return &thalweg.Error{Op: "write row group", Kind: thalweg.Exhausted, Err: fmt.Errorf("more than %d row groups", maxGroups)}
	}
	g := format.RowGroup{NumRows: int64(f.Gathered()), FileOffset: f.pages.offset, Ordinal: int16(len(f.groups))}
	for _, c := range f.columns {
		chunk, err := c.flush(f.pages)
		if err != nil {
			return fmt.Errorf("column %q: %w", c.field.Name, err)
		}
		g.Columns = append(g.Columns, chunk)
		g.TotalByteSize += chunk.MetaData.TotalUncompressedSize
		g.TotalCompressedSize += chunk.MetaData.TotalCompressedSize
	}
	f.groups = append(f.groups, g)
	f.rows += g.NumRows
	return nil
}

// Close writes what is left and the footer, and gives the memory of the columns
// back: nothing may be appended any more.
func (f *File) Close() error {
	if f.Gathered() > 0 {
		if err := f.Flush(); err != nil {
			return err
		}
	}
	meta := &format.FileMetaData{Version: 2, NumRows: f.rows, RowGroups: f.groups, CreatedBy: createdBy}
	meta.Schema = append(meta.Schema, format.SchemaElement{Name: "schema", NumChildren: thrift.New(int32(len(f.columns)))})
	for _, c := range f.columns {
		c.release()
		meta.Schema = append(meta.Schema, c.elements...)
		meta.ColumnOrders = append(meta.ColumnOrders, format.ColumnOrder{Value: &format.TypeDefinedOrder{}})
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), meta)
	if err != nil {
		return err
	}
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	return f.pages.write(append(footer, magic...))
}
