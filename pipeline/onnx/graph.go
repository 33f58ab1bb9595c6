package onnx

import (
	"fmt"
	"strconv"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// value names a tensor of the graph. Those of rows have a row for each row: [rows], or
// [rows, width] where a row has several.
type value string

// attribute is an attribute of a node.
type attribute message

func intAttribute(name string, v int64) attribute {
	return attribute(message(nil).text(attributeName, name).number(attributeInt, v).number(attributeType, typeInt))
}

func intsAttribute(name string, v []int64) attribute {
	return attribute(message(nil).text(attributeName, name).numbers(attributeInts, v).number(attributeType, typeInts))
}

func textsAttribute(name string, v []string) attribute {
	m := message(nil).text(attributeName, name)
	for _, s := range v {
		m = m.text(attributeStrings, s)
	}
	return attribute(m.number(attributeType, typeStrings))
}

func tensorAttribute(name string, v message) attribute {
	return attribute(message(nil).text(attributeName, name).bytes(attributeTensor, v).number(attributeType, typeTensor))
}

// graph is a graph in the making. Its bytes follow from the calls alone.
type graph struct {
	scope        string // begins the names of what is added
	nodes        []message
	initializers []message
	inputs       []message
	outputs      []message
	counts       map[string]int   // of names taken
	constants    map[string]value // small ones, by what they hold
	domains      map[string]bool
	bytes        int
}

func newGraph() *graph {
	return &graph{counts: map[string]int{}, constants: map[string]value{}, domains: map[string]bool{}}
}

// name returns one that nothing has yet.
func (g *graph) name(base string) value {
	if g.scope != "" {
		base = g.scope + "/" + base
	}
	for {
		n := g.counts[base]
		g.counts[base]++
		name := base
		if n > 0 {
			name += "_" + strconv.Itoa(n)
		}
		if n == 0 || g.counts[name] == 0 {
			g.counts[name] = max(g.counts[name], 1)
			return value(name)
		}
	}
}

// domains of operators that are not of ONNX itself.
const (
	mlDomain        = "ai.onnx.ml"
	microsoftDomain = "com.microsoft"
)

// op adds a node of one output.
func (g *graph) op(kind string, inputs ...value) value { return g.node("", kind, inputs, 1)[0] }

// with adds a node of one output that has attributes.
func (g *graph) with(kind string, attributes []attribute, inputs ...value) value {
	return g.node("", kind, inputs, 1, attributes...)[0]
}

// node adds a node of a domain and returns its outputs.
func (g *graph) node(domain, kind string, inputs []value, outputs int, attributes ...attribute) []value {
	var m message
	for _, in := range inputs {
		m = m.text(nodeInput, string(in))
	}
	out := make([]value, outputs)
	for i := range out {
		out[i] = g.name(kind)
		m = m.text(nodeOutput, string(out[i]))
	}
	m = m.text(nodeName, string(out[0])).text(nodeOp, kind)
	for _, a := range attributes {
		m = m.bytes(nodeAttribute, a)
	}
	if domain != "" {
		m = m.text(nodeDomain, domain)
		g.domains[domain] = true
	}
	g.nodes = append(g.nodes, m)
	g.bytes += len(m)
	return out
}

// alias gives a value the name of an output of the graph.
func (g *graph) alias(name string, v value) {
	m := message(nil).text(nodeInput, string(v)).text(nodeOutput, name).text(nodeName, name).text(nodeOp, "Identity")
	g.nodes = append(g.nodes, m)
	g.bytes += len(m)
}

// smallConstant is up to how many bytes a constant is kept once for all that use it.
const smallConstant = 64

// constant adds a tensor.
func (g *graph) constant(name string, of elementType, shape []int, raw []byte) value {
	key := ""
	if len(raw) <= smallConstant {
		key = fmt.Sprintf("%d %v %x", of, shape, raw)
		if v, ok := g.constants[key]; ok {
			return v
		}
	}
	scope := g.scope
	if key != "" {
		g.scope = "shared/constants" // which no column is called
	}
	v := g.name(name)
	g.scope = scope
	if key != "" {
		g.constants[key] = v
	}
	m := tensor(string(v), of, shape, raw)
	g.initializers = append(g.initializers, m)
	g.bytes += len(m)
	return v
}

// double is a number, doubles several in one dimension.
func (g *graph) double(x float64) value {
	return g.constant("constant", float64Type, nil, rawDoubles([]float64{x}))
}

func (g *graph) doubles(name string, v []float64) value {
	return g.constant(name, float64Type, []int{len(v)}, rawDoubles(v))
}

func (g *graph) float(x float32) value {
	return g.constant("constant", float32Type, nil, kernel.AppendFloats(nil, []float32{x}))
}

// floats is a tensor of float32s of a shape.
func (g *graph) floats(name string, v []float32, shape ...int) value {
	return g.constant(name, float32Type, shape, kernel.AppendFloats(nil, v))
}

func (g *graph) int(x int64) value {
	return g.constant("constant", int64Type, nil, rawInts([]int64{x}))
}

func (g *graph) ints(name string, v ...int64) value {
	return g.constant(name, int64Type, []int{len(v)}, rawInts(v))
}

func (g *graph) bool(yes bool) value {
	raw := []byte{0}
	if yes {
		raw[0] = 1
	}
	return g.constant("constant", boolType, nil, raw)
}

// texts is a tensor of texts in one dimension.
func (g *graph) texts(name string, v []string) value {
	at := g.name(name)
	m := textTensor(string(at), v)
	g.initializers = append(g.initializers, m)
	g.bytes += len(m)
	return at
}

// cast converts elements.
func (g *graph) cast(v value, to elementType) value {
	return g.with("Cast", []attribute{intAttribute("to", int64(to))}, v)
}

// column makes of a value of each row a column: [rows, 1].
func (g *graph) column(v value) value { return g.op("Unsqueeze", v, g.ints("axis", 1)) }

// row makes of a column a value of each row.
func (g *graph) row(v value) value { return g.op("Squeeze", v, g.ints("axis", 1)) }

// concat puts columns side by side.
func (g *graph) concat(columns ...value) value {
	if len(columns) == 1 {
		return columns[0]
	}
	return g.with("Concat", []attribute{intAttribute("axis", 1)}, columns...)
}

// gather takes, for each row, what a table has at an id.
func (g *graph) gather(table, ids value) value { return g.op("Gather", table, ids) }

// sum adds up what a row has.
func (g *graph) sum(v value) value {
	return g.with("ReduceSum", []attribute{intAttribute("keepdims", 0)}, v, g.ints("axis", 1))
}

// encode returns the GraphProto.
func (g *graph) encode(name, doc string) message {
	m := make(message, 0, g.bytes+g.bytes/8+1<<10)
	for _, n := range g.nodes {
		m = m.bytes(graphNode, n)
	}
	m = m.text(graphName, name)
	for _, t := range g.initializers {
		m = m.bytes(graphInitializer, t)
	}
	if doc != "" {
		m = m.text(graphDoc, doc)
	}
	for _, v := range g.inputs {
		m = m.bytes(graphInput, v)
	}
	for _, v := range g.outputs {
		m = m.bytes(graphOutput, v)
	}
	return m
}
