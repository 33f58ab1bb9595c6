package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/thalweg/thalweg"
)

// maxFileBytes bounds what is read of a file that holds an event, a schema or a
// lineage.
const maxFileBytes = 64 << 20

// readFile reads a file of at most so many bytes, or standard input if its name
// is -. An error says what was being done, and what file would do.
func readFile(op, name string, most int64, hint string) ([]byte, error) {
	from := os.Stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, unreadable(op, err, hint)
		}
		defer file.Close()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	if err != nil {
		return nil, unreadable(op, err, hint)
	}
	return data, nil
}

// unreadable is the error of a file that cannot be read.
func unreadable(op string, err error, hint string) error {
	kind := thalweg.Invalid
	if errors.Is(err, fs.ErrNotExist) {
		kind = thalweg.NotFound
	}
	return &thalweg.Error{Op: op, Kind: kind, Err: err, Hint: hint}
}
