package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/thalweg/thalweg"
)

func TestABackupIsForItsOwnerAndOverwritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "thalweg.backup")
	if err := writeNew(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("second")); !thalweg.Is(err, thalweg.Exists) {
		t.Errorf("a second one: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Errorf("it holds %q, %v", got, err)
	}
	there, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(there) != 1 {
		t.Fatalf("files: %v, %v", there, err)
	}
	if info, err := there[0].Info(); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}
