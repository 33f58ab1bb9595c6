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

// Field returns the natural Arrow field of a node below the schema's root. Lists,
// in all their historic forms, and other groups have one, too, although they are
// not read.
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

// leafType returns the natural Arrow type of a leaf: what its annotation says
// where that fits the physical type, as readers of other languages do, and the
// physical type otherwise.
func leafType(n *metadata.Node) (arrow.DataType, error) {
	l := n.Logical
	switch l.Annotation {
	case metadata.Null:
		return arrow.Null, nil
	case metadata.Decimal:
		return decimalType(n)
	case metadata.String, metadata.Enum, metadata.JSON:
		if n.Physical == format.ByteArray {
			return stringType, nil
		}
	case metadata.UUID:
		if n.Physical == format.FixedLenByteArray && n.TypeLength == 16 {
			return stringType, nil
		}
	case metadata.Float16:
		if n.Physical == format.FixedLenByteArray && n.TypeLength == 2 {
			return arrow.PrimitiveTypes.Float32, nil
		}
	case metadata.Date:
		if n.Physical == format.Int32 {
			return arrow.FixedWidthTypes.Date32, nil
		}
	case metadata.Time:
		if t := timeType(n); t != nil {
			return t, nil
		}
	case metadata.Timestamp:
		if n.Physical == format.Int64 && l.Unit >= metadata.Millis && l.Unit <= metadata.Nanos {
			zone := ""
			if l.UTC {
				zone = "UTC"
			}
			return &arrow.TimestampType{Unit: arrow.TimeUnit(l.Unit), TimeZone: zone}, nil
		}
	case metadata.Integer:
		if t := integerType(n); t != nil {
			return t, nil
		}
	}
	switch n.Physical {
	case format.Boolean:
		return arrow.FixedWidthTypes.Boolean, nil
	case format.Int32:
		return arrow.PrimitiveTypes.Int32, nil
	case format.Int64:
		return arrow.PrimitiveTypes.Int64, nil
	case format.Int96:
		return arrow.FixedWidthTypes.Timestamp_us, nil
	case format.Float:
		return arrow.PrimitiveTypes.Float32, nil
	case format.Double:
		return arrow.PrimitiveTypes.Float64, nil
	case format.FixedLenByteArray:
		return &arrow.FixedSizeBinaryType{ByteWidth: n.TypeLength}, nil
	}
	return arrow.BinaryTypes.Binary, nil
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

func timeType(n *metadata.Node) arrow.DataType {
	switch {
	case n.Physical == format.Int32 && n.Logical.Unit == metadata.Millis:
		return arrow.FixedWidthTypes.Time32ms
	case n.Physical == format.Int64 && n.Logical.Unit == metadata.Micros:
		return arrow.FixedWidthTypes.Time64us
	case n.Physical == format.Int64 && n.Logical.Unit == metadata.Nanos:
		return arrow.FixedWidthTypes.Time64ns
	}
	return nil
}

func integerType(n *metadata.Node) arrow.DataType {
	type form struct {
		bits   uint8
		signed bool
	}
	switch l := n.Logical; n.Physical {
	case format.Int64:
		return map[form]arrow.DataType{{64, true}: arrow.PrimitiveTypes.Int64, {64, false}: arrow.PrimitiveTypes.Uint64}[form{l.Bits, l.Signed}]
	case format.Int32:
		return map[form]arrow.DataType{{8, true}: arrow.PrimitiveTypes.Int8, {8, false}: arrow.PrimitiveTypes.Uint8,
			{16, true}: arrow.PrimitiveTypes.Int16, {16, false}: arrow.PrimitiveTypes.Uint16,
			{32, true}: arrow.PrimitiveTypes.Int32, {32, false}: arrow.PrimitiveTypes.Uint32}[form{l.Bits, l.Signed}]
	}
	return nil
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
