// Package json stands in for github.com/goccy/go-json, which arrow takes for the
// JSON form of its arrays: nothing here asks for that form, and the library's
// four copies of its interpreter cost every build 13 CPU-seconds and every start
// of the program 2 ms. It is the standard library's encoding/json under the
// names that arrow uses (go.mod replaces the one by the other).
package json

import (
	"encoding/json"
	"io"
)

// The types of encoding/json.
type (
	// Decoder is json.Decoder.
	Decoder = json.Decoder
	// Encoder is json.Encoder.
	Encoder = json.Encoder
	// Marshaler is json.Marshaler.
	Marshaler = json.Marshaler
	// Unmarshaler is json.Unmarshaler.
	Unmarshaler = json.Unmarshaler
	// Delim is json.Delim.
	Delim = json.Delim
	// Number is json.Number.
	Number = json.Number
	// RawMessage is json.RawMessage.
	RawMessage = json.RawMessage
	// UnmarshalTypeError is json.UnmarshalTypeError.
	UnmarshalTypeError = json.UnmarshalTypeError
)

// Marshal is json.Marshal.
func Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal is json.Unmarshal.
func Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// NewDecoder is json.NewDecoder.
func NewDecoder(r io.Reader) *Decoder { return json.NewDecoder(r) }

// NewEncoder is json.NewEncoder.
func NewEncoder(w io.Writer) *Encoder { return json.NewEncoder(w) }
