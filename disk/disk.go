// Package disk is what a process asks of the file systems that it writes to: how much room is
// left, and temporary files whose errors say what could not be written, and where.
package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/thalweg/thalweg"
)

// Free returns the bytes that are left for this process where dir is.
func Free(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil //nolint:unconvert // on other systems its type is another
}

// FullError says that a file system has no room for a write. It is the cause of an error of
// kind Exhausted.
type FullError struct {
	Dir    string // of the file
	Wanted int64  // bytes, those that the file had before included
	Free   int64  // bytes that were left; negative: not known
	Err    error  // of the system
}

// Error implements error.
func (e *FullError) Error() string {
	if e.Free < 0 {
		return fmt.Sprintf("%d bytes wanted: %v", e.Wanted, e.Err)
	}
	return fmt.Sprintf("%d bytes wanted, %d free: %v", e.Wanted, e.Free, e.Err)
}

// Unwrap returns the error of the system.
func (e *FullError) Unwrap() error { return e.Err }

// Temp is a temporary file. It has no name from its beginning where the system allows, so that
// a process that is killed leaves nothing behind. Its methods may be called concurrently.
type Temp struct {
	*os.File
	op, dir string
	named   bool // the system did not allow it
}

// NewTemp opens a temporary file in dir, for an operation that its errors name.
func NewTemp(op, dir, pattern string) (*Temp, error) {
	file, err := os.CreateTemp(dir, pattern)
	t := &Temp{File: file, op: op, dir: dir}
	switch {
	case full(err):
		return nil, t.failed(err, 0)
	case err != nil:
		return nil, &thalweg.Error{Op: op, Kind: thalweg.Unavailable, Subject: "spill directory " + dir, Err: err,
			Hint: "give the worker a directory that it can write to"}
	}
	t.named = os.Remove(file.Name()) != nil
	return t, nil
}

// WriteAt writes p at an offset.
func (t *Temp) WriteAt(p []byte, offset int64) (int, error) {
	n, err := t.File.WriteAt(p, offset)
	if err != nil {
		return n, t.failed(err, offset+int64(len(p)))
	}
	return n, nil
}

// Close closes the file, and removes it if it still has a name.
func (t *Temp) Close() error {
	err := t.File.Close()
	if t.named {
		return errors.Join(err, os.Remove(t.Name()))
	}
	return err
}

// failed is the error of a write that wants the file to have so many bytes.
func (t *Temp) failed(err error, wanted int64) error {
	if full(err) {
		free, unknown := Free(t.dir)
		if unknown != nil {
			free = -1
		}
		return &thalweg.Error{Op: t.op, Kind: thalweg.Exhausted, Subject: "spill directory " + t.dir, Err: &FullError{t.dir, wanted, free, err},
			Hint: "give the worker more disk, or more memory"}
	}
	return &thalweg.Error{Op: t.op, Kind: thalweg.Unavailable, Subject: "spill file " + t.Name(), Err: err}
}

// full reports whether an error says that there is no room, or no more than a quota.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
