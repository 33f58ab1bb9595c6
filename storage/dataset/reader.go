package dataset

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/parquet/compress"
	"github.com/thalweg/thalweg/storage/parquet/decode"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// Reader yields the rows of one shard as Arrow batches, in the order of the
// file. One goroutine uses it at a time.
type Reader struct {
	key     string
	file    *metadata.File
	cfg     ReaderConfig
	schema  *arrow.Schema
	columns []*decode.Column
	places  []int // by field of schema: its column, or -1 where all rows are null
	groups  groups
	group   *fetched // the row group being decoded, nil before the first
	left    int64    // rows of it not yet decoded
	// batchRows is the most rows of a batch of it.
	batchRows int64
	// Where the last batch is: its row group, and its first row in the object.
	lastGroup int
	lastRow   int64

	err    error // what Next returns from now on
	closed bool
}

// batchElements is the elements of lists of a column that a batch has about: 8 MiB.
const batchElements = 1 << 20

// groups yields the row groups of a shard.
type groups interface {
	next() *fetched // nil after the last
	close()
}

// newReader returns a Reader of columns of file, still without groups. A column that
// the file lacks is null if it may be absent, else NotFound.
func newReader(key string, file *metadata.File, columns []string, absent bool, cfg ReaderConfig) (*Reader, error) {
	r := &Reader{key: key, file: file, cfg: cfg}
	nodes, err := choose(key, file, columns, absent)
	if err != nil {
		return nil, err
	}
	z, err := cfg.Pool.unzstd()
	if err != nil {
		return nil, &thalweg.Error{Op: "open shard", Subject: objectSubject(key), Err: err}
	}
	unz := compress.New(z)
	fields := make([]arrow.Field, len(nodes))
	r.places = make([]int, len(nodes))
	for i, n := range nodes {
		if n == nil || n.Flat() && n.Logical.Annotation == metadata.Null {
			if r.places[i] = -1; n != nil {
				fields[i].Name = n.Name
			} else {
				fields[i].Name = columns[i]
			}
			fields[i].Type, fields[i].Nullable = arrow.Null, true
			continue
		}
		c, err := decode.New(n, cfg.Allocator, unz)
		if err != nil {
			return nil, failure("open shard", columnSubject(key, -1, n.Name), err)
		}
		r.places[i] = len(r.columns)
		r.columns = append(r.columns, c)
		fields[i] = c.Field()
	}
	r.schema = arrow.NewSchema(fields, nil)
	return r, nil
}

// choose returns the nodes of the named columns, of all without names; nil for one
// that is absent and may be.
func choose(key string, file *metadata.File, columns []string, absent bool) ([]*metadata.Node, error) {
	if len(columns) == 0 {
		return file.Schema.Children, nil
	}
	nodes := make([]*metadata.Node, 0, len(columns))
	for _, name := range columns {
		named := func(n *metadata.Node) bool { return n.Name == name }
		i := slices.IndexFunc(file.Schema.Children, named)
		if i < 0 && absent {
			nodes = append(nodes, nil)
			continue
		}
		if i < 0 {
			return nil, &thalweg.Error{Op: "open shard", Kind: thalweg.NotFound, Subject: columnSubject(key, -1, name),
				Hint: "it has " + columnNames(file)}
		}
		if slices.Contains(nodes, file.Schema.Children[i]) {
			return nil, &thalweg.Error{Op: "open shard", Kind: thalweg.Invalid, Subject: columnSubject(key, -1, name),
				Err: errors.New("asked for twice")}
		}
		if slices.ContainsFunc(file.Schema.Children[i+1:], named) {
			return nil, &thalweg.Error{Op: "open shard", Kind: thalweg.Unsupported, Subject: columnSubject(key, -1, name),
				Err: errors.New("the object has two columns of the name")}
		}
		nodes = append(nodes, file.Schema.Children[i])
	}
	return nodes, nil
}

// columnNames lists the columns of a file for people, at most so many.
func columnNames(file *metadata.File) string {
	const most = 20
	var names []string
	for i, n := range file.Schema.Children {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(file.Schema.Children)-most))
			break
		}
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

// chunks returns the column chunks that the chosen columns need.
func (r *Reader) chunks() []int {
	needed := make([]int, len(r.columns))
	for i, c := range r.columns {
		needed[i] = c.Chunk()
	}
	return needed
}

// Schema returns the natural Arrow schema of the batches.
func (r *Reader) Schema() *arrow.Schema { return r.schema }

// Next returns the next batch, which the caller releases, or io.EOF after the
// last. A batch shares no memory with the Reader and outlives it. Within a
// batch a string column has one dictionary, which may have entries that no row
// uses, and every index lies within it, those of nulls too; batches of one row
// group may share theirs. After an error the Reader gives the same error again.
func (r *Reader) Next() (arrow.Record, error) {
	if r.err != nil {
		return nil, r.err
	}
	rec, err := r.next()
	if err != nil {
		r.err = err
		r.finish()
		return nil, err
	}
	return rec, nil
}

func (r *Reader) next() (arrow.Record, error) {
	for r.left == 0 {
		if err := r.nextGroup(); err != nil {
			return nil, err
		}
	}
	n := int(min(r.left, r.batchRows))
	arrays := make([]arrow.Array, 0, len(r.places))
	defer func() {
		for _, a := range arrays {
			a.Release()
		}
	}()
	for _, c := range r.columns {
		err := guard(func() error {
			a, err := c.Next(n)
			if err != nil {
				return err
			}
			arrays = append(arrays, a)
			if int64(n) == r.left {
				return c.Done()
			}
			return nil
		})
		if err != nil {
			return nil, failure("read shard", columnSubject(r.key, r.group.group, c.Field().Name), err)
		}
	}
	r.lastGroup, r.lastRow = r.group.group, r.firstOf(r.group.group+1)-r.left
	r.left -= int64(n)
	columns := make([]arrow.Array, len(r.places))
	for i, at := range r.places {
		if at < 0 {
			at = len(arrays)
			arrays = append(arrays, array.NewNull(n))
		}
		columns[i] = arrays[at]
	}
	return array.NewRecord(r.schema, columns, int64(n)), nil
}

// Place returns where the last batch is: the object, the row group, and the row of
// the object that it begins with.
func (r *Reader) Place() (object string, rowGroup int, row int64) {
	return r.key, r.lastGroup, r.lastRow
}

// firstOf returns the row of the object that a row group begins with.
func (r *Reader) firstOf(group int) (row int64) {
	for _, g := range r.file.RowGroups[:group] {
		row += g.Rows
	}
	return row
}

// nextGroup goes to the next row group.
func (r *Reader) nextGroup() error {
	r.dropGroup()
	got := r.groups.next()
	if got == nil {
		return io.EOF
	}
	if got.err != nil {
		return got.err
	}
	r.group = got
	r.left = r.file.RowGroups[got.group].Rows
	r.batchRows = int64(r.cfg.BatchRows)
	for _, c := range r.columns {
		chunk := r.file.RowGroups[got.group].Chunks[c.Chunk()]
		if r.left > 0 { // more values than rows: lists
			r.batchRows = max(1, min(r.batchRows, batchElements/max(1, chunk.Values/r.left)))
		}
		c.Open(chunk, got.pages[c.Chunk()])
	}
	return nil
}

func (r *Reader) dropGroup() {
	if r.group != nil {
		r.group.release()
		r.group = nil
	}
}

// Close stops prefetching and gives buffers back. It does not touch batches.
func (r *Reader) Close() error {
	if r.err == nil {
		r.err = &thalweg.Error{Op: "read shard", Kind: thalweg.Invalid, Subject: objectSubject(r.key), Err: errors.New("reader is closed")}
	}
	r.finish()
	return nil
}

// finish gives back all memory, once.
func (r *Reader) finish() {
	if r.closed {
		return
	}
	r.closed = true
	r.dropGroup()
	if r.groups != nil {
		r.groups.close()
	}
	for _, c := range r.columns {
		c.Close()
	}
}
