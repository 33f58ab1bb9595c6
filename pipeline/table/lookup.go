package table

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
)

// Bounds of the tables that rows are joined to, which are part of each version: those of
// one spec together have MaxLookupBytes.
const (
	MaxLookupRows    = 200_000
	MaxLookupBytes   = 4 << 20
	MaxLookupObjects = 1000
)

// Lookup is a small table that rows are joined to: what its objects held when it was read,
// in one form whatever the order of their rows, their format and their number.
type Lookup struct {
	Name string `json:"name"`
	// Columns are the Keys of the key, and then the others.
	Columns []Column `json:"columns"`
	Keys    int      `json:"keys"`
	Rows    int      `json:"rows"`
	// Cells are the values of each column as a list of texts, or null, in the order of the
	// keys.
	Cells []json.RawMessage `json:"cells"`
	// Objects are those that it was read from.
	Objects []LookupObject `json:"objects"`
}

// LookupObject is an object that a table was read from.
type LookupObject struct {
	Key       string `json:"key"`
	SizeBytes int64  `json:"size_bytes"`
	ETag      string `json:"etag,omitempty"`
}

// SHA256 returns the sha256 in hex of what the table holds, wherever it was read from.
func (l *Lookup) SHA256() string {
	text, err := json.Marshal(Lookup{Columns: l.Columns, Keys: l.Keys, Rows: l.Rows, Cells: l.Cells})
	if err != nil {
		return "" // OpenLookup refuses it
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Bytes returns the bytes of the cells.
func (l *Lookup) Bytes() (n int) {
	for _, c := range l.Cells {
		n += len(c)
	}
	return n
}

// KeyTypes are the types of the columns of keys, and ValueTypes those of others.
var (
	KeyTypes   = []Type{String, Int64, Bool, Timestamp}
	ValueTypes = []Type{String, Int64, Bool, Timestamp, Float64}
)

// LookupBuilder makes a Lookup of batches whose first columns are its.
type LookupBuilder struct {
	lookup Lookup
	rows   [][]*string
	bytes  int
	// Keyless counts the rows without a value in some column of the key: they are left
	// out, since nothing matches them.
	Keyless int64
}

// NewLookupBuilder returns one of a table whose key is the first columns.
func NewLookupBuilder(name string, columns []Column, keys int) *LookupBuilder {
	return &LookupBuilder{lookup: Lookup{Name: name, Columns: columns, Keys: keys}}
}

// Add adds the rows of a batch.
func (b *LookupBuilder) Add(batch arrow.Record) error {
	columns, present := make([]func(row int) *string, len(b.lookup.Columns)), make([]Mask, len(b.lookup.Columns))
	for k := range columns {
		of, err := cells(batch.Column(k))
		if err != nil {
			return err
		}
		columns[k], present[k] = of, Present(batch.Column(k))
	}
	for i := range int(batch.NumRows()) {
		row := make([]*string, len(columns))
		for k, of := range columns {
			if present[k].Has(i) {
				row[k] = of(i)
				b.bytes += len(*row[k])
			}
		}
		if slices.Contains(row[:b.lookup.Keys], nil) {
			b.Keyless++
			continue
		}
		b.rows = append(b.rows, row)
		if len(b.rows) > MaxLookupRows || b.bytes > MaxLookupBytes {
			return b.tooLarge()
		}
	}
	return nil
}

func (b *LookupBuilder) tooLarge() error {
	return &thalweg.Error{Kind: thalweg.Invalid, Err: fmt.Errorf("has more than %d rows, or %d MiB, which a table that versions hold may have", MaxLookupRows, MaxLookupBytes>>20),
		Hint: "name fewer columns, or join large tables where the training data are made, and send the columns with events"}
}

// cells returns the values of a column as texts, by rows that have one; times are in
// microseconds.
func cells(a arrow.Array) (of func(row int) *string, err error) {
	text := func(s string) *string {
		s = strings.Clone(s) // the batch's memory is its owner's
		return &s
	}
	if times, ok := a.(*array.Timestamp); ok {
		return func(row int) *string { return text(strconv.FormatInt(int64(times.Value(row)), 10)) }, nil
	}
	return texts(a, text)
}

// Finish returns the table; a key that two rows have is an error.
func (b *LookupBuilder) Finish() (*Lookup, error) {
	l, keys := &b.lookup, b.lookup.Keys
	byKey := func(x, y []*string) int {
		for k := range keys {
			if order := cmp.Compare(*x[k], *y[k]); order != 0 {
				return order
			}
		}
		return 0
	}
	slices.SortFunc(b.rows, byKey)
	for i := range b.rows[:max(0, len(b.rows)-1)] {
		if byKey(b.rows[i], b.rows[i+1]) == 0 {
			return nil, &thalweg.Error{Kind: thalweg.Invalid, Err: fmt.Errorf("has two rows of the key %s", l.key(b.rows[i])),
				Hint: "a key has one row: make them one where the table is made, or add a column to the key"}
		}
	}
	l.Rows = len(b.rows)
	for k := range l.Columns {
		column := make([]*string, len(b.rows))
		for i, row := range b.rows {
			column[i] = row[k]
		}
		cells, err := json.Marshal(column)
		if err != nil {
			return nil, err
		}
		l.Cells = append(l.Cells, cells)
	}
	if l.Bytes() > MaxLookupBytes {
		return nil, b.tooLarge()
	}
	return l, nil
}

// key is that of a row, for people.
func (l *Lookup) key(row []*string) string {
	parts := make([]string, l.Keys)
	for k, c := range l.Columns[:l.Keys] {
		text := *row[k]
		switch c.Type {
		case String:
			if text = strconv.Quote(text); len(text) > 100 {
				text = strings.ToValidUTF8(text[:100], "") + "…"
			}
		case Timestamp:
			us, _ := strconv.ParseInt(text, 10, 64)
			text = time.UnixMicro(us).UTC().Format(time.RFC3339Nano)
		}
		parts[k] = c.Name + " " + text
	}
	return strings.Join(parts, ", ")
}

// LookupIndex finds the rows of a Lookup. It may be used from several goroutines.
type LookupIndex struct {
	*Lookup
	keys []keyIndex
	// pairs number the beginnings of keys of several columns: the number of those before,
	// and of a value.
	pairs  []map[[2]int32]int32
	values []lookupColumn
}

// keyIndex numbers the values of a column of the key.
type keyIndex struct {
	texts   map[string]int32 // bools are true and false
	numbers map[int64]int32
}

// lookupColumn is the values of a column: numbers, or positions in entries.
type lookupColumn struct {
	valid   Mask
	numbers []int64 // bools are 0 and 1
	floats  []float64
	places  []int32
	entries *array.String
}

// OpenLookup indexes a table, which may come from anywhere.
func OpenLookup(l *Lookup) (*LookupIndex, error) {
	x := &LookupIndex{Lookup: l}
	fail := func(format string, args ...any) (*LookupIndex, error) {
		return nil, &thalweg.Error{Op: "open lookup", Kind: thalweg.Corrupt, Subject: "table " + l.Name, Err: fmt.Errorf(format, args...)}
	}
	if l.Keys < 1 || l.Keys > len(l.Columns) || len(l.Cells) != len(l.Columns) || l.Rows < 0 || l.Rows > MaxLookupRows || l.Bytes() > MaxLookupBytes {
		return fail("%d columns, %d of the key, with %d lists and %d rows cannot be", len(l.Columns), l.Keys, len(l.Cells), l.Rows)
	}
	before := make([]int32, l.Rows) // numbers of the beginnings of keys
	for k, c := range l.Columns {
		var cells []*string
		err := thalweg.DecodeStrict(l.Cells[k], &cells)
		types := ValueTypes
		if k < l.Keys {
			types = KeyTypes
		}
		if err == nil && (len(cells) != l.Rows || !slices.Contains(types, c.Type) || k < l.Keys && slices.Contains(cells, nil)) {
			err = fmt.Errorf("%d values of type %s cannot be", len(cells), c.Type)
		}
		var values lookupColumn
		if err == nil {
			values, err = newLookupColumn(c.Type, cells)
		}
		if err != nil {
			return fail("column %s: %v", c.Name, err)
		}
		if k >= l.Keys {
			x.values = append(x.values, values)
			continue
		}
		of, codes := values.index(c.Type)
		x.keys = append(x.keys, of)
		if k > 0 {
			pairs := make(map[[2]int32]int32)
			for i, code := range codes {
				codes[i] = numbered(pairs, [2]int32{before[i], code})
			}
			x.pairs = append(x.pairs, pairs)
		}
		before = codes
	}
	for i, n := range before {
		if int(n) != i {
			return fail("row %d has the key of row %d", i, n)
		}
	}
	return x, nil
}

// numbered returns the number of a value, a new one where it has none.
func numbered[T comparable](numbers map[T]int32, v T) int32 {
	n, ok := numbers[v]
	if !ok {
		n = int32(len(numbers))
		numbers[v] = n
	}
	return n
}

// numberOf returns the number of a value, -1 where it has none.
func numberOf[T comparable](numbers map[T]int32, v T) int32 {
	n, ok := numbers[v]
	if !ok {
		return -1
	}
	return n
}

func newLookupColumn(t Type, cells []*string) (c lookupColumn, err error) {
	c.valid = NewMask(len(cells))
	entries := newDictionary(memory.DefaultAllocator)
	defer entries.release()
	for i, text := range cells {
		var number int64
		var float float64
		var place int32
		if text != nil {
			c.valid.Set(i)
			switch t {
			case String:
				place, err = entries.id(*text)
			case Float64:
				float, err = strconv.ParseFloat(*text, 64)
			case Bool:
				var v bool
				if v, err = strconv.ParseBool(*text); v {
					number = 1
				}
			default:
				number, err = strconv.ParseInt(*text, 10, 64)
			}
			if err != nil {
				return c, errors.New("a value is none of type " + string(t))
			}
		}
		switch t {
		case String:
			c.places = append(c.places, place)
		case Float64:
			c.floats = append(c.floats, float)
		default:
			c.numbers = append(c.numbers, number)
		}
	}
	c.entries = entries.entries.NewStringArray()
	return c, nil
}

// index numbers the values by their first rows.
func (c *lookupColumn) index(t Type) (x keyIndex, codes []int32) {
	x = keyIndex{make(map[string]int32), make(map[int64]int32)}
	codes = make([]int32, c.valid.Rows)
	for i := range codes {
		switch {
		case c.places != nil:
			codes[i] = numbered(x.texts, c.entries.Value(int(c.places[i])))
		case t == Bool:
			codes[i] = numbered(x.texts, strconv.FormatBool(c.numbers[i] == 1))
		default:
			codes[i] = numbered(x.numbers, c.numbers[i])
		}
	}
	return x, codes
}

// Find returns for each row of the columns of a key, which are of its types, the row of
// the table that has it, -1 where none has or a value is null.
func (x *LookupIndex) Find(columns ...arrow.Array) []int32 {
	rows := x.keys[0].find(columns[0])
	for k, pairs := range x.pairs {
		codes := x.keys[k+1].find(columns[k+1])
		for i, code := range codes {
			rows[i] = numberOf(pairs, [2]int32{rows[i], code})
		}
	}
	return rows
}

// find returns the number of the value of each row.
func (x *keyIndex) find(a arrow.Array) []int32 {
	number := func(v int64) int32 { return numberOf(x.numbers, v) }
	of := Resolver(a, func(text string) int32 { return numberOf(x.texts, text) }, number)
	if times, ok := a.(*array.Timestamp); ok {
		of = func(row int) int32 { return number(int64(times.Value(row))) }
	}
	out, valid := make([]int32, a.Len()), Valid(a)
	for row := range out {
		if out[row] = -1; valid.Has(row) {
			out[row] = of(row)
		}
	}
	return out
}

// Take returns the values of a column behind those of the key in rows of the table, null
// for -1. The caller releases it.
func (x *LookupIndex) Take(mem memory.Allocator, column int, rows []int32) arrow.Array {
	c, t := &x.values[column-x.Keys], x.Columns[column].Type
	valid := NewMask(len(rows))
	for i, r := range rows {
		if r >= 0 && c.valid.Has(int(r)) {
			valid.Set(i)
		}
	}
	if t == String {
		return c.text(mem, rows, valid)
	}
	var buf *memory.Buffer
	switch t {
	case Float64:
		buf = taken(mem, rows, valid, c.floats, arrow.Float64Traits, func(v float64) float64 { return v })
	case Timestamp:
		buf = taken(mem, rows, valid, c.numbers, arrow.TimestampTraits, func(v int64) arrow.Timestamp { return arrow.Timestamp(v) })
	case Bool:
		values := NewMask(len(rows))
		for i := range valid.Marked() {
			if c.numbers[rows[i]] == 1 {
				values.Set(i)
			}
		}
		buf = values.Buffer(mem)
	default:
		buf = taken(mem, rows, valid, c.numbers, arrow.Int64Traits, func(v int64) int64 { return v })
	}
	return NewColumn(mem, t, len(rows), buf, valid)
}

func taken[S, T any](mem memory.Allocator, rows []int32, valid Mask, from []S, t Traits[T], as func(S) T) *memory.Buffer {
	buf, out := Alloc(mem, len(rows), t)
	clear(out)
	for i := range valid.Marked() {
		out[i] = as(from[rows[i]])
	}
	return buf
}

// text shares the table's entries with a batch that is larger than they are, and gives
// another those that it has: what is done to a text is done to each entry.
func (c *lookupColumn) text(mem memory.Allocator, rows []int32, valid Mask) arrow.Array {
	buf, out := Alloc(mem, len(rows), arrow.Int32Traits)
	clear(out)
	if c.entries.Len() <= len(rows) {
		for i := range valid.Marked() {
			out[i] = c.places[rows[i]]
		}
		return NewText(mem, len(rows), buf, valid, c.entries)
	}
	b := array.NewStringBuilder(mem)
	defer b.Release()
	places := make(map[int32]int32)
	for i := range valid.Marked() {
		place := c.places[rows[i]]
		if out[i] = numbered(places, place); int(out[i]) == b.Len() {
			b.Append(c.entries.Value(int(place)))
		}
	}
	entries := b.NewArray()
	defer entries.Release()
	return NewText(mem, len(rows), buf, valid, entries)
}
