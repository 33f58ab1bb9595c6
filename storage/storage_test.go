package storage_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

func TestKeyRules(t *testing.T) {
	for _, key := range []string{
		"a", "a/b", "a b", "ü/日本", "...", "..a", "a%2F", "-", strings.Repeat("s", storage.MaxSegmentBytes),
		strings.Repeat("d/", storage.MaxKeyBytes/2-1) + "k",
	} {
		if err := storage.ValidateKey(key); err != nil {
			t.Errorf("%.40q: %v", key, err)
		}
	}
	for key, why := range map[string]string{
		"":                                     "empty",
		"/a":                                   "slash",
		"a/":                                   "slash",
		"a//b":                                 "two in a row",
		"a/../b":                               `".."`,
		".":                                    `"."`,
		"a\nb":                                 "U+000A",
		"\xff":                                 "UTF-8",
		strings.Repeat("s", 256):               "at most 255 bytes",
		strings.Repeat("d/", 512) + "k":        "at most 1024 bytes",
		strings.Repeat("long enough/", 10_000): "at most 1024 bytes",
	} {
		err := storage.ValidateKey(key)
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%.40q: %v, want it to say %q", key, err, why)
		}
		if len(err.Error()) > 400 {
			t.Errorf("the error for %.40q has %d bytes", key, len(err.Error()))
		}
	}
}

func FuzzPrefixMatchesExactlyThePrefixesOfKeys(f *testing.F) {
	for _, seed := range []string{"", "a", "a/", "a//", "../", "a/..", "/", "ü", "\xc3", strings.Repeat("a/", 512)} {
		f.Add(seed, "x")
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, prefix, rest string) {
		if storage.ValidateKey(prefix+rest) == nil && !storage.PrefixMatches(prefix) {
			if !strings.HasPrefix(strings.ToValidUTF8(prefix, "\ufffd"), prefix) {
				return // the prefix ends within a character: no provider lists by it
			}
			t.Errorf("the key %q begins with %q, which is said to begin none", prefix+rest, prefix)
		}
		if storage.PrefixMatches(prefix) && len(prefix) < storage.MaxKeyBytes {
			slash := strings.LastIndexByte(prefix, '/')
			if len(prefix)-slash-1 < storage.MaxSegmentBytes && storage.ValidateKey(prefix+"k") != nil {
				t.Errorf("%q is said to begin a key, but %q is none", prefix, prefix+"k")
			}
		}
	})
}

func TestProbeAcceptsAnAtomicStoreAndCleansUp(t *testing.T) {
	b := memory.New()
	for seed := range uint64(20) {
		if err := storage.Probe(t.Context(), b, seed); err != nil {
			t.Fatal(err)
		}
	}
	for info := range b.List(t.Context(), "", "") {
		t.Errorf("the probe left %q", info.Key)
	}
}

// brittle looks before it writes, as several S3-compatible servers did; two
// writers are always between the look and the write.
type brittle struct {
	*memory.Bucket
	mu     sync.Mutex
	looked map[string]int
	two    map[string]chan struct{}
}

func (b *brittle) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if _, err := b.Head(ctx, key); err == nil {
		return storage.Info{}, storage.Failure("put if absent", thalweg.Exists, key, nil)
	}
	b.mu.Lock()
	if b.two[key] == nil {
		b.two[key] = make(chan struct{})
	}
	if b.looked[key]++; b.looked[key] == 2 {
		close(b.two[key])
	}
	two := b.two[key]
	b.mu.Unlock()
	<-two
	return b.Put(ctx, key, body)
}

// careless drops the condition.
type careless struct{ *memory.Bucket }

func (c careless) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	return c.Put(ctx, key, body)
}

// mute loses every answer, though it creates once.
type mute struct{ *memory.Bucket }

func (m mute) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	m.Bucket.PutIfAbsent(ctx, key, body)
	return storage.Info{}, storage.Failure("put if absent", thalweg.Unavailable, key, errors.New("timeout"))
}

// sealed allows no writing.
type sealed struct{ *memory.Bucket }

func (sealed) PutIfAbsent(_ context.Context, key string, _ []byte) (storage.Info, error) {
	return storage.Info{}, storage.Failure("put if absent", thalweg.Other, key, errors.New("access denied"))
}

func TestProbeRefusesAStoreThatLetsTwoWin(t *testing.T) {
	err := storage.Probe(t.Context(), careless{memory.New()}, 1)
	if !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "use a store where it is") {
		t.Errorf("a store that drops the condition: %v", err)
	}
	racy := &brittle{Bucket: memory.New(), looked: map[string]int{}, two: map[string]chan struct{}{}}
	if err := storage.Probe(t.Context(), racy, 1); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("a store that looks before it writes: %v", err)
	}
}

func TestProbeTellsTroubleFromUnfitness(t *testing.T) {
	if err := storage.Probe(t.Context(), mute{memory.New()}, 1); err != nil {
		t.Errorf("a store that creates once but loses its answers: %v", err)
	}
	err := storage.Probe(t.Context(), sealed{memory.New()}, 1)
	if err == nil || thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "access denied") {
		t.Errorf("a store that may not be written to: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := storage.Probe(ctx, memory.New(), 1); !thalweg.Is(err, thalweg.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}
