package file

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/thalweg/thalweg"
)

// kindOf tells what a file system's error means to a caller of a Bucket.
func kindOf(err error) thalweg.Kind {
	for _, c := range []struct {
		err  error
		kind thalweg.Kind
	}{
		{fs.ErrNotExist, thalweg.NotFound},
		{syscall.ENOTDIR, thalweg.NotFound}, // a segment of the key is an object
		{fs.ErrExist, thalweg.Exists},
		{syscall.ENAMETOOLONG, thalweg.Invalid},
		{syscall.ENOSPC, thalweg.Exhausted},
		{syscall.EDQUOT, thalweg.Exhausted},
		{syscall.EFBIG, thalweg.Exhausted},
		{syscall.EMFILE, thalweg.Unavailable},
		{syscall.ENFILE, thalweg.Unavailable},
		{syscall.EIO, thalweg.Unavailable},
		{syscall.ESTALE, thalweg.Unavailable},
		{syscall.EINTR, thalweg.Unavailable},
		{syscall.EOPNOTSUPP, thalweg.Unsupported}, // no hard links
		{errNotRegular, thalweg.NotFound},
		{errTakenByPrefix, thalweg.Invalid},
		{errBelowObject, thalweg.Invalid},
		{errChanged, thalweg.Unavailable},
	} {
		if errors.Is(err, c.err) {
			return c.kind
		}
	}
	return thalweg.Other
}

var (
	errNotRegular    = errors.New("not a regular file")
	errTakenByPrefix = errors.New("other objects lie below the key, and a directory cannot be an object")
	errBelowObject   = errors.New("a prefix of the key is an object, and an object cannot be a directory")
	errChanged       = errors.New("the file was changed in place while it was read")
)
