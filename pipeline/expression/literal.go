package expression

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/table"
)

// literal is a value written in the text, or the literal null, whose type is
// "".
type literal struct {
	t table.Type
	// value is an int64 (of a timestamp too), float64, string or bool.
	value any
	// repeated is the vector of an int64, float64, timestamp or string.
	repeated vector
}

func newInt(t table.Type, i int64) *literal {
	return &literal{t: t, value: i, repeated: vector{t: t, constant: true, ints: slices.Repeat([]int64{i}, chunk)}}
}

func newFloat(f float64) *literal {
	return &literal{t: table.Float64, value: f,
		repeated: vector{t: table.Float64, constant: true, floats: slices.Repeat([]float64{f}, chunk)}}
}

func newString(s string) *literal {
	return &literal{t: table.String, value: s,
		repeated: vector{t: table.String, constant: true, ids: make([]int32, chunk), text: text{list: []string{s}}}}
}

func newBool(b bool) *literal { return &literal{t: table.Bool, value: b} }

func newNull() *literal { return &literal{} }

func (l *literal) typ() table.Type { return l.t }

func (l *literal) eval(f *frame) vector {
	switch l.t {
	case "":
		return vector{valid: table.NewMask(f.rows)}
	case table.Bool:
		bits := table.NewMask(f.rows)
		if l.value == true {
			bits = bits.Not()
		}
		return vector{t: table.Bool, bits: bits}
	}
	return l.repeated
}

func isNullLiteral(n node) bool {
	l, ok := n.(*literal)
	return ok && l.t == ""
}
