// Package guard opens Parquet files of writers that nobody vouches for with
// parquet-go, which believes what a file claims to hold: one flipped bit makes it
// allocate gigabytes, or panic. The sizes of the footer and of pages and the
// lengths of runs are checked before it decodes them.
//
// It is for those who do not read by storage/parquet/decode: what a file holds is
// for parquet-go alone to say.
package guard

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// Open opens a file, all pages of which can hold what they claim. The library may
// panic nevertheless, here and in reading: see Recover.
func Open(body []byte) (file *parquet.File, err error) {
	defer Recover(&err)
	if err := checkFooter(body); err != nil {
		return nil, err
	}
	file, err = parquet.OpenFile(bytes.NewReader(body), int64(len(body)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	return file, checkPages(body, file)
}

// checkFooter checks that the footer lies in the file, and that the lists in it
// are as long as they say.
func checkFooter(body []byte) error {
	n, err := metadata.FooterLength(body, int64(len(body)))
	if err != nil {
		return err
	}
	if n > maxFooterBytes {
		return fmt.Errorf("a footer of %d bytes", n)
	}
	end := len(body) - metadata.TailSize
	items, err := metadata.Elements(body[end-int(n) : end])
	if err == nil && items > maxFooterItems {
		err = fmt.Errorf("a footer with lists of %d elements", items)
	}
	return err
}

// Rows yields the rows of a file that Open opened. They are read one at a time: a
// few bytes of a page may stand for a large row.
func Rows[T any](file *parquet.File) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		rows, err := open[T](file)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		var kinds []parquet.Kind // by column
		for _, path := range rows.Schema().Columns() {
			leaf, _ := rows.Schema().Lookup(path...)
			kinds = append(kinds, leaf.Node.Type().Kind())
		}
		for range file.NumRows() {
			one := new(T)
			if err := readRow(rows, rows.Schema(), kinds, one); !yield(one, err) || err != nil {
				return
			}
		}
	}
}

func open[T any](file *parquet.File) (r *parquet.GenericReader[T], err error) {
	defer Recover(&err)
	return parquet.NewGenericReader[T](file), nil
}

// readRow sets one to the next row. Damaged levels leave a column without a value, so
// that the library takes the next column's: its type is checked before.
func readRow(rows parquet.RowReader, schema *parquet.Schema, kinds []parquet.Kind, one any) (err error) {
	defer Recover(&err)
	var row [1]parquet.Row
	n, err := rows.ReadRows(row[:])
	if n == 0 {
		return cmp.Or(err, io.ErrUnexpectedEOF)
	}
	err = nil // with the last row comes the end
	seen := 0
	row[0].Range(func(column int, values []parquet.Value) bool {
		if column != seen || column >= len(kinds) || len(values) == 0 {
			err = fmt.Errorf("a row without a value of column %d", seen)
			return false
		}
		for _, v := range values {
			if !v.IsNull() && v.Kind() != kinds[column] {
				err = fmt.Errorf("column %d holds a %s", column, v.Kind())
				return false
			}
		}
		seen++
		return true
	})
	if err == nil && seen != len(kinds) {
		err = fmt.Errorf("a row of %d columns, not %d", seen, len(kinds))
	}
	if err != nil {
		return err
	}
	return schema.Reconstruct(one, row[0])
}

// Leaves returns the columns of values below a column, in the order of the file.
func Leaves(c *parquet.Column) (leaves []*parquet.Column) {
	if c.Leaf() {
		return []*parquet.Column{c}
	}
	for _, child := range c.Columns() {
		leaves = append(leaves, Leaves(child)...)
	}
	return leaves
}

// NameOf returns the path of a column with dots.
func NameOf(leaf *parquet.Column) string { return strings.Join(leaf.Path(), ".") }

// Recover makes an error of a panic of the library. It must be deferred.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("decoder panicked: %v", p)
	}
}
