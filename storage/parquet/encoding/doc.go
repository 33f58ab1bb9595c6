// Package encoding decodes the values and levels of Parquet pages.
//
// Every decoder is given the bytes of one page and then asked for values, a few
// thousand at a time, into memory of the caller: it keeps its place within
// runs, blocks and strings. So nothing is allocated because a page claims to
// hold many values, and a batch may end anywhere in a page. No decoder trusts
// its input; what bytes cannot mean is an error, never a panic.
//
// Values are laid out as in memory on little-endian machines, the only ones
// supported.
package encoding

import "errors"

var (
	errTruncated = errors.New("values end early")
	errBitWidth  = errors.New("bit width out of range")
	// ErrTooLarge is the error of variable-length values that exceed the bytes
	// that the caller grants.
	ErrTooLarge = errors.New("values of a batch exceed the bound of bytes")
)
