package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go/format"
)

const (
	// TailSize is the length field and the magic that end every file.
	TailSize = 8
	// minFileSize is the smallest file there can be: magic, an empty footer, tail.
	minFileSize = 4 + TailSize
	// MaxFooterBytes bounds a footer. Real ones are kilobytes; thousands of
	// columns in hundreds of row groups reach some ten megabytes. Parsed, a
	// footer takes several times its size, so this bounds a few hundred.
	MaxFooterBytes = 64 << 20
)

// What every file ends with, one with an encrypted footer too.
const (
	magic          = "PAR1"
	magicEncrypted = "PARE"
)

// ErrEncrypted is the error of a file or column that is encrypted.
var ErrEncrypted = errors.New("it is encrypted")

// FooterLength checks the end of a file of the given size, of which tail are
// the last TailSize bytes or more, and returns the length of the footer before
// them. The footer is guaranteed to lie within the file.
func FooterLength(tail []byte, fileSize int64) (int64, error) {
	if fileSize < minFileSize || len(tail) < TailSize {
		return 0, fmt.Errorf("%d bytes are too few for Parquet", fileSize)
	}
	tail = tail[len(tail)-TailSize:]
	switch string(tail[4:]) {
	case magic:
	case magicEncrypted:
		return 0, ErrEncrypted
	default:
		return 0, fmt.Errorf("it ends with %q, not %q: truncated or not Parquet", tail[4:], magic)
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	if n > fileSize-minFileSize {
		return 0, fmt.Errorf("a footer of %d bytes does not fit a file of %d", n, fileSize)
	}
	if n > MaxFooterBytes {
		return 0, fmt.Errorf("a footer of %d bytes exceeds the bound of %d", n, int64(MaxFooterBytes))
	}
	return n, nil
}

// File is the footer of a file, checked.
type File struct {
	Rows int64
	// Uncounted: the footer says 0 rows, as some writers leave it, and its row
	// groups hold Rows.
	Uncounted bool
	Schema    *Node
	Leaves    []*Node // in the order of column chunks
	RowGroups []RowGroup
}

// RowGroup is a horizontal slice of a file.
type RowGroup struct {
	Rows   int64
	Chunks []Chunk // one for each leaf
}

// Chunk is the part of a row group that holds one leaf.
type Chunk struct {
	Codec  format.CompressionCodec
	Values int64 // nulls included
	// Offset and Size are where its pages lie in the file.
	Offset, Size int64
}

// ParseFooter parses and checks the footer of a file of the given size.
func ParseFooter(footer []byte, fileSize int64) (*File, error) {
	d := &decoder{data: footer}
	f := &File{Rows: -1}
	var elements []element
	var groups []rawGroup
	d.fields([]any{
		2: structures(func() {
			if elements = append(elements, d.element()); len(elements) > maxSchemaElements {
				d.fail(fmt.Errorf("the fields exceed the bound of %d", maxSchemaElements))
			}
		}),
		3: &f.Rows, 4: structures(func() { groups = append(groups, d.rowGroup()) })})
	if d.err != nil {
		return nil, d.err
	}
	if f.Rows < 0 {
		return nil, errors.New("the footer has no row count")
	}
	var err error
	if f.Schema, f.Leaves, err = buildTree(elements); err != nil {
		return nil, err
	}
	return f, f.addRowGroups(groups, fileSize)
}

// rawGroup and rawChunk are row groups as the footer has them, unchecked.
type rawGroup struct {
	rows   int64
	chunks []rawChunk
}

type rawChunk struct {
	Chunk              // Offset is that of the data pages
	present, encrypted bool
	filePath           []byte
	physical           format.Type
	dictOffset         int64
}

func (d *decoder) rowGroup() rawGroup {
	g := rawGroup{rows: -1}
	d.fields([]any{1: structures(func() { g.chunks = append(g.chunks, d.chunk()) }), 3: &g.rows})
	return g
}

func (d *decoder) chunk() rawChunk {
	c := rawChunk{physical: -1, Chunk: Chunk{Codec: -1, Values: -1, Size: -1, Offset: -1}}
	meta := structure(func() {
		c.present = true
		d.fields([]any{1: (*int32)(&c.physical), 4: (*int32)(&c.Codec), 5: &c.Values, 7: &c.Size,
			9: &c.Offset, 11: &c.dictOffset})
	})
	encrypted := structure(func() {
		c.encrypted = true
		d.fields(nil)
	})
	d.fields([]any{1: &c.filePath, 3: meta, 8: encrypted})
	return c
}

// addRowGroups checks what the footer says of row groups and keeps it.
func (f *File) addRowGroups(groups []rawGroup, fileSize int64) error {
	var rows int64
	f.RowGroups = make([]RowGroup, len(groups))
	for i, g := range groups {
		if g.rows < 0 {
			return fmt.Errorf("row group %d has no row count", i)
		}
		if len(g.chunks) != len(f.Leaves) {
			return fmt.Errorf("row group %d has %d column chunks for %d columns", i, len(g.chunks), len(f.Leaves))
		}
		rows += g.rows
		if rows < 0 || rows > f.Rows && f.Rows > 0 {
			return fmt.Errorf("row groups hold more rows than the %d of the file", f.Rows)
		}
		f.RowGroups[i] = RowGroup{Rows: g.rows, Chunks: make([]Chunk, len(g.chunks))}
		for j, c := range g.chunks {
			if err := c.check(f.Leaves[j], g.rows, fileSize); err != nil {
				return fmt.Errorf("row group %d, column %q: %w", i, strings.Join(f.Leaves[j].Path, "."), err)
			}
			f.RowGroups[i].Chunks[j] = c.Chunk
		}
	}
	if f.Rows == 0 && rows > 0 {
		f.Rows, f.Uncounted = rows, true
	}
	if rows != f.Rows {
		return fmt.Errorf("row groups hold %d rows, the file says %d", rows, f.Rows)
	}
	return nil
}

// check checks what the footer says of a chunk, and sets Offset to where its first
// page begins.
func (c *rawChunk) check(leaf *Node, rows, fileSize int64) error {
	switch {
	case c.encrypted:
		return ErrEncrypted
	case len(c.filePath) > 0:
		return fmt.Errorf("its pages are in another file, %q", c.filePath)
	case !c.present:
		return errors.New("no column metadata")
	case c.physical != leaf.Physical:
		return fmt.Errorf("stored as %v, the schema says %v", c.physical, leaf.Physical)
	case c.Codec < format.Uncompressed || c.Codec > format.Lz4Raw:
		return fmt.Errorf("unknown codec %d", c.Codec)
	case c.Values < 0:
		return errors.New("no value count")
	case !leaf.Repeated && c.Values != rows:
		return fmt.Errorf("%d values in %d rows", c.Values, rows)
	case leaf.Repeated && c.Values < rows:
		return fmt.Errorf("%d values in %d rows, at least one each is there", c.Values, rows)
	}
	if c.Values == 0 { // where no values lie may be anything
		c.Chunk = Chunk{Codec: c.Codec}
		return nil
	}
	// Writers that have a dictionary page but no offset of it (or zero) put it
	// where they say the data is.
	if c.dictOffset > 0 {
		c.Offset = min(c.Offset, c.dictOffset)
	}
	// Subtracting instead of adding: no sum of hostile numbers can overflow.
	if limit := fileSize - TailSize; c.Offset < int64(len(magic)) || c.Size < 0 || c.Offset > limit || c.Size > limit-c.Offset {
		return fmt.Errorf("%d bytes at %d lie outside the file's %d", c.Size, c.Offset, fileSize)
	}
	return nil
}
