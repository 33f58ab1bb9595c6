package storagetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// sortTraps are keys whose byte order is not the order of a walk through
// directories: "-", "." sort before "/", digits and letters after it.
var sortTraps = []string{
	"a-/x", "a-b", "a.b/c", "a/0", "a/b-", "a/b/c", "a/b0", "a00", "a0/x", "ab", "b", "B/x", "a/b./c", "a/ä", "a/z",
}

func listOrder(t *testing.T, b storage.Bucket) {
	wantList(t, b, "", "")
	for _, key := range sortTraps {
		mustPut(t, b, key, key)
	}
	wantList(t, b, "", "", sortTraps...)
	seen := b.List(t.Context(), "", "")
	for range 2 { // a sequence may be ranged over again
		for info, err := range seen {
			if err != nil {
				t.Fatal(err)
			}
			if info.SizeBytes != int64(len(info.Key)) {
				t.Errorf("%q is listed with %d bytes, want %d", info.Key, info.SizeBytes, len(info.Key))
			}
			head, err := b.Head(t.Context(), info.Key)
			if err != nil || info.ETag != "" && info.ETag != head.ETag {
				t.Errorf("%q is listed with ETag %q, Head has %q, %v", info.Key, info.ETag, head.ETag, err)
			}
		}
	}
}

func listBounds(t *testing.T, b storage.Bucket) {
	for _, key := range sortTraps {
		mustPut(t, b, key, "x")
	}
	prefixes := []string{"", "a", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/", "a-", "a0", "b", "B/", "z", "a/..", "a/\u00e4", "."}
	afters := []string{"", "a", "a-", "a-/x", "a.", "a/", "a/b", "a/b/", "a/b/c", "a/b/zzz", "a/b0", "a0", "a0/", "b", "z", "A", "a/ä"}
	for _, prefix := range prefixes {
		for _, after := range afters {
			wantList(t, b, prefix, after, matching(sortTraps, prefix, after)...)
		}
	}
}

func listImpossible(t *testing.T, b storage.Bucket) {
	mustPut(t, b, "a/b", "x")
	for _, prefix := range []string{"/", "//", "a//", "../", "a/../a/", "./", "a/./", "a\x00", "\xff", strings.Repeat("a/", storage.MaxKeyBytes)} {
		wantList(t, b, prefix, "")
	}
}

func listPages(t *testing.T, b storage.Bucket) {
	const n = storage.MaxListPage + 345
	keys := make([]string, n)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range keys {
		keys[i] = fmt.Sprintf("pages/%02d/%05d", i/500, i)
		g.Go(func() error {
			_, err := b.Put(t.Context(), keys[i], []byte("x"))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	wantList(t, b, "pages/", "", keys...)
	wantList(t, b, "", keys[123], keys[124:]...)
	wantList(t, b, "pages/01/", "", keys[500:1000]...)
	var first []string
	for info, err := range b.List(t.Context(), "pages/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if first = append(first, info.Key); len(first) == 1001 {
			break
		}
	}
	if !slices.Equal(first, keys[:1001]) {
		t.Errorf("the first 1001 keys are not the first 1001 keys")
	}
}

func listCanceled(t *testing.T, b storage.Bucket) {
	for i := range 5 {
		mustPut(t, b, fmt.Sprintf("k%d", i), "x")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var failed error
	listed := 0
	for _, err := range b.List(ctx, "k", "") {
		if failed != nil {
			t.Fatal("the listing went on after its error")
		}
		if failed = err; err == nil {
			listed++
		}
		cancel()
	}
	if !thalweg.Is(failed, thalweg.Canceled) {
		t.Errorf("after %d objects and the end of its context, the listing ended with %v, want %q", listed, failed, thalweg.Canceled)
	}
}

// listDuringChange: objects that stay are listed exactly once and in order,
// whatever comes and goes beside them.
func listDuringChange(t *testing.T, b storage.Bucket) {
	const stay = 40
	for i := range stay {
		mustPut(t, b, fmt.Sprintf("d%d/stay", i%7)+fmt.Sprintf("%02d", i), "x")
	}
	stop := make(chan struct{})
	var g errgroup.Group
	for w := range 2 {
		g.Go(func() error {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return nil
				default:
				}
				key := fmt.Sprintf("d%d/go%d/%d", i%7, w, i%3)
				if _, err := b.Put(t.Context(), key, []byte("x")); err != nil {
					return err
				}
				if err := b.Delete(t.Context(), key); err != nil {
					return err
				}
			}
		})
	}
	for range 10 {
		var keys []string
		for info, err := range b.List(t.Context(), "", "") {
			if err != nil {
				t.Error(err)
				break
			}
			keys = append(keys, info.Key)
		}
		if !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
			t.Errorf("the listing is not in strict byte order: %q", keys)
		}
		keys = slices.DeleteFunc(keys, func(k string) bool { return !strings.Contains(k, "/stay") })
		if len(keys) != stay {
			t.Errorf("%d of the %d objects that stayed were listed", len(keys), stay)
		}
	}
	close(stop)
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// matching returns the keys that List(prefix, after) must yield.
func matching(keys []string, prefix, after string) []string {
	var want []string
	for _, key := range keys {
		if strings.HasPrefix(key, prefix) && key > after {
			want = append(want, key)
		}
	}
	return want
}

// wantList checks a whole listing; want need not be sorted.
func wantList(t *testing.T, b storage.Bucket, prefix, after string, want ...string) {
	t.Helper()
	var got []string
	for info, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Errorf("List(%.40q, %q): %v", prefix, after, err)
			return
		}
		got = append(got, info.Key)
	}
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("List(%.40q, %q) yields %d keys, want %d: %.300q, want %.300q", prefix, after, len(got), len(want), got, want)
	}
}
