package serve

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
)

// errorOutput is the output that says of each row why it was not scored, "" if it was. It is
// there if a row was not, or if a request asks for it.
const errorOutput = "error"

// output is one output of a request, made of the answers to its rows.
type output struct {
	name, datatype string
	shape          []int64
	column         int // of the answer; -1: the errors
	typ            table.Type
	binary         bool
}

// outputsOf returns the outputs that a request has asked for by name or, where it named none,
// those that answer: what the model says of itself and of its version begins with _ and is
// there for who asks.
func (v *Version) outputsOf(names []string, a *Answer) ([]*output, error) {
	if len(names) == 0 {
		for _, c := range v.answers.columns {
			if !strings.HasPrefix(c.Name, "_") {
				names = append(names, c.Name)
			}
		}
	}
	if a.rejected() > 0 && !slices.Contains(names, errorOutput) {
		names = append(slices.Clip(names), errorOutput)
	}
	var outputs []*output
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, invalid(fmt.Sprintf("output %.64q", name), "it is asked for twice")
		}
		o := &output{name: name, datatype: bytesType, shape: []int64{int64(a.Len())}, column: -1}
		if name != errorOutput {
			if o.column = slices.IndexFunc(v.answers.columns, func(c table.Column) bool { return c.Name == name }); o.column < 0 {
				return nil, invalid(fmt.Sprintf("output %.64q", name), "there is none of that name; there are "+errorOutput+", "+namesOf(v.answers.columns))
			}
			o.typ = v.answers.columns[o.column].Type
			o.datatype, _ = datatypeOf(o.typ)
		}
		if o.typ.Element() != "" {
			o.shape = append(o.shape, int64(a.width(o.column)))
		}
		outputs = append(outputs, o)
	}
	return outputs, nil
}

func namesOf(columns []table.Column) string { return names(table.Schema{Columns: columns}) }

// width returns how many elements the lists of a column have: as many in each row, since they
// are of the model's outputs.
func (a *Answer) width(column int) int {
	for i := range a.Len() {
		if c, row := a.column(column, i); c != nil && c.IsValid(row) {
			from, to := c.(*array.List).ValueOffsets(row)
			return int(to - from)
		}
	}
	return 0
}

// errorOf says why row i was not scored.
func (a *Answer) errorOf(i int) string {
	if r := a.Reject(i); r != nil {
		return r.Stage + ": " + r.Reason
	}
	return ""
}

// elements calls take with each element of an output, in order: an array and the position in
// it. A row that was not scored has as many elements as others, nil.
func (o *output) elements(a *Answer, take func(c arrow.Array, i int)) {
	for i := range a.Len() {
		c, row := a.column(o.column, i)
		if len(o.shape) == 1 {
			take(c, row)
			continue
		}
		from, to := int64(0), int64(0)
		var elements arrow.Array
		if c != nil && c.IsValid(row) {
			elements = c.(*array.List).ListValues()
			from, to = c.(*array.List).ValueOffsets(row)
		}
		for e := range o.shape[1] {
			if e < to-from {
				take(elements, int(from+e))
			} else {
				take(nil, 0)
			}
		}
	}
}

// appendJSON appends the output's data as JSON, null for what is not there.
func (o *output) appendJSON(to []byte, a *Answer) []byte {
	to = append(to, '[')
	first := true
	comma := func() {
		if !first {
			to = append(to, ',')
		}
		first = false
	}
	if o.column < 0 {
		for i := range a.Len() {
			comma()
			to = appendText(to, []byte(a.errorOf(i)))
		}
		return append(to, ']')
	}
	o.elements(a, func(c arrow.Array, i int) {
		comma()
		text, known := []byte(nil), false
		if c != nil {
			text, known = event.AppendText(nil, c, i)
		}
		switch {
		case !known:
			to = append(to, "null"...)
		case o.datatype == bytesType:
			to = appendText(to, text)
		default:
			to = append(to, text...)
		}
	})
	return append(to, ']')
}

// appendBinary appends the output's data as the bytes of its elements. What is not there is
// NaN, 0, false or empty: the error says so.
func (o *output) appendBinary(to []byte, a *Answer) []byte {
	text := func(s string) {
		to = append(binary.LittleEndian.AppendUint32(to, uint32(len(s))), s...)
	}
	if o.column < 0 {
		for i := range a.Len() {
			text(a.errorOf(i))
		}
		return to
	}
	o.elements(a, func(c arrow.Array, i int) {
		known := c != nil && c.IsValid(i)
		switch o.datatype {
		case boolType:
			b := byte(0)
			if known && c.(*array.Boolean).Value(i) {
				b = 1
			}
			to = append(to, b)
		case int64Type:
			v := int64(0)
			if known {
				v = c.(*array.Int64).Value(i)
			}
			to = binary.LittleEndian.AppendUint64(to, uint64(v))
		case fp64Type:
			v := math.NaN()
			if known {
				v = c.(*array.Float64).Value(i)
			}
			to = binary.LittleEndian.AppendUint64(to, math.Float64bits(v))
		default:
			said := []byte(nil)
			if known {
				said, _ = event.AppendText(nil, c, i)
			}
			text(string(said))
		}
	})
	return to
}
