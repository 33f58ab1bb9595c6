package fsck

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/guard"
)

// parquetFile is a Parquet file whose columns are read one at a time, so that
// only the file itself is in memory.
type parquetFile struct {
	file   *parquet.File
	leaves []*parquet.Column // columns of values, in the order of the file
	rows   int64
}

// readParquet opens a file and reads every value in it once, which shows that it
// can be read.
func readParquet(body []byte) (*parquetFile, error) {
	file, err := guard.Open(body)
	if err != nil {
		return nil, err
	}
	f := &parquetFile{file: file, leaves: guard.Leaves(file.Root()), rows: file.NumRows()}
	for _, leaf := range f.leaves {
		rows := int64(0)
		c := cells{leaf: leaf}
		for batch := c.batch(); len(batch) > 0; batch = c.batch() {
			for i := range batch {
				if batch[i].RepetitionLevel() == 0 {
					rows++
				}
			}
		}
		c.close()
		if c.err == nil && rows != f.rows {
			c.err = fmt.Errorf("it has %d rows of %d", rows, f.rows)
		}
		if c.err != nil {
			return nil, fmt.Errorf("column %s: %w", guard.NameOf(leaf), c.err)
		}
	}
	return f, nil
}

// column returns a column of single values by its name, or why there is none.
func (f *parquetFile) column(name string) (*parquet.Column, string) {
	var found []*parquet.Column
	for _, c := range f.file.Root().Columns() {
		if c.Name() == name && c.Leaf() && c.MaxRepetitionLevel() == 0 {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		return nil, "has no column " + name
	}
	return found[0], ""
}

// each calls do with the values of a column that column returned, one a row,
// until it returns false. Bytes in a value are valid until do returns.
func (f *parquetFile) each(leaf *parquet.Column, do func(row int64, v parquet.Value) bool) error {
	c := cells{leaf: leaf}
	defer c.close()
	row := int64(0)
	for batch := c.batch(); len(batch) > 0; batch = c.batch() {
		for _, v := range batch {
			if !do(row, v) {
				return nil
			}
			row++
		}
	}
	return c.err
}

// offsets returns the offsets of the rows, or why there are none.
func (f *parquetFile) offsets() (at []int64, why string) {
	leaf, why := f.column("_offset")
	if why != "" {
		return nil, why
	}
	null := !isNumber(leaf) || leaf.Type().Kind() != parquet.Int64
	if !null {
		err := f.each(leaf, func(_ int64, v parquet.Value) bool {
			null = null || v.IsNull()
			at = append(at, v.Int64())
			return true
		})
		null = null || err != nil
	}
	if null {
		return nil, "_offset is no int64, or null"
	}
	return at, ""
}

// cells reads the values of a column, some at a time.
type cells struct {
	leaf   *parquet.Column
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader // of page
	buf    []parquet.Value
	err    error
}

// batch returns the next values, nil at the end or where err is set. They are
// valid until the next call.
func (c *cells) batch() []parquet.Value {
	defer guard.Recover(&c.err)
	if c.pages == nil {
		c.pages, c.buf = c.leaf.Pages(), make([]parquet.Value, 512)
	}
	for c.err == nil {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				if err != io.EOF {
					c.err = err
				}
				return nil
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buf)
		switch {
		case err == io.EOF && n == 0:
			parquet.Release(c.page)
			c.page, c.values = nil, nil
			continue
		case err != nil && err != io.EOF:
			c.err = err
		case n == 0:
			c.err = io.ErrNoProgress
		}
		return c.buf[:n]
	}
	return nil
}

func (c *cells) close() {
	defer guard.Recover(&c.err)
	if c.page != nil {
		parquet.Release(c.page)
	}
	if c.pages != nil {
		_ = c.pages.Close() // of bytes in memory
	}
}

// rowSums returns a sum of every row of a column, which differs where a bit of
// its values or of their nesting does.
func (f *parquetFile) rowSums(leaf *parquet.Column, seed maphash.Seed) []uint64 {
	sums := make([]uint64, 0, f.rows)
	c := cells{leaf: leaf}
	defer c.close()
	var row maphash.Hash
	row.SetSeed(seed)
	var head, body []byte
	for batch := c.batch(); len(batch) > 0; batch = c.batch() {
		for _, v := range batch {
			if v.RepetitionLevel() == 0 {
				row.Reset()
				sums = append(sums, 0)
			}
			body = v.AppendBytes(body[:0])
			head = append(head[:0], byte(v.RepetitionLevel()), byte(v.DefinitionLevel()), byte(v.Kind()))
			_, _ = row.Write(binary.AppendUvarint(head, uint64(len(body))))
			_, _ = row.Write(body)
			sums[len(sums)-1] = row.Sum64()
		}
	}
	return sums
}

// sameColumns reports whether two files have columns of the same names and types.
func sameColumns(a, b *parquetFile) bool {
	if len(a.leaves) != len(b.leaves) {
		return false
	}
	for i, x := range a.leaves {
		y := b.leaves[i]
		if guard.NameOf(x) != guard.NameOf(y) || x.Type().String() != y.Type().String() || x.MaxRepetitionLevel() != y.MaxRepetitionLevel() || x.MaxDefinitionLevel() != y.MaxDefinitionLevel() {
			return false
		}
	}
	return true
}

func isText(leaf *parquet.Column) bool {
	logical := leaf.Type().LogicalType()
	if leaf.Type().Kind() != parquet.ByteArray || logical == nil {
		return false
	}
	_, ok := logical.Value.(*format.StringType)
	return ok
}

// isNumber reports whether a column has signed integers.
func isNumber(leaf *parquet.Column) bool {
	if kind := leaf.Type().Kind(); kind != parquet.Int32 && kind != parquet.Int64 {
		return false
	}
	logical := leaf.Type().LogicalType()
	if logical == nil || logical.Value == nil {
		return true
	}
	signed, ok := logical.Value.(*format.IntType)
	return ok && signed.IsSigned
}

// isTime reports whether a column has times in microseconds.
func isTime(leaf *parquet.Column) bool {
	logical := leaf.Type().LogicalType()
	if leaf.Type().Kind() != parquet.Int64 || logical == nil {
		return false
	}
	t, ok := logical.Value.(*format.TimestampType)
	if !ok {
		return false
	}
	_, micros := t.Unit.Value.(*format.MicroSeconds)
	return micros
}

// equals returns how to compare the values of a provenance column with want, or
// false where it has another type than such columns have.
func equals(leaf *parquet.Column, want string) (func(v parquet.Value) bool, bool) {
	switch {
	case isText(leaf):
		return func(v parquet.Value) bool { return !v.IsNull() && string(v.ByteArray()) == want }, true
	case isNumber(leaf), isTime(leaf):
		n, err := strconv.ParseInt(want, 10, 64)
		wide := leaf.Type().Kind() == parquet.Int64
		return func(v parquet.Value) bool {
			return err == nil && !v.IsNull() && (wide && v.Int64() == n || !wide && int64(v.Int32()) == n)
		}, true
	}
	return nil, false
}
