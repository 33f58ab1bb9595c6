//go:build unix

package devbroker

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/thalweg/thalweg"
)

// dirLock keeps other processes off a data directory: two brokers in one
// would spoil it. The operating system drops the lock when the process ends,
// however that happens. A nil dirLock holds nothing.
type dirLock struct{ file *os.File }

// lockDir takes the lock of dir or fails with Conflict.
func lockDir(dir string) (*dirLock, error) {
	name := filepath.Join(dir, "LOCK")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, &thalweg.Error{Op: "lock broker directory", Subject: name, Err: err}
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		e := &thalweg.Error{Op: "lock broker directory", Subject: dir, Err: err}
		if errors.Is(err, syscall.EWOULDBLOCK) {
			e.Kind, e.Hint = thalweg.Conflict, "another broker uses this directory"
		}
		return nil, e
	}
	return &dirLock{file: file}, nil
}

func (l *dirLock) release() {
	if l != nil {
		l.file.Close()
	}
}
