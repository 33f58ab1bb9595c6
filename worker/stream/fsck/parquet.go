package fsck

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetFile is a Parquet file whose columns are read one at a time, so that
// only the file itself is in memory.
type parquetFile struct {
	file   *parquet.File
	leaves []*parquet.Column // columns of values, in the order of the file
	rows   int64
}

// openParquet reads the footer of a file.
func openParquet(body []byte) (f *parquetFile, err error) {
	defer recovered(&err)
	if err := checkFooter(body); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	f = &parquetFile{file: file, rows: file.NumRows()}
	f.addLeaves(file.Root())
	var pages pageChecker
	return f, pages.check(body, file.Metadata(), f.leaves)
}

// readParquet opens a file and reads every value in it once, which shows that it
// can be read.
func readParquet(body []byte) (*parquetFile, error) {
	f, err := openParquet(body)
	if err != nil {
		return nil, err
	}
	for _, leaf := range f.leaves {
		rows := int64(0)
		c := cells{leaf: leaf}
		for batch := c.batch(); batch != nil; batch = c.batch() {
			if leaf.MaxRepetitionLevel() == 0 {
				rows += int64(len(batch))
				continue
			}
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
			return nil, fmt.Errorf("column %s: %w", nameOf(leaf), c.err)
		}
	}
	return f, nil
}

func (f *parquetFile) addLeaves(c *parquet.Column) {
	if c.Leaf() {
		f.leaves = append(f.leaves, c)
	}
	for _, child := range c.Columns() {
		f.addLeaves(child)
	}
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
	for batch := c.batch(); batch != nil; batch = c.batch() {
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

// cells is a position in a column.
type cells struct {
	leaf   *parquet.Column
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader // of page
	buf    []parquet.Value
	left   []parquet.Value // of buf
	begun  int64           // rows whose first value was taken
	err    error
}

// peek returns the next value; ok is false at the end, or where err is set.
func (c *cells) peek() (v parquet.Value, ok bool) {
	if len(c.left) == 0 && !c.fill() {
		return v, false
	}
	return c.left[0], true
}

// next takes the next value.
func (c *cells) next() (v parquet.Value, ok bool) {
	if v, ok = c.peek(); ok {
		c.left = c.left[1:]
		if v.RepetitionLevel() == 0 {
			c.begun++
		}
	}
	return v, ok
}

// batch takes some values, nil at the end or where err is set.
func (c *cells) batch() (values []parquet.Value) {
	if len(c.left) == 0 && !c.fill() {
		return nil
	}
	values, c.left = c.left, nil
	return values
}

// seek goes to the beginning of a row.
func (c *cells) seek(row int64) {
	if c.begun > row {
		c.close()
		*c = cells{leaf: c.leaf, buf: c.buf}
	}
	for {
		v, ok := c.peek()
		if !ok || c.begun == row && v.RepetitionLevel() == 0 {
			return
		}
		c.next()
	}
}

// row takes the values of the next row.
func (c *cells) row() (values []parquet.Value) {
	for {
		v, ok := c.peek()
		if !ok || len(values) > 0 && v.RepetitionLevel() == 0 {
			return values
		}
		values = append(values, v.Clone())
		c.next()
	}
}

// fill reads some values.
func (c *cells) fill() bool {
	defer recovered(&c.err)
	if c.pages == nil {
		c.pages = c.leaf.Pages()
	}
	if c.buf == nil {
		c.buf = make([]parquet.Value, 512)
	}
	for c.err == nil {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				if err != io.EOF {
					c.err = err
				}
				return false
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buf)
		c.left = c.buf[:n]
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
		return n > 0
	}
	return false
}

func (c *cells) close() {
	defer recovered(&c.err)
	if c.page != nil {
		parquet.Release(c.page)
	}
	if c.pages != nil {
		_ = c.pages.Close() // of bytes in memory
	}
}

// sameRows reports whether the next n rows are the same in every bit.
func sameRows(a, b *cells, n int) bool {
	endA, endB := a.begun+int64(n), b.begun+int64(n)
	for {
		v, more := a.peek()
		w, moreToo := b.peek()
		more = more && (a.begun < endA || v.RepetitionLevel() > 0)
		moreToo = moreToo && (b.begun < endB || w.RepetitionLevel() > 0)
		if more != moreToo || a.err != nil || b.err != nil {
			return false
		}
		if !more {
			return true
		}
		if !sameValue(v, w) {
			return false
		}
		a.next()
		b.next()
	}
}

func sameValue(a, b parquet.Value) bool {
	if a.RepetitionLevel() != b.RepetitionLevel() || a.DefinitionLevel() != b.DefinitionLevel() || a.Kind() != b.Kind() {
		return false
	}
	switch {
	case a.IsNull():
		return true
	case a.Kind() == parquet.Float:
		return math.Float32bits(a.Float()) == math.Float32bits(b.Float())
	case a.Kind() == parquet.Double:
		return math.Float64bits(a.Double()) == math.Float64bits(b.Double())
	}
	return parquet.Equal(a, b)
}

// sameColumns reports whether two files have columns of the same names and types.
func sameColumns(a, b *parquetFile) bool {
	if len(a.leaves) != len(b.leaves) {
		return false
	}
	for i, x := range a.leaves {
		y := b.leaves[i]
		if nameOf(x) != nameOf(y) || x.Type().String() != y.Type().String() || x.MaxRepetitionLevel() != y.MaxRepetitionLevel() || x.MaxDefinitionLevel() != y.MaxDefinitionLevel() {
			return false
		}
	}
	return true
}

func nameOf(leaf *parquet.Column) string { return strings.Join(leaf.Path(), ".") }

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

// recovered makes an error of a panic of the Parquet library.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("decoder panicked: %v", p)
	}
}
