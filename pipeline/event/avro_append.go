package event

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// AvroEncoder writes rows as the events that a Decoder of the same schema
// decodes to them.
type AvroEncoder struct {
	fields []avroWrite
}

// avroWrite is a field of the schema: the column that it is written from, and
// where null and other values go.
type avroWrite struct {
	name   string
	column int // -1: none, it is null
	typ    *avroType
	branch int // of a union, where typ is; -1: no union
	null   int // the branch of null; -1: none
	item   *avroWrite
}

// newAvroWrite returns how values of a column type are written as t; typ is empty
// where there is no column. It reports whether they can be.
func newAvroWrite(name string, t *avroType, typ table.Type) (w avroWrite, fits bool) {
	w = avroWrite{name: name, column: -1, typ: t, branch: -1, null: -1}
	branches := []*avroType{t}
	if t.kind == avroUnion {
		branches = t.parts
	}
	for k, b := range branches {
		if b.kind == avroNull {
			w.null = k
		} else if !fits && typ != "" && b.fills(typ, false) {
			w.typ, w.branch, fits = b, k, true
		}
	}
	if t.kind != avroUnion {
		w.branch = -1
	}
	if fits && w.typ.kind == avroArray {
		var item avroWrite
		item, fits = newAvroWrite(name, w.typ.parts[0], typ.Element())
		w.item = &item
	}
	return w, fits
}

// NewAvroEncoder returns an encoder of batches with the columns of rows. It is
// Invalid if a field of the schema can be written from no column and may not be
// null.
func NewAvroEncoder(schema string, rows *arrow.Schema) (*AvroEncoder, error) {
	fail := func(field, hint string) error {
		return &thalweg.Error{Op: "encode avro", Kind: thalweg.Invalid, Subject: field, Hint: hint}
	}
	t, err := parseAvro(schema)
	if err != nil {
		return nil, fail("schema", err.Error())
	}
	if t.kind != avroRecord {
		return nil, fail("schema", "it is not one of a record")
	}
	e := new(AvroEncoder)
	for i, name := range t.fields {
		at := rows.FieldIndices(name)
		var typ table.Type
		if len(at) == 1 {
			typ = table.TypeOf(rows.Field(at[0]).Type)
		}
		w, fits := newAvroWrite(name, t.parts[i], typ)
		if len(at) == 1 {
			w.column = at[0]
		} else {
			fits = w.null >= 0
		}
		if !fits {
			return nil, fail(fmt.Sprintf("field %q", name), "it can be written from no column")
		}
		e.fields = append(e.fields, w)
	}
	return e, nil
}

// Append appends one row of a canonical batch to dst. It is Invalid if a value
// has no form in the schema.
func (e *AvroEncoder) Append(dst []byte, rec arrow.Record, row int) ([]byte, error) {
	for i := range e.fields {
		w := &e.fields[i]
		var c arrow.Array
		if w.column >= 0 {
			c = rec.Column(w.column)
		}
		var err error
		if dst, err = w.write(dst, c, row); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// write appends a value, or null, of a column, which may be nil.
func (w *avroWrite) write(dst []byte, c arrow.Array, row int) ([]byte, error) {
	if c == nil || c.IsNull(row) {
		if w.null < 0 {
			return nil, w.fail("null")
		}
		if w.typ.kind != avroNull {
			dst = binary.AppendVarint(dst, int64(w.null))
		}
		return dst, nil
	}
	if w.branch >= 0 {
		dst = binary.AppendVarint(dst, int64(w.branch))
	}
	return w.append(dst, c, row)
}

func (w *avroWrite) fail(value any) error {
	return &thalweg.Error{Op: "encode avro", Kind: thalweg.Invalid, Subject: fmt.Sprintf("field %q", w.name),
		Err: fmt.Errorf("%v has no form as %s", value, w.typ.name)}
}

func (w *avroWrite) append(dst []byte, column arrow.Array, row int) ([]byte, error) {
	switch c := column.(type) {
	case *array.Boolean:
		if c.Value(row) {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case *array.Float64:
		switch v := c.Value(row); {
		case w.typ.kind == avroFloat:
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v))), nil
		case w.typ.kind == avroDouble:
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v)), nil
		case v == math.Trunc(v) && v >= -1<<63 && v < 1<<63:
			return w.integer(dst, int64(v))
		default:
			return nil, w.fail(v)
		}
	case *array.Int64:
		v := c.Value(row)
		switch {
		case w.typ.logical == nil:
			return w.integer(dst, v)
		case v%w.typ.logical.unit == 0:
			return w.integer(dst, v/w.typ.logical.unit)
		}
		return nil, w.fail(v)
	case *array.Timestamp:
		return w.time(dst, int64(c.Value(row)))
	case *array.Dictionary:
		word := wordOf(c, row)
		if w.typ.kind == avroString {
			return append(binary.AppendVarint(dst, int64(len(word))), word...), nil
		}
		for i, symbol := range w.typ.symbols {
			if string(symbol) == word {
				return binary.AppendVarint(dst, int64(i)), nil
			}
		}
		return nil, w.fail(word)
	case *array.List:
		from, to := c.ValueOffsets(row)
		if from < to {
			dst = binary.AppendVarint(dst, to-from)
		}
		for e := from; e < to; e++ {
			var err error
			if dst, err = w.item.write(dst, c.ListValues(), int(e)); err != nil {
				return nil, err
			}
		}
		return append(dst, 0), nil
	}
	panic(fmt.Sprintf("event: a column of type %s is not canonical", column.DataType()))
}

func (w *avroWrite) integer(dst []byte, v int64) ([]byte, error) {
	if w.typ.kind == avroInt && int64(int32(v)) != v {
		return nil, w.fail(v)
	}
	return binary.AppendVarint(dst, v), nil
}

func (w *avroWrite) time(dst []byte, us int64) ([]byte, error) {
	l := w.typ.logical
	switch {
	case w.typ.kind == avroString && us >= table.MinMicros && us <= table.MaxMicros:
		text := time.UnixMicro(us).UTC().AppendFormat(nil, timeLayout)
		return append(binary.AppendVarint(dst, int64(len(text))), text...), nil
	case l == nil: // a text of another year
	case l.unit > 0 && us%l.unit == 0:
		return w.integer(dst, us/l.unit)
	case l.unit == 0 && us <= math.MaxInt64/1000 && us >= math.MinInt64/1000:
		return w.integer(dst, us*1000)
	}
	return nil, w.fail(us)
}

// AvroSchemaOf returns a writer's schema of rows with the columns of a schema:
// timestamps in microseconds, and a union with null where a column may be null.
// It is Invalid if a column's name is none of Avro.
func AvroSchemaOf(name string, schema table.Schema) (string, error) {
	types := map[table.Type]any{table.String: "string", table.Int64: "long", table.Float64: "double", table.Bool: "boolean",
		table.Timestamp: map[string]string{"type": "long", "logicalType": "timestamp-micros"}}
	for _, t := range table.Types() {
		if e := t.Element(); e != "" {
			types[t] = map[string]any{"type": "array", "items": []any{"null", types[e]}}
		}
	}
	type field struct {
		Name string `json:"name"`
		Type any    `json:"type"`
	}
	fields := []field{}
	for _, c := range schema.Columns {
		f := field{c.Name, types[c.Type]}
		if c.Nullable {
			f.Type = []any{"null", f.Type}
		}
		fields = append(fields, f)
	}
	text, err := json.Marshal(struct {
		Type   string  `json:"type"`
		Name   string  `json:"name"`
		Fields []field `json:"fields"`
	}{"record", name, fields})
	if err == nil {
		_, err = parseAvro(string(text))
	}
	if err != nil {
		return "", &thalweg.Error{Op: "make avro schema", Kind: thalweg.Invalid, Subject: name, Err: err}
	}
	return string(text), nil
}
