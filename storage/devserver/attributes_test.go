package devserver

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/thalweg/thalweg"
)

func TestAFileSystemWithoutAttributesIsRefused(t *testing.T) {
	for name, set := range map[string]func(int, string, []byte, int) error{
		"none":           func(int, string, []byte, int) error { return syscall.ENOTSUP },
		"not kept":       func(int, string, []byte, int) error { return nil },
		"no room left":   func(int, string, []byte, int) error { return syscall.ENOSPC },
		"not for us":     func(int, string, []byte, int) error { return syscall.EPERM },
		"read-only disk": func(int, string, []byte, int) error { return syscall.EROFS },
	} {
		dir := t.TempDir()
		err := probeAttributes(dir, set)
		if !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "directory store") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: the probe left %v, %v", name, left, err)
		}
	}
}
