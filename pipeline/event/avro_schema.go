package event

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Bounds of a schema. Those of wide tables have some ten KiB.
const (
	maxSchemaBytes = 1 << 20
	// maxSchemaNesting bounds the brackets around any part of a schema; a record
	// in a record takes four.
	maxSchemaNesting = 4 * maxDepth
)

// avroKind is how a value of a type is written.
type avroKind uint8

const (
	avroNull avroKind = iota
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroFixed
	avroEnum
	avroArray
	avroMap
	avroUnion
	avroRecord
)

var avroKinds = map[string]avroKind{"null": avroNull, "boolean": avroBoolean, "int": avroInt, "long": avroLong, "float": avroFloat,
	"double": avroDouble, "bytes": avroBytes, "string": avroString, "fixed": avroFixed, "enum": avroEnum, "array": avroArray,
	"map": avroMap, "union": avroUnion, "record": avroRecord, "error": avroRecord}

// avroType is a type of a writer's schema. Types may contain themselves.
type avroType struct {
	kind avroKind
	// name is what a reject calls the type: its logical type, else its own.
	name    string
	logical string      // of those that mean something to a column, else ""
	size    int         // fixed
	symbols [][]byte    // enum
	parts   []*avroType // array and map: of the items; union: branches; record: fields
	fields  []string    // record: names
}

// logicalTypes are those that change what a value means, by the types that
// they may annotate; on others a logical type is ignored, as Avro says.
var logicalTypes = map[string][]avroKind{
	"date":                   {avroInt},
	"time-millis":            {avroInt},
	"time-micros":            {avroLong},
	"timestamp-millis":       {avroLong},
	"timestamp-micros":       {avroLong},
	"timestamp-nanos":        {avroLong},
	"local-timestamp-millis": {avroLong},
	"local-timestamp-micros": {avroLong},
	"local-timestamp-nanos":  {avroLong},
	"decimal":                {avroBytes, avroFixed},
	"duration":               {avroFixed},
	"uuid":                   {avroString, avroFixed},
}

// parseAvro returns the type that texts describe: the last is the schema, those
// before it the schemas that it refers to, in an order in which each knows the
// ones it needs.
func parseAvro(texts ...string) (t *avroType, err error) {
	defer func() {
		if p := recover(); p != nil { // in the library: a text that it has not met
			err = fmt.Errorf("the schema cannot be read: %v", p)
		}
	}()
	if len(texts) == 0 {
		return nil, fmt.Errorf("there is no schema")
	}
	total := 0
	var cache avro.SchemaCache
	var schema *avro.Schema
	for _, text := range texts {
		if total += len(text); total > maxSchemaBytes {
			return nil, fmt.Errorf("the schema has more than %d bytes", maxSchemaBytes)
		}
		if nesting(text) > maxSchemaNesting {
			return nil, fmt.Errorf("the schema nests deeper than %d levels", maxSchemaNesting)
		}
		if schema, err = cache.Parse(text); err != nil {
			return nil, fmt.Errorf("the schema cannot be read: %w", err)
		}
	}
	b := avroBuilder{named: make(map[string]*avroType)}
	return b.build(schema.Root(), "")
}

// nesting returns how deep the brackets of a JSON text nest.
func nesting(text string) int {
	depth, deepest := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	return deepest
}

// avroBuilder resolves the names of types.
type avroBuilder struct{ named map[string]*avroType }

func (b *avroBuilder) build(n *avro.SchemaNode, namespace string) (*avroType, error) {
	kind, primitive := avroKinds[n.Type]
	if !primitive {
		// A name without dots is one of the namespace around it, if there is one.
		for _, name := range []string{fullName(n.Type, namespace), n.Type} {
			if t := b.named[name]; t != nil {
				return t, nil
			}
		}
		return nil, fmt.Errorf("the schema has no type %s", n.Type)
	}
	t := &avroType{kind: kind, name: n.Type, size: n.Size}
	if slices.Contains(logicalTypes[n.LogicalType], kind) {
		t.logical, t.name = n.LogicalType, n.LogicalType
	}
	for _, s := range n.Symbols {
		t.symbols = append(t.symbols, []byte(s))
	}
	switch kind {
	case avroRecord, avroEnum, avroFixed:
		name := fullName(n.Name, n.Namespace)
		b.named[name] = t
		namespace = ""
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
			namespace = name[:dot]
		}
	}
	var parts []*avro.SchemaNode
	switch kind {
	case avroArray:
		parts = []*avro.SchemaNode{n.Items}
	case avroMap:
		parts = []*avro.SchemaNode{n.Values}
	case avroUnion:
		for i := range n.Branches {
			parts = append(parts, &n.Branches[i])
		}
	case avroRecord:
		for i := range n.Fields {
			parts = append(parts, &n.Fields[i].Type)
			t.fields = append(t.fields, n.Fields[i].Name)
		}
	}
	for _, p := range parts {
		part, err := b.build(p, namespace)
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, part)
	}
	return t, nil
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// avroRead is how a value becomes one of a column.
type avroRead uint8

const (
	readNothing avroRead = iota // it cannot
	readNull
	readUnion // by its branch
	readBool
	readWhole  // int and long to int64
	readNumber // int and long to float64
	readFloat
	readDouble
	readText     // string
	readSymbol   // enum
	readTextTime // string to timestamp
	readEpoch    // int and long to timestamp, as timestamp_formats allow
	readDate
	readMillis
	readMicros
	readNanos
	readLocalMillis
	readLocalMicros
	readLocalNanos
	readTimeMillis // time-millis to int64, in microseconds
)

// readOf returns how values of type t become values of a column.
func readOf(t *avroType, column table.Type, epoch bool) avroRead {
	switch t.kind {
	case avroNull:
		return readNull
	case avroUnion:
		return readUnion
	}
	return avroReads[avroPair{t.kind, t.logical, column, epoch && column == table.Timestamp && t.logical == ""}]
}

type avroPair struct {
	kind    avroKind
	logical string
	column  table.Type
	epoch   bool
}

// avroReads are all the ways. What is not here is held against the event.
var avroReads = map[avroPair]avroRead{
	{kind: avroBoolean, column: table.Bool}:                                      readBool,
	{kind: avroInt, column: table.Int64}:                                         readWhole,
	{kind: avroLong, column: table.Int64}:                                        readWhole,
	{kind: avroInt, logical: "time-millis", column: table.Int64}:                 readTimeMillis,
	{kind: avroLong, logical: "time-micros", column: table.Int64}:                readWhole,
	{kind: avroInt, column: table.Float64}:                                       readNumber,
	{kind: avroLong, column: table.Float64}:                                      readNumber,
	{kind: avroFloat, column: table.Float64}:                                     readFloat,
	{kind: avroDouble, column: table.Float64}:                                    readDouble,
	{kind: avroString, column: table.String}:                                     readText,
	{kind: avroString, logical: "uuid", column: table.String}:                    readText,
	{kind: avroEnum, column: table.String}:                                       readSymbol,
	{kind: avroString, column: table.Timestamp}:                                  readTextTime,
	{kind: avroString, column: table.Timestamp, epoch: true}:                     readTextTime,
	{kind: avroInt, column: table.Timestamp, epoch: true}:                        readEpoch,
	{kind: avroLong, column: table.Timestamp, epoch: true}:                       readEpoch,
	{kind: avroInt, logical: "date", column: table.Timestamp}:                    readDate,
	{kind: avroLong, logical: "timestamp-millis", column: table.Timestamp}:       readMillis,
	{kind: avroLong, logical: "timestamp-micros", column: table.Timestamp}:       readMicros,
	{kind: avroLong, logical: "timestamp-nanos", column: table.Timestamp}:        readNanos,
	{kind: avroLong, logical: "local-timestamp-millis", column: table.Timestamp}: readLocalMillis,
	{kind: avroLong, logical: "local-timestamp-micros", column: table.Timestamp}: readLocalMicros,
	{kind: avroLong, logical: "local-timestamp-nanos", column: table.Timestamp}:  readLocalNanos,
}
