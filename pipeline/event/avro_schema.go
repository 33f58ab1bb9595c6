package event

import (
	"fmt"
	"math"
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
	logical *avroLogical // nil: none
	size    int          // fixed
	scale   int          // decimal
	symbols [][]byte     // enum
	parts   []*avroType  // array and map: of the items; union: branches; record: fields
	fields  []string     // record: names
}

// avroLogical is what a logical type makes of a value.
type avroLogical struct {
	column table.Type // that takes it; empty: none does
	unit   int64      // of a time, in microseconds; 0: nanoseconds
	local  bool       // what a clock shows, not a moment
}

// logicalTypes are those that change what a value means, by the types that
// they may annotate; on others a logical type is ignored, as Avro says.
var logicalTypes = map[avroKind]map[string]*avroLogical{
	avroInt: {
		"date":        {table.Timestamp, 86400e6, true},
		"time-millis": {table.Int64, 1000, false},
	},
	avroLong: {
		"time-micros":            {table.Int64, 1, false},
		"timestamp-millis":       {table.Timestamp, 1000, false},
		"timestamp-micros":       {table.Timestamp, 1, false},
		"timestamp-nanos":        {table.Timestamp, 0, false},
		"local-timestamp-millis": {table.Timestamp, 1000, true},
		"local-timestamp-micros": {table.Timestamp, 1, true},
		"local-timestamp-nanos":  {table.Timestamp, 0, true},
	},
	avroString: {"uuid": {column: table.String}},
	avroBytes:  {"decimal": {column: table.Float64}},
	avroFixed:  {"decimal": {column: table.Float64}, "duration": {}, "uuid": {}},
}

// fills reports whether a column takes values of the type. Any takes null, and
// what a union has must fill it in turn.
func (t *avroType) fills(column table.Type, epoch bool) bool {
	if t.logical != nil {
		return t.logical.column == column
	}
	switch t.kind {
	case avroNull, avroUnion:
		return true
	case avroBoolean:
		return column == table.Bool
	case avroFloat, avroDouble:
		return column == table.Float64
	case avroEnum:
		return column == table.String
	case avroString:
		return column == table.String || column == table.Timestamp
	case avroInt, avroLong:
		return column == table.Int64 || column == table.Float64 || column == table.Timestamp && epoch
	case avroArray:
		// Not of nulls, which take no bytes, so that there could be any number.
		return column.Element() != "" && t.parts[0].kind != avroNull && t.parts[0].fills(column.Element(), epoch)
	}
	return false
}

// micros returns the microseconds of a number of units; ok is false where they
// are no time.
func (l *avroLogical) micros(v int64) (us int64, ok bool) {
	us = v * l.unit
	switch l.unit {
	case 0:
		us = table.FloorDiv(v, 1000)
	case 1:
	default:
		if math.Abs(float64(v)*float64(l.unit)) >= 1<<62 { // more than 64 bits hold
			return 0, false
		}
	}
	return us, us >= table.MinMicros && us <= table.MaxMicros
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
		if what := new(Cells).disguise([]byte(text)); strings.Contains(what, "UTF-16") {
			return nil, fmt.Errorf("the schema cannot be read: %s", what)
		}
		if schema, err = cache.Parse(strings.TrimPrefix(text, "\ufeff")); err != nil {
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
	t := &avroType{kind: kind, name: n.Type, size: n.Size, scale: n.Scale}
	if logical := logicalTypes[kind][n.LogicalType]; logical != nil {
		t.logical, t.name = logical, n.LogicalType
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
