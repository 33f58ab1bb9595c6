package metadata

import (
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// maxSchemaDepth bounds the nesting of columns.
	maxSchemaDepth = 64
	// maxSchemaElements bounds the fields of a schema, groups included. Wider
	// tables than this exist on no record; it keeps a footer of three bytes a
	// field from growing a hundredfold in memory.
	maxSchemaElements = 1 << 17
	// maxTypeLength bounds FIXED_LEN_BYTE_ARRAY values: the widest in use are
	// hashes and vectors of some kilobytes.
	maxTypeLength = 1 << 20
)

// Node is a field of the schema: a group of fields or, where Leaf is not
// negative, a column of values.
type Node struct {
	Name       string
	Path       []string // names from below the root
	Repetition format.FieldRepetitionType
	Logical    Logical
	Children   []*Node

	// Leaf is the index of the column chunk, -1 for a group.
	Leaf       int
	Physical   format.Type
	TypeLength int // bytes of a FixedLenByteArray value

	// Repeated: it or a field on the way to it is, so that a row has any number of
	// values.
	Repeated bool
}

// Flat reports whether the node is a column with at most one value a row and
// nothing above it.
func (n *Node) Flat() bool { return n.Leaf >= 0 && len(n.Path) == 1 && n.Repetition != format.Repeated }

// element is a field as the footer has it.
type element struct {
	name                []byte
	physical            thrift.Null[int32]
	length              int32
	repetition          format.FieldRepetitionType
	children, converted int32
	precision, scale    int32
	logical             Logical
}

func (d *decoder) element() element {
	e := element{converted: -1}
	d.fields([]any{1: &e.physical, 2: &e.length, 3: (*int32)(&e.repetition), 4: &e.name, 5: &e.children, 6: &e.converted,
		7: &e.scale, 8: &e.precision, 10: structure(func() { e.logical = d.logical() })})
	if e.logical.Annotation == None {
		e.logical = fromConverted(e.converted, e.precision, e.scale)
	}
	return e
}

// treeBuilder turns the depth-first list of elements into a tree.
type treeBuilder struct {
	remaining []element
	leaves    []*Node
}

func buildTree(elements []element) (*Node, []*Node, error) {
	if len(elements) == 0 {
		return nil, nil, errors.New("the footer has no schema")
	}
	if elements[0].children <= 0 {
		return nil, nil, errors.New("the schema has no columns")
	}
	b := &treeBuilder{remaining: elements[1:]}
	root := &Node{Name: string(elements[0].name), Leaf: -1}
	if err := b.children(root, elements[0].children, 0); err != nil {
		return nil, nil, err
	}
	if len(b.remaining) > 0 {
		return nil, nil, fmt.Errorf("%d fields of the schema belong to no group", len(b.remaining))
	}
	return root, b.leaves, nil
}

func (b *treeBuilder) children(parent *Node, count int32, depth int) error {
	if depth == maxSchemaDepth {
		return fmt.Errorf("columns are nested more than %d deep", maxSchemaDepth)
	}
	if int(count) > len(b.remaining) {
		return fmt.Errorf("group %q has %d fields, %d are left", parent.Name, count, len(b.remaining))
	}
	for range count {
		if len(b.remaining) == 0 {
			return fmt.Errorf("group %q lacks fields", parent.Name)
		}
		e := b.remaining[0]
		b.remaining = b.remaining[1:]
		n := &Node{Name: string(e.name), Repetition: e.repetition, Logical: e.logical, Leaf: -1,
			Repeated: parent.Repeated || e.repetition == format.Repeated}
		n.Path = append(parent.Path[:len(parent.Path):len(parent.Path)], n.Name)
		if e.repetition < format.Required || e.repetition > format.Repeated {
			return fmt.Errorf("field %q has repetition %d", n.Name, e.repetition)
		}
		parent.Children = append(parent.Children, n)
		if e.children > 0 || !e.physical.Valid {
			if e.children <= 0 {
				return fmt.Errorf("field %q has neither a type nor fields", n.Name)
			}
			if err := b.children(n, e.children, depth+1); err != nil {
				return err
			}
			continue
		}
		if err := b.leaf(n, e); err != nil {
			return fmt.Errorf("column %q: %w", n.Name, err)
		}
	}
	return nil
}

func (b *treeBuilder) leaf(n *Node, e element) error {
	n.Physical = format.Type(e.physical.V)
	if n.Physical < format.Boolean || n.Physical > format.FixedLenByteArray {
		return fmt.Errorf("unknown physical type %d", n.Physical)
	}
	if n.Physical == format.FixedLenByteArray {
		if e.length <= 0 || e.length > maxTypeLength {
			return fmt.Errorf("values of %d bytes", e.length)
		}
		n.TypeLength = int(e.length)
	}
	n.Leaf = len(b.leaves)
	b.leaves = append(b.leaves, n)
	return nil
}
