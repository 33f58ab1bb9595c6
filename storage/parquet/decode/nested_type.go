package decode

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// plan is how a node of the schema becomes a column: values of one leaf, in
// lists of any depth.
type plan struct {
	field arrow.Field
	lists []listLevel    // from the outermost in
	leaf  *metadata.Node // nil: not read, as groups of several fields are not
}

// listLevel is one list of a column. Slots are the places for its values: one in
// every row at the top, one in every element within a list.
type listLevel struct {
	dtype    arrow.DataType
	nullable bool
	// A slot begins at an entry whose repetition level is at most rep and whose
	// definition level is at least slot. It is not null from level def on.
	rep, slot, def int
	// The levels at which an element begins and is there.
	elemRep, elemDef int
}

// planOf returns the plan of n, whose slots are those of its parent. required
// overrules n's own repetition, which was dealt with above.
func planOf(n *metadata.Node, rep, slot int, required bool) (plan, error) {
	if n.Repetition == format.Repeated && !required {
		// A repeated field outside of an annotated list is a list all the same, of
		// elements that are there.
		return planOfList(n.Name, n, n, listLevel{rep: rep, slot: slot})
	}
	nullable := n.Repetition == format.Optional && !required
	if n.Leaf >= 0 {
		t, err := leafType(n)
		if err != nil {
			return plan{}, fmt.Errorf("%q: %w", n.Name, err)
		}
		return plan{field: arrow.Field{Name: n.Name, Type: t, Nullable: nullable}, leaf: n}, nil
	}
	if n.Logical.Annotation == metadata.List && len(n.Children) == 1 && n.Children[0].Repetition == format.Repeated && !required {
		return planOfList(n.Name, element(n), n.Children[0], listLevel{rep: rep, slot: slot, def: n.MaxDef, nullable: nullable})
	}
	if len(n.Children) == 0 {
		return plan{}, fmt.Errorf("%q: a group without fields", n.Name)
	}
	fields := make([]arrow.Field, 0, len(n.Children))
	for _, c := range n.Children {
		child, err := planOf(c, rep, slot, false)
		if err != nil {
			return plan{}, err
		}
		fields = append(fields, child.field)
	}
	return plan{field: arrow.Field{Name: n.Name, Type: arrow.StructOf(fields...), Nullable: nullable}}, nil
}

// planOfList returns the plan of a list of element, whose repetition is that of
// middle.
func planOfList(name string, element, middle *metadata.Node, l listLevel) (plan, error) {
	p, err := planOf(element, middle.MaxRep, middle.MaxDef, element == middle)
	if err != nil {
		return plan{}, err
	}
	p.field.Name = "element"
	l.dtype, l.elemRep, l.elemDef = arrow.ListOfField(p.field), middle.MaxRep, middle.MaxDef
	p.field = arrow.Field{Name: name, Type: l.dtype, Nullable: l.nullable}
	p.lists = append([]listLevel{l}, p.lists...)
	return p, nil
}

// element returns the node that is the element of a group annotated as a list,
// by the format's rules for files that leave the innermost group out.
func element(list *metadata.Node) *metadata.Node {
	middle := list.Children[0]
	if middle.Leaf >= 0 || len(middle.Children) != 1 || middle.Name == "array" || middle.Name == list.Name+"_tuple" {
		return middle
	}
	return middle.Children[0]
}
