package shuffle

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/zeebo/xxh3"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/summary"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Keys makes the records of rows. It is for one goroutine.
type Keys struct {
	of    pipeline.Shuffle
	words []byte
	texts [][2]uint64
}

// NewKeys returns what makes the records of a shuffle.
func NewKeys(of pipeline.Shuffle) *Keys { return &Keys{of: of} }

// wordBytes is what a value is in the bytes that are hashed: itself, and a second half that
// tells null from all values.
const wordBytes = 16

// Records appends the record of each row of a batch, which is of a shard, to dst.
func (k *Keys) Records(dst []Record, batch arrow.Record, shard int) ([]Record, error) {
	n, stride := int(batch.NumRows()), wordBytes*len(k.of.Keys)
	if cap(k.words) < n*stride {
		k.words = make([]byte, n*stride)
	}
	k.words = k.words[:n*stride]
	for i, name := range k.of.Keys {
		a, err := column(batch, name)
		if err == nil {
			err = k.fill(name, a, i*wordBytes, stride)
		}
		if err != nil {
			return nil, err
		}
	}
	first := len(dst)
	for i, row := range table.Rows(batch) {
		hash := xxh3.Hash128(k.words[i*stride : (i+1)*stride])
		at, err := place(shard, row)
		if err != nil {
			return nil, err
		}
		if k.of.Descending {
			at ^= placeMask
		}
		dst = append(dst, Record{Key: [2]uint64{hash.Hi, hash.Lo}, At: at << 1})
	}
	if k.of.Value != "" {
		a, err := column(batch, k.of.Value)
		if err == nil {
			err = value(k.of.Value, dst[first:], a)
		}
		if err != nil {
			return nil, err
		}
	}
	if k.of.By == "" {
		return dst, nil
	}
	a, err := column(batch, k.of.By)
	if err != nil {
		return nil, err
	}
	return dst, k.rank(dst[first:], a)
}

func column(batch arrow.Record, name string) (arrow.Array, error) {
	for _, i := range batch.Schema().FieldIndices(name) {
		return batch.Column(i), nil
	}
	return nil, &thalweg.Error{Op: opShuffle, Kind: thalweg.Invalid, Subject: "column " + name, Hint: "it is not there"}
}

// fill writes the words of a column's values, each stride bytes after the one before.
func (k *Keys) fill(name string, a arrow.Array, at, stride int) error {
	le, valid := binary.LittleEndian, table.Valid(a)
	all := a.NullN() == 0
	put := func(i int, lo, hi uint64) {
		if !all && !valid.Has(i) {
			lo, hi = 0, 0
		}
		b := k.words[at+i*stride:][:wordBytes]
		le.PutUint64(b, lo)
		le.PutUint64(b[8:], hi)
	}
	switch a := a.(type) {
	case *array.Int64:
		for i, v := range a.Int64Values() {
			put(i, uint64(v), 1)
		}
	case *array.Timestamp:
		for i, v := range a.TimestampValues() {
			put(i, uint64(v), 1)
		}
	case *array.Float64:
		for i, v := range a.Float64Values() {
			put(i, bitsOf(v), 1)
		}
	case *array.Boolean:
		for i, v := range table.Indicators(a) {
			put(i, uint64(v), 1)
		}
	case *array.Dictionary:
		entries := a.Dictionary().(*array.String)
		k.texts = k.texts[:0]
		for i := range entries.Len() {
			hash := xxh3.HashString128(entries.Value(i))
			k.texts = append(k.texts, [2]uint64{hash.Lo, hash.Hi})
		}
		for i, id := range a.Indices().(*array.Int32).Int32Values() {
			if all || valid.Has(i) {
				put(i, k.texts[id][0], k.texts[id][1])
			} else {
				put(i, 0, 0)
			}
		}
	default:
		return &thalweg.Error{Op: opShuffle, Kind: thalweg.Invalid, Subject: "column " + name, Hint: "rows are not brought together by " + a.DataType().Name()}
	}
	return nil
}

// bitsOf are those of a number of which equal ones have the same: there is one zero, and one
// NaN.
func bitsOf(v float64) uint64 {
	if v != v {
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(v + 0)
}

// value writes the values of rows, of text which entry of the dictionary it is.
func value(name string, rows []Record, a arrow.Array) error {
	var of func(i int) uint64
	switch a := a.(type) {
	case *array.Int64:
		of = func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.Timestamp:
		of = func(i int) uint64 { return uint64(a.Value(i)) }
	case *array.Boolean:
		of = func(i int) uint64 { return map[bool]uint64{true: 1}[a.Value(i)] }
	case *array.Float64:
		of = func(i int) uint64 { return math.Float64bits(a.Value(i)) }
	case *array.Dictionary:
		of = func(i int) uint64 { return uint64(a.GetValueIndex(i)) }
	default:
		return &thalweg.Error{Op: opShuffle, Kind: thalweg.Invalid, Subject: "column " + name, Hint: "rows get no values of " + a.DataType().Name()}
	}
	for i := range table.Present(a).Marked() {
		rows[i].At, rows[i].Value = rows[i].At|valued, of(i)
	}
	return nil
}

// rank writes the ranks of rows by a column.
func (k *Keys) rank(rows []Record, a arrow.Array) error {
	present := table.Present(a)
	set := func(i int, rank uint64) {
		if k.of.Descending {
			rank = ^rank
		}
		rows[i].Rank = rank
	}
	switch a := a.(type) {
	case *array.Int64:
		for i, v := range a.Int64Values() {
			set(i, uint64(v)^1<<63)
		}
	case *array.Timestamp:
		for i, v := range a.TimestampValues() {
			set(i, uint64(v)^1<<63)
		}
	case *array.Boolean:
		for i, v := range table.Indicators(a) {
			set(i, uint64(v))
		}
	case *array.Float64:
		for i, v := range a.Float64Values() {
			set(i, summary.OrderedBits(v))
		}
	default:
		return &thalweg.Error{Op: opShuffle, Kind: thalweg.Invalid, Subject: "column " + k.of.By, Hint: "rows are not ordered by " + a.DataType().Name()}
	}
	for i := range present.Not().Marked() {
		rows[i].Rank, rows[i].At = math.MaxUint64, rows[i].At|unranked
	}
	return nil
}

// Place returns the shard and the row of a record of a shuffle.
func (r *Record) Place(of pipeline.Shuffle) (shard int, row int64) {
	at := r.At >> 1 & placeMask
	if of.Descending {
		at ^= placeMask
	}
	return int(at >> rowBits), int64(at & (1<<rowBits - 1))
}
