// Package encode turns Arrow arrays into Parquet column chunks.
//
// A Column gathers the rows of a row group in compact form; File.Flush encodes them.
// Everything that shows in the bytes is decided there, from the rows of the
// group alone: pages are cut at fixed rows, dictionaries list values in the
// order of their first row. So it does not matter in which batches rows came or
// what dictionaries these had.
//
// Metadata is parquet-go's format structures in its Thrift encoding, bits are
// packed by its bitpack; the pages themselves are made here, because its
// writers take boxed values one by one.
package encode

import (
	"errors"

	"github.com/thalweg/thalweg"
)

// pageRows is the rows of a page: half a megabyte of 8-byte values, the size of
// page that readers expect.
const pageRows = 64 << 10

var (
	errNull = errors.New("a null in a column that is not nullable")
	errText = &thalweg.Error{Op: "gather strings", Kind: thalweg.Exhausted, Err: errors.New("more than 1 GiB of distinct strings in a row group"),
		Hint: "write batches of fewer rows"}
)
