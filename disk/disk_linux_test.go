package disk

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/thalweg/thalweg"
)

// /dev/full refuses what is written as a full file system does.
func TestAFullDiskIsNamedWithWhatWasWanted(t *testing.T) {
	device, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	full := &Temp{File: device, op: "train", dir: dir}
	defer full.Close()
	_, err = full.WriteAt(make([]byte, 100), 4000)
	var of *FullError
	if !thalweg.Is(err, thalweg.Exhausted) || !errors.As(err, &of) || of.Dir != dir || of.Wanted != 4100 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{dir, "4100 bytes wanted", " free: ", "more disk"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestATemporaryFileHasNoNameAndKeepsItsBytes(t *testing.T) {
	dir := t.TempDir()
	f, err := NewTemp("train", dir, "rows-*")
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("in the directory: %v, %v", left, err)
	}
	got := make([]byte, 3)
	if _, err := f.WriteAt([]byte("abc"), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(got, 10); err != nil || !bytes.Equal(got, []byte("abc")) {
		t.Errorf("read %q, %v", got, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	// As on a system that keeps open files' names.
	if f, err = NewTemp("train", dir, "rows-*"); err != nil {
		t.Fatal(err)
	}
	f.named = true
	if err := os.WriteFile(f.Name(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if free, err := Free(dir); err != nil || free <= 0 {
		t.Errorf("%d bytes free, %v", free, err)
	}
	if _, err := NewTemp("train", dir+"/missing", "rows-*"); !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), dir+"/missing") {
		t.Errorf("in no directory: %v", err)
	}
}
