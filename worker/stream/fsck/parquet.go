package fsck

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

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
		for batch, err := range f.batches(leaf) {
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", guard.NameOf(leaf), err)
			}
			for i := range batch {
				if batch[i].RepetitionLevel() == 0 {
					rows++
				}
			}
		}
		if rows != f.rows {
			return nil, fmt.Errorf("column %s: it has %d rows of %d", guard.NameOf(leaf), rows, f.rows)
		}
	}
	return f, nil
}

// batches yields the values of a column, some at a time, each valid until the
// next.
func (f *parquetFile) batches(leaf *parquet.Column) iter.Seq2[[]parquet.Value, error] {
	guarded := func(do func() error) (err error) {
		defer guard.Recover(&err)
		return do()
	}
	return func(yield func([]parquet.Value, error) bool) {
		buf := make([]parquet.Value, 512)
		more := true
		for _, group := range f.file.RowGroups() {
			var r parquet.ColumnChunkValueReader
			n := 0
			err := guarded(func() error {
				r = parquet.NewColumnChunkValueReader(group.ColumnChunks()[leaf.Index()])
				return nil
			})
			for err == nil && more {
				if err = guarded(func() (err error) { n, err = r.ReadValues(buf); return err }); err == nil {
					more = yield(buf[:n], nil)
				}
			}
			if r != nil {
				_ = guarded(r.Close) // of bytes in memory
			}
			if !more {
				return
			}
			if err != io.EOF {
				yield(nil, err)
				return
			}
		}
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
func (f *parquetFile) each(leaf *parquet.Column, do func(row int64, v parquet.Value) bool) {
	row := int64(0)
	for batch, err := range f.batches(leaf) {
		if err != nil {
			return // but the file was read before, without one
		}
		for _, v := range batch {
			if !do(row, v) {
				return
			}
			row++
		}
	}
}

// offsets returns the offsets of the rows, or why there are none.
func (f *parquetFile) offsets() (at []int64, why string) {
	leaf, why := f.column("_offset")
	if why != "" {
		return nil, why
	}
	if !isNumber(leaf) || leaf.Type().Kind() != parquet.Int64 {
		return nil, "_offset is no int64"
	}
	at = make([]int64, 0, f.rows)
	f.each(leaf, func(row int64, v parquet.Value) bool {
		if v.IsNull() {
			why = fmt.Sprintf("row %d has no offset", row)
		}
		at = append(at, v.Int64())
		return why == ""
	})
	return at, why
}

// rowSums returns a sum of every row of a column, which differs where a bit of
// its values or of their nesting does.
func (f *parquetFile) rowSums(leaf *parquet.Column, seed maphash.Seed) []uint64 {
	sums := make([]uint64, 0, f.rows)
	var row maphash.Hash
	row.SetSeed(seed)
	var head, body []byte
	for batch, err := range f.batches(leaf) {
		if err != nil {
			return sums // but the file was read before, without one
		}
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

func isText(leaf *parquet.Column) bool { return leaf.Type().String() == "STRING" }

// isNumber reports whether a column has signed integers.
func isNumber(leaf *parquet.Column) bool {
	switch leaf.Type().String() {
	case "INT32", "INT64", "INT(8,true)", "INT(16,true)", "INT(32,true)", "INT(64,true)":
		return true
	}
	return false
}

// isTime reports whether a column has times in microseconds.
func isTime(leaf *parquet.Column) bool {
	kind := leaf.Type().String()
	return strings.HasPrefix(kind, "TIMESTAMP(") && strings.HasSuffix(kind, "unit=MICROS)")
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
