package memory_test

import (
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/storagetest"
)

func TestBucketKeepsThePromisesOfStorage(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Bucket { return memory.New() })
}

func TestOpenerKeepsNamedBuckets(t *testing.T) {
	storagetest.RunOpener(t, memory.NewOpener())
	o := memory.NewOpener("lake")
	b, err := o.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	_, err = o.Bucket(t.Context(), "sea")
	if !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("an unknown bucket: %v", err)
	}
}
