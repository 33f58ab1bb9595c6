// Package metadata reads the metadata of Parquet files, footers and page headers,
// from bytes that nobody vouches for. It allocates in proportion to the bytes
// it is given, whatever they claim, and checks at the door what later code
// relies on: schema and row groups agree, and every column chunk lies within
// the file.
package metadata

import "fmt"

// Physical is how the values of a column are stored.
type Physical int32

// The physical types.
const (
	Boolean           Physical = 0
	Int32             Physical = 1
	Int64             Physical = 2
	Int96             Physical = 3
	Float             Physical = 4
	Double            Physical = 5
	ByteArray         Physical = 6
	FixedLenByteArray Physical = 7
)

var physicalNames = [...]string{"BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"}

func (p Physical) String() string { return name(physicalNames[:], int32(p), "physical type") }

// Encoding is how the values of a page are laid out.
type Encoding int32

// The encodings.
const (
	Plain                Encoding = 0
	PlainDictionary      Encoding = 2
	RLE                  Encoding = 3
	BitPacked            Encoding = 4
	DeltaBinaryPacked    Encoding = 5
	DeltaLengthByteArray Encoding = 6
	DeltaByteArray       Encoding = 7
	RLEDictionary        Encoding = 8
	ByteStreamSplit      Encoding = 9
)

var encodingNames = [...]string{"PLAIN", "", "PLAIN_DICTIONARY", "RLE", "BIT_PACKED", "DELTA_BINARY_PACKED",
	"DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "RLE_DICTIONARY", "BYTE_STREAM_SPLIT"}

func (e Encoding) String() string { return name(encodingNames[:], int32(e), "encoding") }

// Codec is how pages are compressed.
type Codec int32

// The codecs.
const (
	Uncompressed Codec = 0
	Snappy       Codec = 1
	Gzip         Codec = 2
	LZO          Codec = 3
	Brotli       Codec = 4
	LZ4Hadoop    Codec = 5 // LZ4 blocks in Hadoop's framing, or without any
	Zstd         Codec = 6
	LZ4Raw       Codec = 7
)

var codecNames = [...]string{"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"}

func (c Codec) String() string { return name(codecNames[:], int32(c), "codec") }

// Repetition says how often a field occurs in its parent.
type Repetition int32

// The repetitions.
const (
	Required Repetition = 0
	Optional Repetition = 1
	Repeated Repetition = 2
)

// Annotation is what the values of a column mean, from the logical type or,
// in older files, the converted type.
type Annotation uint8

// The annotations.
const (
	None Annotation = iota
	String
	Enum
	JSON
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

// The units.
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

func name(names []string, i int32, what string) string {
	if i >= 0 && int(i) < len(names) && names[i] != "" {
		return names[i]
	}
	return fmt.Sprintf("%s %d", what, i)
}
