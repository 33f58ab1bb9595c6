// Package storagetest is the acceptance suite of storage.Bucket: every promise
// of the interface's comments, run against every provider.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Run runs the suite. open returns an empty bucket, a different one each time;
// what it needs to clean up it leaves to t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) storage.Bucket) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, b storage.Bucket)
	}{
		{"a body comes back byte for byte", bodiesComeBack},
		{"put replaces and changes the etag", putReplaces},
		{"bodies belong to the caller", bodiesBelongToCaller},
		{"an absent key is not found", absentKeys},
		{"a range is read exactly", rangesAreExact},
		{"put if absent creates once", putIfAbsentCreatesOnce},
		{"put if absent has one winner", putIfAbsentHasOneWinner},
		{"put if absent carries large bodies", putIfAbsentLarge},
		{"a deleted key may be created again", deletedKeys},
		{"a reader sees whole bodies", readersSeeWholeBodies},
		{"methods may be called concurrently", concurrentCalls},
		{"a malformed key is invalid", malformedKeys},
		{"odd keys are kept apart", oddKeys},
		{"long and deep keys are carried", longKeys},
		{"an object and a prefix of one name do no harm", objectAndPrefix},
		{"an ended context is canceled", endedContexts},
		{"a listing is in byte order", listOrder},
		{"a listing is bounded by prefix and after", listBounds},
		{"a listing of an impossible prefix is empty", listImpossible},
		{"a listing runs over many pages", listPages},
		{"a listing stops when its context ends", listCanceled},
		{"a listing may go on while objects come and go", listDuringChange},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func bodiesComeBack(t *testing.T, b storage.Bucket) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 2, 511, 4096, 70_000, 3 << 20} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(random.Uint32())
		}
		key := fmt.Sprintf("bodies/%d", size)
		put, err := b.Put(t.Context(), key, body)
		if err != nil {
			t.Fatalf("Put of %d bytes: %v", size, err)
		}
		got, info, err := b.Get(t.Context(), key)
		if err != nil {
			t.Fatalf("Get of %d bytes: %v", size, err)
		}
		if !bytes.Equal(got, body) {
			t.Errorf("Get of %d bytes returned %d others", size, len(got))
		}
		head, err := b.Head(t.Context(), key)
		if err != nil {
			t.Fatalf("Head: %v", err)
		}
		want := storage.Info{Key: key, SizeBytes: int64(size), ETag: head.ETag}
		if put != want || info != want || head != want || head.ETag == "" {
			t.Errorf("Put, Get and Head describe %d bytes as %+v, %+v, %+v", size, put, info, head)
		}
	}
}

func putReplaces(t *testing.T, b storage.Bucket) {
	first := mustPut(t, b, "k", "one")
	again := mustPut(t, b, "k", "two")
	if first.ETag == again.ETag {
		t.Errorf("the ETag %q did not change with the bytes", first.ETag)
	}
	wantBody(t, b, "k", "two")
	mustPut(t, b, "k", "")
	wantBody(t, b, "k", "")
}

func bodiesBelongToCaller(t *testing.T, b storage.Bucket) {
	body := []byte("as written")
	if _, err := b.Put(t.Context(), "put", body); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutIfAbsent(t.Context(), "absent", body); err != nil {
		t.Fatal(err)
	}
	clear(body)
	for _, key := range []string{"put", "absent"} {
		got, _, err := b.Get(t.Context(), key)
		if err != nil || string(got) != "as written" {
			t.Fatalf("after the caller reused its buffer, Get(%q) = %q, %v", key, got, err)
		}
		clear(got)
		wantBody(t, b, key, "as written")
	}
}

func absentKeys(t *testing.T, b storage.Bucket) {
	mustPut(t, b, "a/b", "x")
	for _, key := range []string{"none", "a", "a/b/c", "a/bb", "A/b"} {
		_, _, err := b.Get(t.Context(), key)
		wantKind(t, err, thalweg.NotFound, "Get", key)
		err = b.GetRange(t.Context(), key, 0, make([]byte, 1))
		wantKind(t, err, thalweg.NotFound, "GetRange", key)
		_, err = b.Head(t.Context(), key)
		wantKind(t, err, thalweg.NotFound, "Head", key)
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q) of an absent key: %v", key, err)
		}
	}
	wantBody(t, b, "a/b", "x")
}

func rangesAreExact(t *testing.T, b storage.Bucket) {
	body := []byte("0123456789")
	mustPut(t, b, "k", string(body))
	mustPut(t, b, "empty", "")
	for _, c := range []struct{ offset, length int }{{0, 10}, {0, 1}, {9, 1}, {3, 4}, {0, 0}, {10, 0}} {
		buf := bytes.Repeat([]byte{'#'}, c.length)
		if err := b.GetRange(t.Context(), "k", int64(c.offset), buf); err != nil {
			t.Errorf("GetRange(%d, %d bytes): %v", c.offset, c.length, err)
		}
		if want := body[c.offset : c.offset+c.length]; !bytes.Equal(buf, want) {
			t.Errorf("GetRange(%d, %d bytes) = %q, want %q", c.offset, c.length, buf, want)
		}
	}
	for _, c := range []struct {
		key    string
		offset int64
		length int
	}{{"k", 0, 11}, {"k", 9, 2}, {"k", 10, 1}, {"k", 11, 0}, {"k", 1 << 40, 1}, {"k", -1, 1}, {"k", -1, 0}, {"empty", 0, 1}} {
		err := b.GetRange(t.Context(), c.key, c.offset, make([]byte, c.length))
		wantKind(t, err, thalweg.Invalid, fmt.Sprintf("GetRange(%d, %d bytes)", c.offset, c.length), c.key)
	}
	if err := b.GetRange(t.Context(), "empty", 0, nil); err != nil {
		t.Errorf("GetRange of nothing of an empty object: %v", err)
	}
}

func putIfAbsentCreatesOnce(t *testing.T, b storage.Bucket) {
	info, err := b.PutIfAbsent(t.Context(), "slot/1", []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	if head, err := b.Head(t.Context(), "slot/1"); err != nil || head != info {
		t.Errorf("PutIfAbsent described %+v, Head %+v, %v", info, head, err)
	}
	for _, body := range []string{"second", "first", ""} {
		_, err := b.PutIfAbsent(t.Context(), "slot/1", []byte(body))
		wantKind(t, err, thalweg.Exists, "PutIfAbsent", "slot/1")
	}
	wantBody(t, b, "slot/1", "first")
	mustPut(t, b, "slot/2", "by put")
	_, err = b.PutIfAbsent(t.Context(), "slot/2", []byte("late"))
	wantKind(t, err, thalweg.Exists, "PutIfAbsent", "slot/2")
	wantBody(t, b, "slot/2", "by put")
	if _, err := b.PutIfAbsent(t.Context(), "slot/empty", nil); err != nil {
		t.Fatal(err)
	}
	_, err = b.PutIfAbsent(t.Context(), "slot/empty", nil)
	wantKind(t, err, thalweg.Exists, "PutIfAbsent of nothing", "slot/empty")
}

func putIfAbsentHasOneWinner(t *testing.T, b storage.Bucket) {
	const writers, rounds = 32, 8
	for round := range rounds {
		key := fmt.Sprintf("race/%d", round)
		won := make([]bool, writers)
		start := make(chan struct{})
		var g errgroup.Group
		for w := range writers {
			g.Go(func() error {
				<-start
				_, err := b.PutIfAbsent(t.Context(), key, fmt.Appendf(nil, "writer %d", w))
				won[w] = err == nil
				if err != nil && !thalweg.Is(err, thalweg.Exists) {
					return err
				}
				return nil
			})
		}
		close(start)
		if err := g.Wait(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var winners []int
		for w, ok := range won {
			if ok {
				winners = append(winners, w)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("round %d: winners %v, want one", round, winners)
		}
		wantBody(t, b, key, fmt.Sprintf("writer %d", winners[0]))
	}
}

// putIfAbsentLarge uses a body beyond the size at which S3 clients switch to
// multipart uploads, where several drop the condition. A server that refuses
// such a body before it has read it may cut the connection instead of saying
// so: Unavailable.
func putIfAbsentLarge(t *testing.T, b storage.Bucket) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 18<<20/16)
	if _, err := b.PutIfAbsent(t.Context(), "large", body); err != nil {
		t.Fatal(err)
	}
	body[0] = '#'
	if _, err := b.PutIfAbsent(t.Context(), "large", body); !thalweg.Is(err, thalweg.Exists) && !thalweg.Is(err, thalweg.Unavailable) {
		t.Errorf("PutIfAbsent of a taken key: %v, want %q or %q", err, thalweg.Exists, thalweg.Unavailable)
	}
	body[0] = '0'
	got, _, err := b.Get(t.Context(), "large")
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("the object of %d bytes came back as %d, %v", len(body), len(got), err)
	}
}

func deletedKeys(t *testing.T, b storage.Bucket) {
	mustPut(t, b, "deep/er/k", "x")
	if err := b.Delete(t.Context(), "deep/er/k"); err != nil {
		t.Fatal(err)
	}
	_, _, err := b.Get(t.Context(), "deep/er/k")
	wantKind(t, err, thalweg.NotFound, "Get", "deep/er/k")
	wantList(t, b, "", "")
	if _, err := b.PutIfAbsent(t.Context(), "deep/er/k", []byte("again")); err != nil {
		t.Fatal(err)
	}
	wantBody(t, b, "deep/er/k", "again")
	wantList(t, b, "", "", "deep/er/k")
}

func readersSeeWholeBodies(t *testing.T, b storage.Bucket) {
	const size, writes = 64 << 10, 24
	body := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, size) }
	mustPut(t, b, "k", string(body(0)))
	written := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		defer close(written)
		for i := range writes {
			if _, err := b.Put(t.Context(), "k", body(i)); err != nil {
				return err
			}
		}
		return nil
	})
	for range 3 {
		g.Go(func() error {
			for {
				select {
				case <-written:
					return nil
				default:
				}
				got, info, err := b.Get(t.Context(), "k")
				if err != nil {
					return err
				}
				if len(got) != size || info.SizeBytes != size || bytes.Count(got, got[:1]) != size {
					return fmt.Errorf("a reader saw %d bytes of several writes, described as %d", len(got), info.SizeBytes)
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func concurrentCalls(t *testing.T, b storage.Bucket) {
	var g errgroup.Group
	for w := range 8 {
		g.Go(func() error {
			for i := range 6 {
				key := fmt.Sprintf("w%d/%d", w, i)
				body := []byte(key + " body")
				if _, err := b.Put(t.Context(), key, body); err != nil {
					return err
				}
				if got, _, err := b.Get(t.Context(), key); err != nil || !bytes.Equal(got, body) {
					return fmt.Errorf("Get(%q) = %q, %w", key, got, err)
				}
				for _, err := range b.List(t.Context(), key, "") {
					if err != nil {
						return err
					}
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
	wantList(t, b, "", "")
}

func endedContexts(t *testing.T, b storage.Bucket) {
	mustPut(t, b, "k", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, key := range []string{"k", "new"} {
		for op, err := range operations(ctx, b, key) {
			wantKind(t, err, thalweg.Canceled, op, key)
		}
	}
	wantBody(t, b, "k", "x")
	wantList(t, b, "", "", "k")
}

// operations carries out every operation on a key, and yields their errors.
func operations(ctx context.Context, b storage.Bucket, key string) iter.Seq2[string, error] {
	return func(yield func(op string, err error) bool) {
		_, putErr := b.Put(ctx, key, []byte("y"))
		_, absentErr := b.PutIfAbsent(ctx, key, []byte("y"))
		_, _, getErr := b.Get(ctx, key)
		_, headErr := b.Head(ctx, key)
		_ = yield("Put", putErr) && yield("PutIfAbsent", absentErr) && yield("Get", getErr) && yield("Head", headErr) &&
			yield("GetRange", b.GetRange(ctx, key, 0, make([]byte, 1))) && yield("Delete", b.Delete(ctx, key))
	}
}

func mustPut(t *testing.T, b storage.Bucket, key, body string) storage.Info {
	t.Helper()
	info, err := b.Put(t.Context(), key, []byte(body))
	if err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
	return info
}

func wantBody(t *testing.T, b storage.Bucket, key, want string) {
	t.Helper()
	got, _, err := b.Get(t.Context(), key)
	if err != nil || string(got) != want {
		t.Errorf("Get(%q) = %.60q, %v, want %.60q", key, got, err, want)
	}
}

// wantKind checks that err is a *thalweg.Error of the kind and names the key.
func wantKind(t *testing.T, err error, kind thalweg.Kind, op, key string) {
	t.Helper()
	var e *thalweg.Error
	switch {
	case !thalweg.Is(err, kind):
		t.Errorf("%s of %.60q: %v, want an error of kind %q", op, key, err, kind)
	case !errors.As(err, &e) || e.Op == "" || !strings.Contains(e.Subject, strings.Trim(key, "/.")):
		t.Errorf("%s of %.60q: the error %v does not name the key", op, key, err)
	}
}
