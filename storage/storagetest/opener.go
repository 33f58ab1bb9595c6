package storagetest

import (
	"context"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// RunOpener runs the acceptance suite of storage.Opener; o knows neither of
// the buckets storagetest-a and storagetest-b.
func RunOpener(t *testing.T, o storage.Opener) {
	t.Helper()
	_, err := o.Bucket(t.Context(), "storagetest-a")
	wantKind(t, err, thalweg.NotFound, "Bucket", "storagetest-a")
	for _, name := range []string{"storagetest-a", "storagetest-b", "storagetest-a"} {
		if err := o.CreateBucket(t.Context(), name); err != nil {
			t.Fatalf("CreateBucket(%q): %v", name, err)
		}
	}
	a, err := o.Bucket(t.Context(), "storagetest-a")
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, a, "k", "of a")
	if err := o.CreateBucket(t.Context(), "storagetest-a"); err != nil {
		t.Errorf("CreateBucket of an existing bucket: %v", err)
	}
	again, err := o.Bucket(t.Context(), "storagetest-a")
	if err != nil {
		t.Fatal(err)
	}
	wantBody(t, again, "k", "of a")
	b, err := o.Bucket(t.Context(), "storagetest-b")
	if err != nil {
		t.Fatal(err)
	}
	wantList(t, b, "", "")
	for _, name := range []string{"", "..", "a/b", "UPPER", "ab", ".tmp", "a..b", "under_score"} {
		if err := o.CreateBucket(t.Context(), name); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("CreateBucket(%q): %v, want %q", name, err, thalweg.Invalid)
		}
		if _, err := o.Bucket(t.Context(), name); !thalweg.Is(err, thalweg.NotFound) && !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("Bucket(%q): %v, want %q or %q", name, err, thalweg.NotFound, thalweg.Invalid)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = o.Bucket(ctx, "storagetest-a")
	wantKind(t, err, thalweg.Canceled, "Bucket", "storagetest-a")
	err = o.CreateBucket(ctx, "storagetest-c")
	wantKind(t, err, thalweg.Canceled, "CreateBucket", "storagetest-c")
}
