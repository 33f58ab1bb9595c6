package decode

import (
	"math"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// textSource decodes values as text: an encoding.Bytes where it is stored as such.
type textSource interface {
	// Begin forgets the chunk before.
	Begin()
	Reset(enc format.Encoding, data []byte) error
	// Append decodes n values, appends their text to dst, of at most limit bytes, and
	// writes where each ends in it to ends.
	Append(n int, dst []byte, ends []int32, limit int) ([]byte, error)
	// Fits reports whether so many PLAIN values can lie in so many bytes.
	Fits(values, bytes int) bool
}

// uuidText writes UUIDs, which are stored as 16 bytes, as text.
type uuidText struct {
	encoding.Fixed
	step [64 * uuidBytes]byte
}

const (
	uuidBytes = 16
	uuidChars = 36
)

func (t *uuidText) Fits(values, bytes int) bool {
	return t.Fixed.Fits(values, bytes) && values <= math.MaxInt32/uuidChars
}

func (t *uuidText) Append(n int, dst []byte, ends []int32, _ int) ([]byte, error) {
	for n > 0 {
		m := min(n, len(t.step)/uuidBytes)
		if err := t.Read(t.step[:m*uuidBytes], m); err != nil {
			return nil, err
		}
		for i := range m {
			dst = appendUUID(dst, t.step[i*uuidBytes:(i+1)*uuidBytes])
			ends[i] = int32(len(dst))
		}
		ends = ends[m:]
		n -= m
	}
	return dst, nil
}

// validText returns values in which every byte that is not part of valid UTF-8
// is U+FFFD, as JSON decoders make it, so that files and events agree. Mostly
// there is none, and then it copies nothing.
func validText(values []byte, offsets []int32) ([]byte, []int32) {
	valid := utf8.Valid(values)
	for i := 0; valid && i < len(offsets); i++ {
		// A rune must not reach from one value into the next.
		valid = int(offsets[i]) == len(values) || utf8.RuneStart(values[offsets[i]])
	}
	if valid {
		return values, offsets
	}
	var out []byte
	ends := make([]int32, 1, len(offsets))
	for i := range len(offsets) - 1 {
		for _, r := range string(values[offsets[i]:offsets[i+1]]) {
			out = utf8.AppendRune(out, r)
		}
		ends = append(ends, int32(len(out)))
	}
	return out, ends
}
