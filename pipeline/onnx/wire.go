package onnx

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields and enums of onnx.proto (IR version 10) that models are written with.
const (
	modelIRVersion = 1
	modelProducer  = 2
	modelDomain    = 4
	modelDoc       = 6
	modelGraph     = 7
	modelOpset     = 8
	modelMetadata  = 14

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphDoc         = 10
	graphInput       = 11
	graphOutput      = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOp        = 4
	nodeAttribute = 5
	nodeDomain    = 7

	attributeName    = 1
	attributeInt     = 3
	attributeTensor  = 5
	attributeInts    = 8
	attributeStrings = 9
	attributeType    = 20

	typeInt     = 2
	typeTensor  = 4
	typeInts    = 7
	typeStrings = 8

	tensorDims    = 1
	tensorType    = 2
	tensorStrings = 6
	tensorName    = 8
	tensorRaw     = 9

	valueName = 1
	valueType = 2
	valueDoc  = 3

	typeOfTensor   = 1
	tensorElement  = 1
	tensorShape    = 2
	shapeDimension = 1
	dimensionValue = 1
	dimensionName  = 2

	opsetDomain  = 1
	opsetVersion = 2

	entryKey   = 1
	entryValue = 2
)

// elementType is the type of a tensor's elements, as TensorProto.DataType numbers it.
type elementType uint64

const (
	float32Type elementType = 1
	uint8Type   elementType = 2
	int64Type   elementType = 7
	stringType  elementType = 8
	boolType    elementType = 9
	float64Type elementType = 11
)

// message is a protobuf message as it is written, field after field. The library's own
// encoding of generated types makes no promise that a later build writes the same bytes,
// and sums name these.
type message []byte

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) bytes(field protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), b)
}

func (m message) number(field protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

// numbers writes a packed list.
func (m message) numbers(field protowire.Number, v []int64) message {
	var packed []byte
	for _, x := range v {
		packed = protowire.AppendVarint(packed, uint64(x))
	}
	return m.bytes(field, packed)
}

// tensor is a TensorProto of a name, which may be empty.
func tensor(name string, of elementType, shape []int, raw []byte) message {
	m := tensorHead(name, of, shape)
	return m.bytes(tensorRaw, raw)
}

func tensorHead(name string, of elementType, shape []int) message {
	var m message
	dims := make([]int64, len(shape))
	for i, n := range shape {
		dims[i] = int64(n)
	}
	if len(dims) > 0 {
		m = m.numbers(tensorDims, dims)
	}
	m = m.number(tensorType, int64(of))
	if name != "" {
		m = m.text(tensorName, name)
	}
	return m
}

// textTensor is a TensorProto of texts in one dimension.
func textTensor(name string, texts []string) message {
	m := tensorHead(name, stringType, []int{len(texts)})
	for _, s := range texts {
		m = m.text(tensorStrings, s)
	}
	return m
}

// rawDoubles are the elements of a tensor, little endian.
func rawDoubles(v []float64) []byte {
	out := make([]byte, 0, 8*len(v))
	for _, x := range v {
		out = protowire.AppendFixed64(out, math.Float64bits(x))
	}
	return out
}

func rawInts(v []int64) []byte {
	out := make([]byte, 0, 8*len(v))
	for _, x := range v {
		out = protowire.AppendFixed64(out, uint64(x))
	}
	return out
}

// valueInfo is a ValueInfoProto of a tensor of [rows, width].
func valueInfo(name string, of elementType, width int, doc string) message {
	rows := message(nil).text(dimensionName, "rows")
	columns := message(nil).number(dimensionValue, int64(width))
	shape := message(nil).bytes(shapeDimension, rows).bytes(shapeDimension, columns)
	kind := message(nil).number(tensorElement, int64(of)).bytes(tensorShape, shape)
	m := message(nil).text(valueName, name).bytes(valueType, message(nil).bytes(typeOfTensor, kind))
	if doc != "" {
		m = m.text(valueDoc, doc)
	}
	return m
}
