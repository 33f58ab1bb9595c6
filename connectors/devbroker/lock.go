package devbroker

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/thalweg/thalweg"
)

// lockDir takes the lock of dir, or fails with Conflict: two brokers in one
// directory would spoil it. The operating system drops the lock when the file is
// closed or the process ends, however that happens.
func lockDir(dir string) (*os.File, error) {
	name := filepath.Join(dir, "LOCK")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &thalweg.Error{Op: "lock broker directory", Subject: name, Err: err}
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		e := &thalweg.Error{Op: "lock broker directory", Subject: dir, Err: err}
		if errors.Is(err, unix.EWOULDBLOCK) {
			e.Kind, e.Hint = thalweg.Conflict, "another broker uses this directory"
		}
		return nil, e
	}
	return file, nil
}
