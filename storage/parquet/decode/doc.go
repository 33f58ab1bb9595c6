// Package decode turns the column chunks of Parquet row groups into Arrow
// arrays, a batch of rows at a time.
//
// A Column walks the pages of one chunk after the other: they are uncompressed,
// their values decoded straight into the memory of an array, and spread over the
// nulls. A sink builds one kind of array. Lists of values are assembled from their
// levels; other groups are not read.
package decode

import "errors"

// maxBatchBytes bounds the bytes of the variable-length values of one batch of
// one column: prefixes and dictionaries let a few bytes of a page stand for
// gigabytes. A full batch of 8 KiB documents reaches it. Twice it, and three
// times it (text repaired), still fit 32-bit offsets.
const maxBatchBytes = 1 << 29

// stepRows is the values decoded at a time where an intermediate form is
// needed; it keeps that form in the first-level cache.
const stepRows = 1024

var (
	// ErrUnsupported is the error of what is valid Parquet that this package does
	// not read.
	ErrUnsupported = errors.New("not supported")
	errNoDict      = errors.New("dictionary indices without a dictionary")
	errDictIndex   = errors.New("dictionary index out of range")
)
