package dataset

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/parquet/compress"
	"github.com/thalweg/thalweg/storage/parquet/decode"
	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

func objectSubject(key string) string { return "object " + key }

// columnSubject names a column of an object, and the row group unless negative.
func columnSubject(key string, group int, column string) string {
	if group < 0 {
		return fmt.Sprintf("object %s, column %q", key, column)
	}
	return fmt.Sprintf("object %s, row group %d, column %q", key, group, column)
}

// failure is the error of bytes that could not be read.
func failure(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	e := &thalweg.Error{Op: op, Kind: thalweg.Corrupt, Subject: subject, Err: err}
	switch {
	case errors.Is(err, metadata.ErrEncrypted), errors.Is(err, decode.ErrUnsupported), errors.Is(err, compress.ErrUnsupported):
		e.Kind = thalweg.Unsupported
	case errors.Is(err, encoding.ErrTooLarge):
		e.Kind, e.Hint = thalweg.Exhausted, "lower the rows of a batch"
	}
	return e
}

// guard calls fn and makes an error of a panic, and of a fault at an address
// that is not mapped, which is what a decompressor in assembly would end with.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoder panicked: %v", p)
		}
	}()
	return fn()
}
