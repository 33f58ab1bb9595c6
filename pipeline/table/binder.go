package table

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// Binder turns records of one natural schema into canonical batches. It is
// immutable and may be used from several goroutines.
type Binder struct {
	// RowMemory holds the numbers of rows, which no conversion makes. It need not be clear.
	RowMemory memory.Allocator

	mem     memory.Allocator
	want    Schema
	out     *arrow.Schema
	zone    *time.Location
	columns []boundColumn
}

// boundColumn is where a canonical column comes from.
type boundColumn struct {
	Column
	from    int
	natural arrow.DataType
	convert conversion
	// local: timestamps name no zone, and the schema names one other than UTC.
	local bool
	// unread: a value that cannot be carried is null.
	unread bool
}

// NewBinder returns the binder of records of schema have to the columns of
// want, found by name. Columns of have that want does not list are left out. It
// fails with thalweg.Invalid, naming the column, where one is missing, occurs
// twice, or is of a type that FromArrow maps to another one than want says. A
// column of type null can be any, and one of integers Float64, where it has no value
// that a float64 has not.
func NewBinder(want Schema, have *arrow.Schema) (*Binder, error) {
	// LoadLocation has UTC for "".
	zone, err := time.LoadLocation(want.Timezone)
	if err != nil {
		return nil, &thalweg.Error{Op: "bind columns", Kind: thalweg.Invalid, Subject: "timezone " + want.Timezone, Err: err}
	}
	if err := want.protects(); err != nil {
		return nil, err
	}
	b := &Binder{RowMemory: memory.DefaultAllocator, mem: memory.DefaultAllocator, want: want, out: want.Arrow(), zone: zone}
	for i := range want.Columns {
		c := want.Columns[i].AtSource()
		found := have.FieldIndices(c.Name)
		if len(found) != 1 {
			return nil, notOnce(c.Name, len(found), have)
		}
		f := have.Field(found[0])
		t, convert := canonical(f.Type)
		if f.Type.ID() == arrow.NULL {
			if !c.Nullable {
				return nil, &thalweg.Error{Op: "bind columns", Kind: thalweg.Invalid, Subject: "column " + c.Name,
					Err: errors.New("is not there, or of type null, and is declared to have no nulls"), Hint: "declare it nullable: true, or write the objects with it"}
			}
			t, convert = c.Type, nulls(c.Type)
		}
		if t == Int64 && c.Type == Float64 && arrow.IsInteger(f.Type.ID()) {
			t, convert = Float64, exactly(convert)
		}
		unread := c.Nullable && slices.Contains(want.Unread, c.Name)
		if t != c.Type && unread {
			t, convert = c.Type, nulls(c.Type)
		}
		if t != c.Type {
			return nil, &thalweg.Error{Op: "bind columns", Kind: thalweg.Invalid, Subject: "column " + c.Name,
				Err: fmt.Errorf("holds %s, which does not become %s", arrowtype.Name(f.Type), c.Type), Hint: castHint(t)}
		}
		b.columns = append(b.columns, boundColumn{Column: c, from: found[0], natural: f.Type,
			convert: convert, local: zone != time.UTC && t == Timestamp && isLocal(f.Type), unread: unread})
	}
	return b, nil
}

func notOnce(name string, times int, have *arrow.Schema) error {
	e := &thalweg.Error{Op: "bind columns", Kind: thalweg.Invalid, Subject: "column " + name}
	if times > 1 {
		e.Err = errors.New("occurs more than once")
		return e
	}
	e.Err = errors.New("is not there")
	names := make([]string, 0, have.NumFields())
	for _, f := range have.Fields() {
		names = append(names, f.Name)
	}
	e.Hint = spelling.Hint(name, slices.Values(names))
	return e
}

func castHint(t Type) string {
	if t == "" {
		return "no column type of a pipeline carries it"
	}
	return fmt.Sprintf("declare it as %s and use a cast step", t)
}

// Bind returns the canonical batch of a record: the wanted columns, then
// RowColumn counting up from firstRow. Memory is shared where the types agree;
// the record stays the caller's, who also releases the result. A value that
// cannot be carried, or a null in a column that has none, is thalweg.Invalid
// and names column and row.
func (b *Binder) Bind(rec arrow.Record, firstRow int64) (arrow.Record, error) {
	columns := make([]arrow.Array, 0, len(b.columns)+1)
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, c := range b.columns {
		a, err := b.bindColumn(c, rec)
		if err == nil {
			if i := firstNull(a); i >= 0 && !c.Nullable {
				err = &badValue{row: i, what: "is null in a column that is declared to have no nulls"}
			}
		}
		if err == nil && c.PII != "" {
			raw := a
			a, err = b.want.Protect(b.mem, c.Column, raw)
			raw.Release()
		}
		if a != nil {
			columns = append(columns, a)
		}
		if err != nil {
			return nil, bindError(c.Column, firstRow, err)
		}
	}
	columns = append(columns, b.rowNumbers(firstRow, int(rec.NumRows())))
	return array.NewRecord(b.out, columns, rec.NumRows()), nil
}

func (b *Binder) bindColumn(c boundColumn, rec arrow.Record) (arrow.Array, error) {
	if c.from >= int(rec.NumCols()) || rec.ColumnName(c.from) != c.Name {
		return nil, errors.New("is not where the binder's schema has it")
	}
	a := rec.Column(c.from)
	if !arrow.TypeEqual(a.DataType(), c.natural) {
		return nil, fmt.Errorf("holds %s, not the %s of the binder's schema", arrowtype.Name(a.DataType()), arrowtype.Name(c.natural))
	}
	return b.converted(c, a)
}

func (b *Binder) converted(c boundColumn, a arrow.Array) (arrow.Array, error) {
	bound, err := c.convert(b.mem, a)
	if err == nil && c.local {
		defer bound.Release()
		bound, err = fromLocal(b.mem, bound, b.zone)
	}
	if err == nil || !c.unread || !errors.As(err, new(*badValue)) {
		return bound, err
	}
	n := int64(a.Len())
	if n == 1 || c.Type.Element() != "" { // a part of lists has the elements of all
		return nulls(c.Type)(b.mem, a)
	}
	var halves [2]arrow.Array
	for i := range halves {
		part := array.NewSlice(a, int64(i)*n/2, int64(i+1)*n/2)
		defer part.Release()
		if halves[i], err = b.converted(c, part); err != nil {
			return nil, err
		}
		defer halves[i].Release()
	}
	return array.Concatenate(halves[:], b.mem)
}

// badValue is a value that cannot be carried, by its row in the record.
type badValue struct {
	row  int
	what string
}

func (e *badValue) Error() string { return e.what }

func bindError(column Column, firstRow int64, err error) error {
	e := &thalweg.Error{Op: "bind columns", Kind: thalweg.Invalid, Subject: "column " + column.Name, Err: err}
	if kind := thalweg.KindOf(err); kind != thalweg.Other {
		e.Kind = kind
	}
	var bad *badValue
	if errors.As(err, &bad) {
		if column.PII != "" { // what is wrong with it tells the value
			err = &badValue{bad.row, fmt.Sprintf("cannot be carried as %s or is null", column.Type)}
		}
		e.Subject, e.Err = "", &RowError{What: "column " + column.Name, Row: firstRow + int64(bad.row), Err: err}
	}
	return e
}

// firstNull returns the first null's position, or -1.
func firstNull(a arrow.Array) int {
	if a.NullN() == 0 {
		return -1
	}
	from, to := Valid(a).Not().span()
	if to == 0 {
		return -1
	}
	return from
}

func (b *Binder) rowNumbers(first int64, n int) arrow.Array {
	buf, rows := Alloc(b.RowMemory, n, arrow.Int64Traits)
	for i := range rows {
		rows[i] = first + int64(i)
	}
	return NewColumn(b.RowMemory, Int64, n, buf, Mask{})
}
