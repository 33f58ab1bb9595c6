// Package expression compiles the expressions of a spec (hour(date), delay > 15)
// against columns and evaluates them over Arrow batches.
//
// The language is that of github.com/expr-lang/expr, cut down to functions of
// one row: no closures, maps, variables, clocks or I/O. Text is parsed by that
// library, typed here against the five column types, and evaluated column at a
// time; strings are evaluated once per dictionary entry. What has no form of
// its own (replace, split, slices …) runs on the library's virtual machine, per
// row or per dictionary entry.
//
// # Values
//
//	string int64 float64 bool timestamp, null (also spelled nil)
//
// A comparison of an int64 and a float64 is one of float64; a timestamp may be
// compared with a string literal ("2020-01-31", with "15:04", "15:04:05" or an
// RFC 3339 time behind it), which is read in the zone of the pipeline.
//
// # Operators
//
//   - - * / % ** (also ^)       numbers; / and ** yield float64, % takes int64; + also joins strings
//     == != < <= > >=             two values of one type; == null and != null test for null
//     and or not (also && || !)   bool
//     in, not in                  a list of literals ["JFK", "LAX"] or a range 6..9 with both ends
//     contains startsWith endsWith matches   strings; matches takes a literal RE2 pattern
//     c ? a : b    a ?? b    s[from:to]
//
// # Null
//
// Null in, null out, with these exceptions: == null and != null; and, or (false
// and null is false, true or null is true, as in SQL); ?? and coalesce, which take
// the first that is not null; ?:, which looks only at the branch it takes. An
// int64 result that overflows, a float64 that is not finite (hence x / 0), and
// a value that a conversion has no result for are null. A NaN in a column counts
// as null.
//
// # Functions
//
//	year month day              of a timestamp in the pipeline's zone; month and day from 1
//	weekday                     Monday 0 … Sunday 6
//	hour minute second
//	abs floor ceil round sqrt exp log log1p   log and sqrt of what has none are null
//	min max                     of two or more numbers
//	int float string            conversions; int cuts toward zero, int("x") is null
//	lower upper trim len        len counts characters
//	trim(s, cut) trimPrefix trimSuffix replace(s, old, new) split(s, by)[i]
//	coalesce                    of two or more values
//
// replace is null where it yields more than 1 MiB, and split where it yields more
// than 65,536 parts. All strings that are made of one batch have at most 256 MiB.
//
// A column whose name is not an identifier is written $env["its name"].
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
}

// Compile parses and type-checks source against columns; timestamps are read
// in zone, nil for UTC. An error is *thalweg.Error of kind Invalid (Exhausted
// past MaxSource or MaxNodes) and wraps a *Problem that says where.
func Compile(source string, columns table.Schema, zone *time.Location) (*Program, error) {
	if zone == nil {
		zone = time.UTC
	}
	c := &compiler{columns: columns, zone: zone}
	root, err := c.compileSource(source)
	if err != nil {
		return nil, err
	}
	p := &Program{source: source, root: root, reads: c.reads}
	for _, r := range c.reads {
		p.names = append(p.names, r.Name)
	}
	slices.Sort(p.names)
	return p, nil
}

// CheckSyntax reports what Compile does of a text before it looks at columns.
func CheckSyntax(source string) error {
	_, err := parse(source)
	return err
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

// applied is a node of a kernel and its arguments.
type applied struct {
	t      table.Type
	kernel kernel
	args   []node
}

// kernel computes the vector of a node from those of its arguments, which it may
// overwrite, but not what they share.
type kernel func(f *frame, args []vector) vector

func apply(t table.Type, k kernel, args ...node) node { return &applied{t, k, args} }

func (n *applied) typ() table.Type { return n.t }

func (n *applied) eval(f *frame) vector {
	args := make([]vector, len(n.args))
	for i, a := range n.args {
		if args[i] = a.eval(f); f.err != nil {
			return vector{t: n.t}
		}
	}
	return n.kernel(f, args)
}
