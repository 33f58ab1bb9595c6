package serve

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg/pipeline/table"

	"github.com/thalweg/thalweg/coordinator/api"
)

// The datatypes of the Open Inference Protocol that columns have.
const (
	boolType  = "BOOL"
	int64Type = "INT64"
	fp32Type  = "FP32"
	fp64Type  = "FP64"
	bytesType = "BYTES"
)

// integers are the datatypes of whole numbers, by their bytes, negative if they are signed.
var integers = map[string]int{"INT8": -1, "INT16": -2, "INT32": -4, int64Type: -8, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8}

// maxRank bounds the dimensions of a tensor: rows, and the elements of a list.
const maxRank = 8

// datatypeOf returns the datatype of a column, and its shape of any number of rows.
func datatypeOf(t table.Type) (datatype string, shape []int64) {
	shape = []int64{-1}
	if e := t.Element(); e != "" {
		t, shape = e, []int64{-1, -1}
	}
	switch t {
	case table.Bool:
		return boolType, shape
	case table.Int64:
		return int64Type, shape
	case table.Float64:
		return fp64Type, shape
	}
	return bytesType, shape // texts, and timestamps as texts
}

// takes reports whether a column of the type takes the values of a datatype. Numbers are
// taken by what they are worth: a whole one by a float column, a float that is whole by an
// integer column. What is wrong with a value is said of its row.
func takes(t table.Type, datatype string) bool {
	t = cmp.Or(t.Element(), t)
	number := integers[datatype] != 0 || datatype == fp32Type || datatype == fp64Type
	switch t {
	case table.Bool:
		return datatype == boolType
	case table.Int64, table.Float64:
		return number
	case table.Timestamp:
		return number || datatype == bytesType // as timestamp_formats say
	}
	return datatype == bytesType
}

// tensor is an input: for each row, so many elements of a column.
type tensor struct {
	name, datatype string
	column         table.Column
	rows, width    int
	// append appends element i as JSON.
	append func(to []byte, i int) []byte
}

// newTensor checks what is said of a tensor; its elements are set by JSON or binary data.
func newTensor(inputs table.Schema, name, datatype string, shape []int64) (*tensor, error) {
	of := fmt.Sprintf("input %.64q", name)
	at := slices.IndexFunc(inputs.Columns, func(c table.Column) bool { return c.Name == name })
	if at < 0 {
		return nil, invalid(of, "the pipeline has no column of that name; it has "+names(inputs))
	}
	t := &tensor{name: name, datatype: datatype, column: inputs.Columns[at], width: 1}
	if !takes(t.column.Type, datatype) {
		want, _ := datatypeOf(t.column.Type)
		return nil, invalid(of, fmt.Sprintf("column of type %s takes %s, not %.20q", t.column.Type, want, datatype))
	}
	if len(shape) == 0 || len(shape) > maxRank {
		return nil, invalid(of, fmt.Sprintf("a shape of %d dimensions, the first is that of rows", len(shape)))
	}
	for i, n := range shape {
		if n < 0 || n > api.MaxPredictionBytes {
			return nil, invalid(of, fmt.Sprintf("its shape has %d", n))
		}
		if i == 0 {
			t.rows = int(n)
		} else if t.width *= int(n); t.width > api.MaxPredictionBytes {
			return nil, invalid(of, "its rows are too large")
		}
	}
	if t.column.Type.Element() == "" && t.width != 1 {
		return nil, invalid(of, fmt.Sprintf("%d elements a row, for a column that has one: a shape is [rows] or [rows, 1]", t.width))
	}
	if t.rows > 0 && t.width > api.MaxPredictionBytes/t.rows {
		return nil, invalid(of, "it is too large")
	}
	return t, nil
}

func names(s table.Schema) string {
	var all []string
	for _, c := range s.Columns {
		all = append(all, c.Name)
	}
	return strings.Join(all, ", ")
}

// size is how many elements the tensor has.
func (t *tensor) size() int { return t.rows * t.width }

// rowsOf lays rows out as JSON objects, end to end: they are scored as if a client had
// written them so, by what reads the events of a stream.
func rowsOf(tensors []*tensor) (values []byte, ends []int, err error) {
	if len(tensors) == 0 {
		return nil, nil, invalid("inputs", "there are none: one tensor for each column")
	}
	rows := tensors[0].rows
	keys := make([][]byte, len(tensors))
	for k, t := range tensors {
		if t.rows != rows {
			return nil, nil, invalid(fmt.Sprintf("input %.64q", t.name), fmt.Sprintf("it has %d rows, %.64q has %d", t.rows, tensors[0].name, rows))
		}
		if slices.ContainsFunc(tensors[:k], func(o *tensor) bool { return o.name == t.name }) {
			return nil, nil, invalid(fmt.Sprintf("input %.64q", t.name), "it is there twice")
		}
		keys[k] = append(appendText([]byte{','}, []byte(t.name)), ':')
	}
	keys[0][0] = '{'
	ends = make([]int, rows)
	for i := range rows {
		for k, t := range tensors {
			values = append(values, keys[k]...)
			if t.column.Type.Element() == "" {
				values = t.append(values, i)
			} else {
				values = append(values, '[')
				for e := range t.width {
					if e > 0 {
						values = append(values, ',')
					}
					values = t.append(values, i*t.width+e)
				}
				values = append(values, ']')
			}
		}
		values = append(values, '}')
		if len(values) > 2*api.MaxPredictionBytes {
			return nil, nil, tooLarge()
		}
		ends[i] = len(values)
	}
	return values, ends, nil
}

// appendFloat appends a float; one that is not finite stands for a value that is missing,
// since tensors have no nulls.
func appendFloat(to []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(to, "null"...)
	}
	return strconv.AppendFloat(to, v, 'g', -1, 64)
}

// setJSON sets the elements as tokens of JSON: nested arrays or not, row by row.
func (t *tensor) setJSON(data []byte) error {
	of := fmt.Sprintf("input %.64q", t.name)
	tokens := make([][]byte, 0, min(t.size(), len(data)))
	for p := 0; p < len(data); {
		switch data[p] {
		case '[', ']', ',', ' ', '\n', '\t', '\r':
			p++
			continue
		case '{':
			return invalid(of, "its data has an object")
		}
		end := value(data, p)
		if end < 0 {
			end = len(data)
		}
		if len(tokens) == t.size() {
			return invalid(of, fmt.Sprintf("its data has more than the %d elements of its shape", t.size()))
		}
		tokens = append(tokens, data[p:end])
		p = end
	}
	if len(tokens) < t.size() {
		return invalid(of, fmt.Sprintf("its data has %d elements, its shape %d", len(tokens), t.size()))
	}
	t.append = func(to []byte, i int) []byte { return append(to, tokens[i]...) }
	if t.datatype == fp32Type {
		// As in binary data, the value is that of the nearest float32.
		t.append = func(to []byte, i int) []byte {
			if v, err := strconv.ParseFloat(string(tokens[i]), 32); err == nil {
				return appendFloat(to, v)
			}
			return append(to, tokens[i]...)
		}
	}
	return nil
}

// setBinary sets the elements as little-endian bytes, those of BYTES each behind its length.
func (t *tensor) setBinary(data []byte) error {
	of := fmt.Sprintf("input %.64q", t.name)
	if t.datatype == bytesType {
		texts := make([][]byte, 0, min(t.size(), len(data)/4))
		for rest := data; len(rest) > 0; {
			if len(rest) < 4 || int64(binary.LittleEndian.Uint32(rest)) > int64(len(rest)-4) {
				return invalid(of, fmt.Sprintf("element %d ends behind the data", len(texts)))
			}
			n := int(binary.LittleEndian.Uint32(rest))
			texts, rest = append(texts, rest[4:4+n]), rest[4+n:]
		}
		if len(texts) != t.size() {
			return invalid(of, fmt.Sprintf("its data has %d elements, its shape %d", len(texts), t.size()))
		}
		t.append = func(to []byte, i int) []byte { return appendText(to, texts[i]) }
		return nil
	}
	width := map[string]int{boolType: 1, fp32Type: 4, fp64Type: 8}[t.datatype]
	signed := integers[t.datatype] < 0
	if n := integers[t.datatype]; n != 0 {
		width = max(n, -n)
	}
	if len(data) != width*t.size() {
		return invalid(of, fmt.Sprintf("its data has %d bytes, %d elements of %s take %d", len(data), t.size(), t.datatype, width*t.size()))
	}
	bits := func(i int) (v uint64) {
		var b [8]byte
		copy(b[:], data[i*width:(i+1)*width])
		return binary.LittleEndian.Uint64(b[:])
	}
	switch {
	case t.datatype == boolType:
		t.append = func(to []byte, i int) []byte { return strconv.AppendBool(to, data[i] != 0) }
	case t.datatype == fp32Type:
		t.append = func(to []byte, i int) []byte { return appendFloat(to, float64(math.Float32frombits(uint32(bits(i))))) }
	case t.datatype == fp64Type:
		t.append = func(to []byte, i int) []byte { return appendFloat(to, math.Float64frombits(bits(i))) }
	case signed:
		shift := 64 - 8*width
		t.append = func(to []byte, i int) []byte { return strconv.AppendInt(to, int64(bits(i)<<shift)>>shift, 10) }
	default:
		t.append = func(to []byte, i int) []byte { return strconv.AppendUint(to, bits(i), 10) }
	}
	return nil
}

// appendText appends a text as JSON, bytes that are not UTF-8 as they are: the row is
// rejected for them, as an event is.
func appendText(to, text []byte) []byte {
	to = append(to, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c < ' ':
			to = fmt.Appendf(to, `\u%04x`, c)
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}
