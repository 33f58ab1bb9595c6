package decode

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// stringType carries strings everywhere.
var stringType = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}

// The widest decimals that Arrow has, in digits.
const (
	maxDigits128 = 38
	maxDigits256 = 76
)

// Field returns the natural Arrow field of a node below the schema's root: lists
// in all their historic forms, and other groups too, although they are not read.
func Field(n *metadata.Node) (arrow.Field, error) {
	t, err := typeOf(n)
	if err != nil {
		return arrow.Field{}, fmt.Errorf("%q: %w", n.Name, err)
	}
	if n.Repetition == format.Repeated {
		t = arrow.ListOfField(arrow.Field{Name: "element", Type: t})
	}
	return arrow.Field{Name: n.Name, Type: t, Nullable: n.Repetition == format.Optional}, nil
}

// typeOf returns the type of a node without its repetition.
func typeOf(n *metadata.Node) (arrow.DataType, error) {
	if n.Leaf >= 0 {
		return leafType(n)
	}
	fields := make([]arrow.Field, len(n.Children))
	for i, c := range n.Children {
		var err error
		if fields[i], err = Field(c); err != nil {
			return nil, err
		}
	}
	if n.Logical.Annotation != metadata.List || len(fields) != 1 || n.Children[0].Repetition != format.Repeated {
		return arrow.StructOf(fields...), nil
	}
	// The child is repeated: its only field is the element, but for writers that
	// leave this innermost group out.
	group, ok := fields[0].Type.(*arrow.ListType).Elem().(*arrow.StructType)
	if !ok || group.NumFields() != 1 || fields[0].Name == "array" || fields[0].Name == n.Name+"_tuple" {
		return fields[0].Type, nil
	}
	element := group.Field(0)
	element.Name = "element"
	return arrow.ListOfField(element), nil
}

// annotated are the natural types of annotated leaves, but for decimals: by
// physical type and its length, and by annotation.
var annotated = map[stored]map[metadata.Logical]arrow.DataType{
	{format.ByteArray, 0}:          {{Annotation: metadata.String}: stringType},
	{format.FixedLenByteArray, 16}: {{Annotation: metadata.UUID}: stringType},
	{format.FixedLenByteArray, 2}:  {{Annotation: metadata.Float16}: arrow.PrimitiveTypes.Float32},
	{format.Int32, 0}: {
		{Annotation: metadata.Date}:                            arrow.FixedWidthTypes.Date32,
		{Annotation: metadata.Time, Unit: metadata.Millis}:     arrow.FixedWidthTypes.Time32ms,
		{Annotation: metadata.Integer, Bits: 8, Signed: true}:  arrow.PrimitiveTypes.Int8,
		{Annotation: metadata.Integer, Bits: 16, Signed: true}: arrow.PrimitiveTypes.Int16,
		{Annotation: metadata.Integer, Bits: 8}:                arrow.PrimitiveTypes.Uint8,
		{Annotation: metadata.Integer, Bits: 16}:               arrow.PrimitiveTypes.Uint16,
		{Annotation: metadata.Integer, Bits: 32}:               arrow.PrimitiveTypes.Uint32,
	},
	{format.Int64, 0}: {
		{Annotation: metadata.Time, Unit: metadata.Micros}:                 arrow.FixedWidthTypes.Time64us,
		{Annotation: metadata.Time, Unit: metadata.Nanos}:                  arrow.FixedWidthTypes.Time64ns,
		{Annotation: metadata.Timestamp, Unit: metadata.Millis}:            &arrow.TimestampType{Unit: arrow.Millisecond},
		{Annotation: metadata.Timestamp, Unit: metadata.Micros}:            &arrow.TimestampType{Unit: arrow.Microsecond},
		{Annotation: metadata.Timestamp, Unit: metadata.Nanos}:             &arrow.TimestampType{Unit: arrow.Nanosecond},
		{Annotation: metadata.Timestamp, Unit: metadata.Millis, UTC: true}: arrow.FixedWidthTypes.Timestamp_ms,
		{Annotation: metadata.Timestamp, Unit: metadata.Micros, UTC: true}: arrow.FixedWidthTypes.Timestamp_us,
		{Annotation: metadata.Timestamp, Unit: metadata.Nanos, UTC: true}:  arrow.FixedWidthTypes.Timestamp_ns,
		{Annotation: metadata.Integer, Bits: 64}:                           arrow.PrimitiveTypes.Uint64,
	},
}

// stored is a physical type and, of FixedLenByteArray, the length.
type stored struct {
	physical format.Type
	length   int
}

// plain are the natural types of other leaves.
var plain = map[format.Type]arrow.DataType{
	format.Boolean:   arrow.FixedWidthTypes.Boolean,
	format.Int32:     arrow.PrimitiveTypes.Int32,
	format.Int64:     arrow.PrimitiveTypes.Int64,
	format.Int96:     arrow.FixedWidthTypes.Timestamp_us,
	format.Float:     arrow.PrimitiveTypes.Float32,
	format.Double:    arrow.PrimitiveTypes.Float64,
	format.ByteArray: arrow.BinaryTypes.Binary,
}

// leafType returns the natural Arrow type of a leaf: what its annotation says
// where that fits the physical type, as readers of other languages do, and the
// physical type otherwise.
func leafType(n *metadata.Node) (arrow.DataType, error) {
	meaning := n.Logical
	switch n.Logical.Annotation {
	case metadata.Null:
		return arrow.Null, nil
	case metadata.Decimal:
		return decimalType(n)
	case metadata.Time:
		meaning.UTC = false // Arrow's have no zone
	}
	if t, ok := annotated[stored{n.Physical, n.TypeLength}][meaning]; ok {
		return t, nil
	}
	if t, ok := plain[n.Physical]; ok {
		return t, nil
	}
	return &arrow.FixedSizeBinaryType{ByteWidth: n.TypeLength}, nil
}

func decimalType(n *metadata.Node) (arrow.DataType, error) {
	p, s := n.Logical.Precision, n.Logical.Scale
	if p <= 0 || s < 0 || s > p {
		return nil, fmt.Errorf("decimal of %d digits, %d of them after the point", p, s)
	}
	switch n.Physical {
	case format.Int32, format.Int64, format.ByteArray, format.FixedLenByteArray:
	default:
		return nil, fmt.Errorf("decimal stored as %v", n.Physical)
	}
	switch {
	case p <= maxDigits128:
		return &arrow.Decimal128Type{Precision: p, Scale: s}, nil
	case p <= maxDigits256:
		return &arrow.Decimal256Type{Precision: p, Scale: s}, nil
	}
	return nil, fmt.Errorf("decimal of %d digits: %w", p, ErrUnsupported)
}

// width returns the bytes of a value of a leaf of fixed width as stored.
func width(n *metadata.Node) int {
	switch n.Physical {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	case format.Int96:
		return 12
	}
	return n.TypeLength
}
