// Package expression compiles the expressions of a spec (hour(date), delay > 15)
// against columns and evaluates them over Arrow batches.
//
// The language is that of github.com/expr-lang/expr, cut down to functions of
// one row: no closures, maps, variables, clocks or I/O. Text is parsed by that
// library, typed here against the column types, and evaluated column at a
// time; strings are evaluated once per dictionary entry. What has no form of
// its own (replace, split, slices …) runs on the library's virtual machine, per
// row or per dictionary entry.
//
// Explain describes the language from the tables that the compiler goes by:
// types, rules and operators are in language.go, functions in catalog.go. What
// people write who know another language is in slips.go.
package expression

import (
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Program is a compiled expression. It is immutable and may be evaluated from
// several goroutines, each over batches of its own: Arrow arrays build parts of
// themselves when they are first asked for.
type Program struct {
	source string
	root   node
	// reads are the columns in the order in which the nodes number them.
	reads []table.Column
	names []string
	zone  *time.Location
	// patterns is the size of its regular expressions.
	patterns int
}

// PatternSize returns how many instructions the regular expressions of the program have.
func (p *Program) PatternSize() int { return p.patterns }

// Compile parses and type-checks source against columns; timestamps are read
// in zone, nil for UTC. An error is *thalweg.Error of kind Invalid (Exhausted
// past MaxSource or MaxNodes) and wraps a *Problem that says where.
func Compile(source string, columns table.Schema, zone *time.Location) (*Program, error) {
	if zone == nil {
		zone = time.UTC
	}
	c := &compiler{columns: columns, zone: zone}
	root, problem := c.compileSource(source)
	if problem != nil {
		return nil, wrap(source, problem.explained(source, namesOf(columns), func(text string) *Problem {
			c := &compiler{columns: columns, zone: zone}
			_, p := c.compileSource(text)
			if p == nil && len(c.reads) == 0 {
				p = &Problem{Message: "no column is read", Hint: "none"}
			}
			return p
		}))
	}
	p := &Program{source: source, root: root, reads: c.reads, zone: zone, patterns: c.patterns}
	for _, r := range c.reads {
		p.names = append(p.names, r.Name)
	}
	slices.Sort(p.names)
	return p, nil
}

// namesOf returns the columns of a schema by name.
func namesOf(schema table.Schema) columns {
	known := make(columns)
	for _, c := range schema.Columns {
		known[c.Name] = c.Type
	}
	return known
}

// CheckSyntax reports what Compile does of a text before it looks at columns.
func CheckSyntax(source string) error {
	_, problem := parse(source)
	if problem == nil {
		return nil
	}
	return wrap(source, problem.explained(source, nil, func(text string) *Problem {
		_, p := parse(text)
		return p
	}))
}

// Source returns the text.
func (p *Program) Source() string { return p.source }

// Columns returns the names of the columns that the expression reads, sorted.
// The caller must not change it.
func (p *Program) Columns() []string { return p.names }

// Type returns the type of the result.
func (p *Program) Type() table.Type { return p.root.typ() }

// Eval evaluates the expression for each row of a canonical batch and returns
// an array of the canonical Arrow type of Type; the caller releases it. The
// result may share memory with the batch, which stays the caller's. An error
// names the column that is missing or of another type than at Compile
// (Invalid), or says that the strings made of the batch are too many (Exhausted).
func (p *Program) Eval(batch arrow.Record) (arrow.Array, error) {
	f := &frame{rows: int(batch.NumRows()), inputs: make([]arrow.Array, len(p.reads))}
	for i, c := range p.reads {
		found := batch.Schema().FieldIndices(c.Name)
		if len(found) == 0 {
			return nil, p.failed(c.Name, "is not in the batch")
		}
		f.inputs[i] = batch.Column(found[0])
		if got := f.inputs[i].DataType(); !arrow.TypeEqual(got, c.Type.ArrowType()) {
			return nil, p.failed(c.Name, "is "+got.String()+" in the batch, not "+string(c.Type))
		}
	}
	v := p.root.eval(f)
	if v.text.bytes() > maxMade {
		f.fail(errMade)
	}
	if f.err != nil {
		return nil, &thalweg.Error{Op: "evaluate " + p.source, Kind: thalweg.KindOf(f.err), Err: f.err}
	}
	return v.array(f.rows), nil
}

func (p *Program) failed(column, what string) error {
	return &thalweg.Error{Op: "evaluate " + p.source, Kind: thalweg.Invalid, Subject: "column " + column, Hint: what}
}

// frame is one evaluation: the batch's columns and what goes wrong.
type frame struct {
	rows   int
	inputs []arrow.Array
	bytes  int // of the strings made so far
	err    error
}

// fail ends the evaluation with an error: what nodes return from then on has no
// values, and none of them looks at it.
func (f *frame) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

// node is a typed part of an expression.
type node interface {
	// typ is the type of its values; "" for the literal null.
	typ() table.Type
	// eval returns its value for each row of the frame, unless that has failed.
	eval(f *frame) vector
}

// column reads input number index.
type column struct {
	table.Column
	index int
}

func (c *column) typ() table.Type { return c.Type }

func (c *column) eval(f *frame) vector { return load(c.Type, f.inputs[c.index]) }

// applied is a node of an operation and its arguments.
type applied struct {
	t    table.Type
	op   operation
	args []node
}

// operation computes the vector of a node from those of its arguments, which it may
// overwrite, but not what they share.
type operation func(f *frame, args []vector) vector

func apply(t table.Type, op operation, args ...node) node { return &applied{t, op, args} }

func (n *applied) typ() table.Type { return n.t }

func (n *applied) eval(f *frame) vector {
	args := make([]vector, len(n.args))
	for i, a := range n.args {
		if args[i] = a.eval(f); f.err != nil {
			return vector{t: n.t}
		}
	}
	return n.op(f, args)
}
