package process

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/thalweg/thalweg"
)

// LockDir makes sure that one process at a time uses a directory; the lock
// goes with the process.
func LockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, &thalweg.Error{Op: "lock directory", Kind: thalweg.Exists, Subject: dir, Hint: "another thalweg runs on it", Err: err}
	}
	return f, nil
}
