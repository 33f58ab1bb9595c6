// Package metadata reads the metadata of Parquet files, footers and page headers,
// from bytes that nobody vouches for. It allocates in proportion to the bytes
// it is given, whatever they claim, and checks at the door what later code
// relies on: schema and row groups agree, and every column chunk lies within
// the file.
package metadata

// Annotation is what the values of a column mean, from the logical type or,
// in older files, the converted type.
type Annotation uint8

// The annotations.
const (
	None   Annotation = iota
	String            // enums and JSON, too
	UUID
	Decimal   // Precision, Scale
	Date      // days since 1970
	Time      // Unit, UTC
	Timestamp // Unit, UTC
	Integer   // Bits, Signed
	Float16
	Null // the column has no values
	List
	Other // one this package has no name for; the physical type still holds
)

// Unit is the unit of times and timestamps.
type Unit uint8

// The units, which have the numbers of Arrow's.
const (
	Millis Unit = 1
	Micros Unit = 2
	Nanos  Unit = 3
)

// Logical is an annotation with its parameters.
type Logical struct {
	Annotation       Annotation
	Precision, Scale int32
	Unit             Unit
	UTC              bool
	Bits             uint8
	Signed           bool
}
