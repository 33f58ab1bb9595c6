package expression

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/table"
)

// logic is and or or in the three-valued logic of SQL.
func logic(or bool, left, right node) node {
	return apply(table.Bool, func(f *frame, args []vector) vector {
		a, b := args[0], args[1]
		out := newBools(f.rows, table.Mask{})
		nulls := a.valid.Words != nil || b.valid.Words != nil
		if nulls {
			out.valid = table.NewMask(f.rows)
			a.valid, b.valid = owned(a.valid, f.rows), owned(b.valid, f.rows)
		}
		for i := range out.bits.Words {
			x, y := a.bits.Words[i], b.bits.Words[i]
			yes := x & y
			if or {
				yes = x | y
			}
			out.bits.Words[i] = yes
			if nulls {
				// What is false is known and not true.
				notX, notY := a.valid.Words[i]&^x, b.valid.Words[i]&^y
				no := notX | notY
				if or {
					no = notX & notY
				}
				out.valid.Words[i] = yes | no
			}
		}
		return out
	}, left, right)
}

// not turns a bool round.
func not(arg node) node {
	return apply(table.Bool, func(_ *frame, args []vector) vector {
		return comparison{not: true}.done(vector{t: table.Bool, bits: args[0].bits, valid: args[0].valid})
	}, arg)
}

// isNull tests for null, or for its absence.
func isNull(absence bool, arg node) node {
	return apply(table.Bool, func(f *frame, args []vector) vector {
		marked := owned(args[0].valid, f.rows)
		if !absence {
			marked = marked.Not()
		}
		return vector{t: table.Bool, bits: marked}
	}, arg)
}

// choose is c ? a : b, of type t; null where c is.
func choose(t table.Type, cond, a, b node) node {
	return apply(t, func(f *frame, args []vector) vector {
		out := pick(f, t, args[0].bits, args[1], args[2])
		out.valid = both(out.valid, args[0].valid)
		if t == table.Bool {
			out.clearNull()
		}
		return out
	}, cond, as(t, a), as(t, b))
}

// as returns the node with its numbers as type t, if that is float64.
func as(t table.Type, n node) node {
	if t == table.Float64 {
		return asFloat(n)
	}
	return n
}

// coalesce is the first of two that is not null.
type coalesce struct {
	t    table.Type
	a, b node
}

func (n *coalesce) typ() table.Type { return n.t }

func (n *coalesce) eval(f *frame) vector {
	a := n.a.eval(f)
	if a.valid.Words == nil {
		return a
	}
	b := n.b.eval(f)
	if f.err != nil {
		return vector{t: n.t}
	}
	return pick(f, n.t, a.valid, a, b)
}

// pick returns for each row the value of a where the mask marks it, else of b.
// Both are of type t, or the literal null.
func pick(f *frame, t table.Type, mask table.Mask, a, b vector) vector {
	out := vector{t: t, valid: pickValid(f, mask, a, b)}
	switch t {
	case table.Bool:
		out.bits = pickBits(f.rows, mask, a.bits, b.bits)
	case table.Int64, table.Timestamp:
		out.ints = pickValues(f.rows, mask, &a, &b, (*vector).intsAt)
	case table.Float64:
		out.floats = pickValues(f.rows, mask, &a, &b, (*vector).floatsAt)
	case table.String:
		out.text, out.ids = pickText(f, mask, &a, &b)
	}
	return out
}

func pickValid(f *frame, mask table.Mask, a, b vector) table.Mask {
	if a.valid.Words == nil && b.valid.Words == nil {
		return table.Mask{}
	}
	return pickBits(f.rows, mask, owned(a.valid, f.rows), owned(b.valid, f.rows))
}

// pickBits is mask ? a : b; a mask without words is all clear.
func pickBits(rows int, mask, a, b table.Mask) table.Mask {
	out := table.NewMask(rows)
	for i, m := range mask.Words {
		if a.Words != nil {
			out.Words[i] = a.Words[i] & m
		}
		if b.Words != nil {
			out.Words[i] |= b.Words[i] &^ m
		}
	}
	return out
}

// pickValues does the same with values; a literal null has none.
func pickValues[T any](rows int, mask table.Mask, a, b *vector, at func(*vector, int, int) []T) []T {
	out := make([]T, rows)
	chunks(rows, func(from, to int) {
		dst := out[from:to]
		if b.t != "" {
			copy(dst, at(b, from, to))
		}
		if a.t == "" {
			return
		}
		for i, x := range at(a, from, to) {
			if mask.Has(from + i) {
				dst[i] = x
			}
		}
	})
	return out
}

// pickText joins the strings of both, those of b behind those of a.
func pickText(f *frame, mask table.Mask, a, b *vector) (text, []int32) {
	ids := make([]int32, f.rows)
	if !f.made(stringHeader * (a.text.len() + b.text.len())) {
		return text{}, ids
	}
	list := slices.Concat(a.text.all(), b.text.all())
	behind := int32(a.text.len())
	chunks(f.rows, func(from, to int) {
		var x, y []int32
		if a.t != "" {
			x = a.idsAt(from, to)
		}
		if b.t != "" {
			y = b.idsAt(from, to)
		}
		for i := range ids[from:to] {
			if mask.Has(from + i) {
				if x != nil {
					ids[from+i] = x[i]
				}
			} else if y != nil {
				ids[from+i] = behind + y[i]
			}
		}
	})
	return text{list: list}, ids
}
