package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/file"
	"github.com/thalweg/thalweg/storage/storagetest"
)

func open(t *testing.T, config file.Config) (*file.Opener, storage.Bucket) {
	t.Helper()
	o, err := file.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	if err := o.CreateBucket(t.Context(), "lake"); err != nil {
		t.Fatal(err)
	}
	b, err := o.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	return o, b
}

func TestBucketKeepsThePromisesOfStorage(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Bucket {
		_, b := open(t, file.Config{Dir: t.TempDir(), SkipSync: true})
		return b
	})
}

func TestOpenerKeepsDirectories(t *testing.T) {
	o, err := file.New(file.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	storagetest.RunOpener(t, o)
}

func TestObjectsAreFilesUnderTheirKeys(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, file.Config{Dir: dir})
	if _, err := b.PutIfAbsent(t.Context(), "flights/part 0.parquet", []byte("PAR1")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "lake", "flights", "part 0.parquet"))
	if err != nil || string(got) != "PAR1" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lake", "flights", "by-hand.csv"), []byte("a,b"), 0o644); err != nil {
		t.Fatal(err)
	}
	body, info, err := b.Get(t.Context(), "flights/by-hand.csv")
	if err != nil || string(body) != "a,b" || info.SizeBytes != 3 {
		t.Errorf("a file put there by hand reads as %q, %+v, %v", body, info, err)
	}
}

func TestNoTemporaryFileIsLeft(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, file.Config{Dir: dir})
	for range 2 {
		b.Put(t.Context(), "k", []byte("x"))
		b.PutIfAbsent(t.Context(), "k", []byte("x"))
		b.PutIfAbsent(t.Context(), "k/below", []byte("x"))
	}
	left, err := os.ReadDir(filepath.Join(dir, ".tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files %v are left, %v", left, err)
	}
}

func TestLeftoversOfACrashAreRemovedOnceTheyAreOld(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	old, young := filepath.Join(dir, ".tmp", "1-old"), filepath.Join(dir, ".tmp", "2-young")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	open(t, file.Config{Dir: dir})
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old leftover is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("another writer's file was removed: %v", err)
	}
}

func TestLinksAreNoObjects(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	_, b := open(t, file.Config{Dir: dir})
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	lake := filepath.Join(dir, "lake")
	if err := errors.Join(os.Symlink(outside, filepath.Join(lake, "out")), os.Symlink(filepath.Join(outside, "secret"), filepath.Join(lake, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"link", "out/secret"} {
		if body, _, err := b.Get(t.Context(), key); err == nil {
			t.Errorf("Get(%q) followed a link to %q", key, body)
		}
	}
	if _, err := b.Put(t.Context(), "out/new", []byte("x")); err == nil {
		t.Error("Put followed a link")
	}
	for info, err := range b.List(t.Context(), "", "") {
		t.Errorf("the listing yields %+v, %v", info, err)
	}
}

func TestEmptyDirectoriesDoNotBlockAKey(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, file.Config{Dir: dir})
	if err := os.MkdirAll(filepath.Join(dir, "lake", "a", "b", "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutIfAbsent(t.Context(), "a", []byte("x")); err != nil {
		t.Errorf("PutIfAbsent where only empty directories are: %v", err)
	}
}

func TestDeleteRemovesEmptyDirectories(t *testing.T) {
	dir := t.TempDir()
	_, b := open(t, file.Config{Dir: dir})
	for _, key := range []string{"a/b/c/d", "a/x"} {
		if _, err := b.Put(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), "a/b/c/d"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "lake", "a", "b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty directory is left: %v", err)
	}
	if _, err := b.Head(t.Context(), "a/x"); err != nil {
		t.Error(err)
	}
}

// Two openers stand for two processes: they share nothing but the directory.
func TestTwoProcessesRaceForOneSlot(t *testing.T) {
	dir := t.TempDir()
	_, one := open(t, file.Config{Dir: dir})
	_, two := open(t, file.Config{Dir: dir})
	for round := range 20 {
		key := fmt.Sprintf("race/%d/slot", round)
		var errs [2]error
		var g errgroup.Group
		for i, b := range []storage.Bucket{one, two} {
			g.Go(func() error {
				_, errs[i] = b.PutIfAbsent(t.Context(), key, fmt.Append(nil, i))
				return nil
			})
		}
		g.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v, want one winner", round, errs[0], errs[1])
		}
	}
}

func TestWritersAndDeletersOfOneDirectoryDoNotDisturbEachOther(t *testing.T) {
	dir := t.TempDir()
	_, one := open(t, file.Config{Dir: dir, SkipSync: true})
	_, two := open(t, file.Config{Dir: dir, SkipSync: true})
	var g errgroup.Group
	for w, b := range []storage.Bucket{one, two, one, two} {
		g.Go(func() error {
			key := fmt.Sprintf("deep/er/and/deeper/%d", w)
			for range 200 {
				if _, err := b.PutIfAbsent(t.Context(), key, []byte("x")); err != nil {
					return err
				}
				if err := b.Delete(t.Context(), key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestETagsNeverRepeat(t *testing.T) {
	_, b := open(t, file.Config{Dir: t.TempDir(), SkipSync: true})
	seen := map[string]int{}
	for i := range 300 {
		info, err := b.Put(t.Context(), "k", bytes.Repeat([]byte{byte(i)}, 4))
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[info.ETag]; ok {
			t.Fatalf("writes %d and %d have the ETag %q", before, i, info.ETag)
		}
		seen[info.ETag] = i
	}
}

func TestAnUnusableDirectoryIsNamed(t *testing.T) {
	taken := filepath.Join(t.TempDir(), "taken")
	if err := os.WriteFile(taken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{taken, ""} {
		_, err := file.New(file.Config{Dir: dir})
		var e *thalweg.Error
		if !errors.As(err, &e) || !strings.Contains(e.Error(), dir) {
			t.Errorf("New in %q: %v", dir, err)
		}
	}
}
