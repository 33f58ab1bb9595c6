package decode

import (
	"math"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// textSource decodes values as text.
type textSource interface {
	// begin forgets the chunk before.
	begin()
	reset(enc format.Encoding, data []byte) error
	// append decodes n values, appends their text to dst and writes where each
	// ends in it to ends.
	append(n int, dst []byte, ends []int32) ([]byte, error)
	// fits reports whether so many PLAIN values can lie in so many bytes.
	fits(values, bytes int) bool
}

// byteText is text that is stored as such.
type byteText struct{ dec encoding.Bytes }

func (t *byteText) reset(enc format.Encoding, data []byte) error { return t.dec.Reset(enc, data) }
func (t *byteText) fits(values, bytes int) bool                  { return values <= bytes/4 }

func (t *byteText) begin() { t.dec.Begin() }

func (t *byteText) append(n int, dst []byte, ends []int32) ([]byte, error) {
	return t.dec.Append(n, dst, ends, maxBatchBytes)
}

// uuidText writes UUIDs, which are stored as 16 bytes, as text.
type uuidText struct {
	dec  encoding.Fixed
	step [64 * uuidBytes]byte
}

const (
	uuidBytes = 16
	uuidChars = 36
)

func (t *uuidText) reset(enc format.Encoding, data []byte) error {
	return t.dec.Reset(enc, format.FixedLenByteArray, uuidBytes, data)
}

func (t *uuidText) begin() { t.dec.Begin() }

func (t *uuidText) fits(values, bytes int) bool {
	return values <= bytes/uuidBytes && values <= math.MaxInt32/uuidChars
}

func (t *uuidText) append(n int, dst []byte, ends []int32) ([]byte, error) {
	for n > 0 {
		m := min(n, len(t.step)/uuidBytes)
		if err := t.dec.Read(t.step[:m*uuidBytes], m); err != nil {
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
