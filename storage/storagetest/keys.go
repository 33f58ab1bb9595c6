package storagetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// malformed are keys that no provider may take; see storage.ValidateKey.
var malformed = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "nul\x00", "line\n", "del\x7f", "\xff\xfe",
	strings.Repeat("s", storage.MaxSegmentBytes+1),
	strings.Repeat("k/", storage.MaxKeyBytes/2) + "k",
}

func malformedKeys(t *testing.T, b storage.Bucket) {
	for _, key := range malformed {
		for op, err := range operations(t.Context(), b, key) {
			if !thalweg.Is(err, thalweg.Invalid) {
				t.Errorf("%s of %.40q: %v, want an error of kind %q", op, key, err, thalweg.Invalid)
			}
		}
	}
	wantList(t, b, "", "")
}

func oddKeys(t *testing.T, b storage.Bucket) {
	keys := []string{
		"plain", "PLAIN", "with space", " leading", "trailing ", "a+b", "a%20b", "a%2Fb", "percent%", "%", "q?x=1&y=2", "hash#mark",
		"semi;colon", "colon:", "comma,", "equals=", "at@", "dollar$", "bang!", "tilde~", "star*", "paren()", "square[]", "brace{}",
		"quote\"", "apostrophe'", "back`tick", "back\\slash", "less<more>", "pipe|", "caret^", "amp&amp;", "-dash", ".hidden", "...", "..a",
		"a..", "umlaut-ü", "combining-u\u0308", "日本語", "emoji-🌊", "zero\u200bwidth", "hive=1/date=2026-01-01/part-0.parquet", "_log/x", "dotted./x",
		"x.tmp", "x.tmp.1", "x~", "x.lock", ".DS_Store", "lost+found",
	}
	for i, key := range keys {
		mustPut(t, b, key, fmt.Sprint(i))
	}
	for i, key := range keys {
		wantBody(t, b, key, fmt.Sprint(i))
		wantList(t, b, key, "", matching(keys, key, "")...)
	}
	wantList(t, b, "", "", keys...)
	for _, key := range keys {
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	wantList(t, b, "", "")
}

func longKeys(t *testing.T, b storage.Bucket) {
	segment := strings.Repeat("s", storage.MaxSegmentBytes)
	long := strings.Join([]string{segment, segment, segment, segment}, "/")
	keys := []string{segment, "d/" + segment, long + "/", strings.Repeat("d/", 60) + "k"}
	keys[2] = strings.TrimSuffix(long, "/")[:storage.MaxKeyBytes-2] + "/k"
	keys[0] = "x" + segment[1:] // keys[2] lies below the segment itself
	for _, key := range keys {
		if _, err := b.PutIfAbsent(t.Context(), key, []byte(key)); err != nil {
			t.Fatalf("PutIfAbsent of a key of %d bytes: %v", len(key), err)
		}
		wantBody(t, b, key, key)
	}
	wantList(t, b, "", "", keys...)
}

// objectAndPrefix: directory-backed stores, S3 servers among them, cannot keep
// "a" beside "a/b". A provider carries both, though it may list only one, or
// refuses the second as Invalid; it never loses the first.
func objectAndPrefix(t *testing.T, b storage.Bucket) {
	for _, c := range []struct{ first, second string }{{"a", "a/b"}, {"c/d", "c"}, {"e", "e/f/g"}} {
		mustPut(t, b, c.first, "first")
		for range 2 {
			_, err := b.PutIfAbsent(t.Context(), c.second, []byte("second"))
			switch {
			case err == nil || thalweg.Is(err, thalweg.Exists):
				wantBody(t, b, c.second, "second")
			case !thalweg.Is(err, thalweg.Invalid):
				t.Errorf("PutIfAbsent(%q) beside %q: %v, want success or %q", c.second, c.first, err, thalweg.Invalid)
			default:
				_, err = b.Put(t.Context(), c.second, []byte("second"))
				wantKind(t, err, thalweg.Invalid, "Put", c.second)
				_, err = b.Head(t.Context(), c.second)
				wantKind(t, err, thalweg.NotFound, "Head", c.second)
				if err := b.Delete(t.Context(), c.second); err != nil {
					t.Errorf("Delete(%q) beside %q: %v", c.second, c.first, err)
				}
				wantList(t, b, c.first[:1], "", c.first)
			}
			wantBody(t, b, c.first, "first")
		}
	}
}
