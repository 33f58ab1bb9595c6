package expression

import (
	"slices"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/expr-lang/expr/ast"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Lists are those of columns: no operator or function makes one, so that a vector of
// lists is always a plain view of a column.

// partOfList says what to write instead of a list.
const partOfList = "take an element, x[0], or the length, len(x)"

func isList(n node) bool { return n.typ().Element() != "" }

// refuseLists raises the problem of lists where values belong.
func refuseLists(at ast.Node, what string, got ...node) {
	if slices.ContainsFunc(got, isList) {
		panic(problemAt(at, "%s cannot be lists", what).withHint(partOfList))
	}
}

// lengths returns the count of elements of each list.
func lengths(arg node) node {
	return apply(table.Int64, func(f *frame, args []vector) vector {
		offsets := table.ListsIn(args[0].whole.(*array.List)).Offsets
		out := vector{t: table.Int64, ints: make([]int64, f.rows), valid: args[0].valid}
		for i := range out.ints {
			out.ints[i] = int64(offsets[i+1] - offsets[i])
		}
		return out
	}, arg)
}

// elementAt returns element i of each list, counted from the end where i is negative;
// null where there is none.
func elementAt(of, i node) node {
	t := of.typ().Element()
	return apply(t, func(f *frame, args []vector) vector {
		lists := table.ListsIn(args[0].whole.(*array.List))
		elements := load(t, lists.Values)
		out := vector{t: t, valid: owned(both(args[0].valid, args[1].valid), f.rows)}
		switch t {
		case table.Int64:
			out.ints = make([]int64, f.rows)
		case table.Float64:
			out.floats = make([]float64, f.rows)
		case table.Bool:
			out.bits = table.NewMask(f.rows)
		}
		for row := range f.rows {
			at, n := args[1].intsAt(row, row+1)[0], int64(lists.Offsets[row+1]-lists.Offsets[row])
			if at < 0 {
				at += n
			}
			e := int(int64(lists.Offsets[row]) + at)
			if at < 0 || at >= n || elements.valid.Words != nil && !elements.valid.Has(e) {
				out.valid.Clear(row)
			}
			if !out.valid.Has(row) {
				continue
			}
			switch t {
			case table.Int64:
				out.ints[row] = elements.ints[e]
			case table.Float64:
				out.floats[row] = elements.floats[e]
			case table.Bool:
				if elements.bits.Has(e) {
					out.bits.Set(row)
				}
			}
		}
		return out
	}, of, i)
}
