package decode

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// shape is what a nested value is made of.
type shape uint8

const (
	ofLeaf   shape = iota
	ofStruct       // children are its fields
	ofList         // the one child is its element
	ofMap          // the one child is the struct of key and value
)

// nested is a node of the Arrow type that a nested column becomes. Slots are
// the places for its values: one in every row at the top, one in every element
// within a list.
type nested struct {
	shape    shape
	field    arrow.Field
	children []*nested

	// A slot begins at an entry whose repetition level is at most rep and whose
	// definition level is at least slot. It is not null from level def on.
	rep, slot, def int
	// Of lists and maps: the levels at which an element begins and is there.
	elemRep, elemDef int

	leaf *leaf // of a leaf itself, of others the first below it, whose levels tell all
}

// planner turns schema nodes into nested ones; newLeaf makes the leaves, and
// may be nil if only types are asked for.
type planner struct {
	newLeaf func(*metadata.Node, arrow.DataType) *leaf
}

// plan returns the nested form of n, whose slots are those of its parent.
// required overrules n's own repetition, which was dealt with above.
func (p *planner) plan(n *metadata.Node, rep, slot int, required bool) (*nested, error) {
	if n.Repetition == metadata.Repeated && !required {
		// A repeated field outside of an annotated list is a list all the same, of
		// elements that are there.
		return p.list(n.Name, ofList, n, n, rep, slot, 0, false)
	}
	v := &nested{rep: rep, slot: slot, def: n.MaxDef}
	v.field = arrow.Field{Name: n.Name, Nullable: n.Repetition == metadata.Optional && !required}
	if n.Leaf >= 0 {
		t, err := leafType(n)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", n.Name, err)
		}
		v.shape, v.field.Type = ofLeaf, t
		if p.newLeaf != nil {
			v.leaf = p.newLeaf(n, t)
		}
		return v, nil
	}
	if len(n.Children) == 1 && n.Children[0].Repetition == metadata.Repeated && !required {
		middle := n.Children[0]
		switch n.Logical.Annotation {
		case metadata.List:
			return p.list(n.Name, ofList, element(n), middle, rep, slot, n.MaxDef, v.field.Nullable)
		case metadata.Map:
			if isMap(middle) {
				return p.list(n.Name, ofMap, middle, middle, rep, slot, n.MaxDef, v.field.Nullable)
			}
		}
	}
	v.shape = ofStruct
	if len(n.Children) == 0 {
		return nil, fmt.Errorf("%q: a group without fields", n.Name)
	}
	fields := make([]arrow.Field, 0, len(n.Children))
	for _, c := range n.Children {
		child, err := p.plan(c, rep, slot, false)
		if err != nil {
			return nil, err
		}
		v.children = append(v.children, child)
		fields = append(fields, child.field)
	}
	v.field.Type = arrow.StructOf(fields...)
	v.leaf = v.children[0].leaf
	return v, nil
}

// list returns a list of element, whose repetition is that of middle.
func (p *planner) list(name string, s shape, element, middle *metadata.Node, rep, slot, def int, nullable bool) (*nested, error) {
	child, err := p.plan(element, middle.MaxRep, middle.MaxDef, element == middle)
	if err != nil {
		return nil, err
	}
	v := &nested{shape: s, children: []*nested{child}, rep: rep, slot: slot, def: def, elemRep: middle.MaxRep, elemDef: middle.MaxDef, leaf: child.leaf}
	v.field = arrow.Field{Name: name, Nullable: nullable}
	if s == ofMap {
		pair := child.field.Type.(*arrow.StructType)
		m := arrow.MapOf(pair.Field(0).Type, pair.Field(1).Type)
		m.SetItemNullable(pair.Field(1).Nullable)
		child.field.Type = m.Elem() // which calls the fields key and value
		v.field.Type = m
		return v, nil
	}
	child.field.Name = "element"
	v.field.Type = arrow.ListOfField(child.field)
	return v, nil
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

// isMap reports whether the repeated group is one of keys, which are there, and
// values.
func isMap(middle *metadata.Node) bool {
	return len(middle.Children) == 2 && middle.Children[0].Repetition == metadata.Required
}
