package table

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
)

// The values of Column.PII: what becomes of the values of a column that tell who
// somebody is, when they are read and before anything else sees them.
const (
	PIIDrop = "drop" // the column is not there
	PIIHash = "hash" // texts of hashedDigits hex digits, the same for the same value
	PIIMask = "mask" // texts of the same shape
)

const (
	// hashedDigits are the first 128 bits of HMAC-SHA256.
	hashedDigits = 32
	// maskedRunes bounds what is kept of the shape of a text.
	maskedRunes = 32
	// minKeyBytes is below what a key can be guessed: HMAC is no stronger than its key.
	minKeyBytes = 16
)

// Key is a secret that values are hashed with. It does not print.
type Key struct{ secret []byte }

// NewKey returns the key of a secret of at least minKeyBytes.
func NewKey(secret []byte) (Key, error) {
	if len(secret) < minKeyBytes {
		return Key{}, fmt.Errorf("a key has at least %d bytes, this has %d", minKeyBytes, len(secret))
	}
	return Key{secret}, nil
}

// Equal reports whether two keys are of one secret.
func (k Key) Equal(other Key) bool { return hmac.Equal(k.secret, other.secret) }

// ID tells keys apart, and nothing of their secrets; "" of no key.
func (k Key) ID() string {
	if k.secret == nil {
		return ""
	}
	mac := hmac.New(sha256.New, k.secret)
	_, _ = io.WriteString(mac, "thalweg pii key id") // never fails
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Derive returns what stands for the secret in one purpose, and tells nothing of it.
func (k Key) Derive(purpose string) (out [sha256.Size]byte) {
	mac := hmac.New(sha256.New, k.secret)
	_, _ = io.WriteString(mac, purpose) // never fails
	copy(out[:], mac.Sum(nil))
	return out
}

// Check refuses a key of a name that is not the one of an ID; "" is any.
func (k Key) Check(name, id string) error {
	if id == "" || id == k.ID() {
		return nil
	}
	return &thalweg.Error{Op: "read columns", Kind: thalweg.Invalid, Subject: "key " + name, Err: errors.New("its secret is another one than columns were hashed with before"),
		Hint: "every worker has the same secret under a name; another secret is another key: register it under another name, and write that as pii_key"}
}

// Format implements fmt.Formatter.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(secret)") }

// AtSource is the column as its source has it.
func (c Column) AtSource() Column {
	if c.Raw != "" {
		c.Type = c.Raw
	}
	return c
}

// protects reports why the values of columns cannot be protected.
func (s Schema) protects() error {
	for _, c := range s.Columns {
		if c.PII == PIIHash && s.Key.secret == nil {
			return &thalweg.Error{Op: "read columns", Kind: thalweg.Invalid, Subject: "column " + c.Name, Hint: "it is hashed (pii: hash), and there is no key"}
		}
	}
	return nil
}

// Protect returns the values of a column as they may leave the reader, given those of
// its source in their canonical form, which stay the caller's. Rows of equal values get
// equal texts.
func (s Schema) Protect(mem memory.Allocator, c Column, values arrow.Array) (arrow.Array, error) {
	cover := Masked
	switch c.PII {
	case "":
		values.Retain()
		return values, nil
	case PIIHash:
		if err := s.protects(); err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, s.Key.secret)
		cover = func(text string) string {
			mac.Reset()
			_, _ = io.WriteString(mac, text) // never fails
			return hex.EncodeToString(mac.Sum(nil)[:hashedDigits/2])
		}
	}
	return reword(mem, values, cover)
}

// Used returns a column of texts whose dictionary has only words of its rows: not those
// of rows that were rejected.
func Used(mem memory.Allocator, values arrow.Array) (arrow.Array, error) {
	return reword(mem, values, strings.Clone)
}

// reword returns what becomes of the values of a column, in a dictionary in the order of
// the rows.
func reword(mem memory.Allocator, values arrow.Array, cover func(string) string) (arrow.Array, error) {
	entries := array.NewStringBuilder(mem)
	defer entries.Release()
	known := make(map[string]int32)
	add := func(text string) int32 {
		text = cover(text)
		at, ok := known[text]
		if !ok {
			at = int32(len(known))
			known[text] = at
			entries.Append(text)
		}
		return at
	}
	of, err := texts(values, add)
	if err != nil {
		return nil, err
	}
	buf, indices := Alloc(mem, values.Len(), arrow.Int32Traits)
	for row := range indices {
		if indices[row] = 0; values.IsValid(row) {
			indices[row] = of(row)
		}
	}
	words := entries.NewArray()
	defer words.Release()
	return NewText(mem, values.Len(), buf, Valid(values), words), nil
}

// texts returns what becomes of the one text of each value of an array, by rows that
// are not null: of a number its shortest decimal form, of a time RFC 3339 in UTC.
func texts[T any](values arrow.Array, text func(string) T) (of func(row int) T, err error) {
	switch a := values.(type) {
	case *array.Float64:
		return func(row int) T { return text(strconv.FormatFloat(a.Value(row), 'g', -1, 64)) }, nil
	case *array.Timestamp:
		return func(row int) T {
			return text(time.UnixMicro(int64(a.Value(row))).UTC().Format(time.RFC3339Nano))
		}, nil
	}
	if of = Resolver(values, text, ByText(text)); of == nil {
		return nil, fmt.Errorf("values of type %s have no text", TypeOf(values.DataType()))
	}
	return of, nil
}

// Masked returns the shape of a text: x for each letter, 9 for each digit, white space
// and the punctuation of ASCII as they are, ? for all others, and … for what is beyond
// the first maskedRunes characters.
func Masked(text string) string {
	var out strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > maskedRunes {
			return out.String() + "…"
		}
		switch {
		case unicode.IsLetter(r) || unicode.IsMark(r):
			r = 'x'
		case unicode.IsDigit(r):
			r = '9'
		case unicode.IsSpace(r):
			r = ' '
		case r >= unicode.MaxASCII || unicode.IsControl(r):
			r = '?'
		}
		out.WriteRune(r)
	}
	return out.String()
}
