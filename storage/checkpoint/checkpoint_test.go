package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/memory"
)

func parts() map[string][]byte {
	return map[string][]byte{
		"model.safetensors":     bytes.Repeat([]byte("weights "), 10_000),
		"optimizer.safetensors": bytes.Repeat([]byte("momenta "), 10_000),
		"transform.json":        []byte(`{"distance": {"mean": 3}}`),
		"empty.json":            {},
	}
}

func mustSave(t *testing.T, b storage.Bucket, p map[string][]byte) thalweg.CheckpointRef {
	t.Helper()
	ref, err := checkpoint.Save(t.Context(), b, "checkpoints/", p)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// writes counts what is stored.
type writes struct {
	storage.Bucket
	mu   sync.Mutex
	puts int
	keys []string
}

func (w *writes) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.puts++
	w.keys = append(w.keys, key)
	return w.Bucket.Put(ctx, key, body)
}

func TestACheckpointComesBackWhole(t *testing.T) {
	b := memory.New()
	want := parts()
	ref := mustSave(t, b, want)
	if !strings.HasPrefix(ref.Key, "checkpoints/"+ref.SHA256[:32]+"/") {
		t.Errorf("the checkpoint lies at %s", ref)
	}
	got, err := checkpoint.Load(t.Context(), b, ref)
	if err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("Load: %d parts, %v", len(got), err)
	}
	m, err := checkpoint.ReadManifest(t.Context(), b, ref)
	if err != nil || len(m.Parts) != 4 || m.Parts[0].Name != "empty.json" || m.TotalBytes() != 160_025 {
		t.Errorf("ReadManifest: %+v, %v", m, err)
	}
	parsed, err := thalweg.ParseObjectRef(ref.String())
	if err != nil || parsed != ref {
		t.Errorf("the reference travels as %s and arrives as %+v, %v", ref, parsed, err)
	}
}

func TestSavingAgainStoresNothing(t *testing.T) {
	b := &writes{Bucket: memory.New()}
	first := mustSave(t, b, parts())
	stored := b.puts
	if again := mustSave(t, b, parts()); again != first || b.puts != stored {
		t.Errorf("saved again: %s after %d writes, want %s", again, b.puts-stored, first)
	}
	if b.keys[len(b.keys)-1] != first.Key {
		t.Errorf("the last write was %s, want the manifest", b.keys[len(b.keys)-1])
	}
	changed := parts()
	changed["transform.json"] = []byte("{}")
	if other := mustSave(t, b, changed); other.Key == first.Key {
		t.Error("other parts have the same key")
	}
	if _, err := checkpoint.Load(t.Context(), b, first); err != nil {
		t.Errorf("the first checkpoint after the second: %v", err)
	}
}

func TestAnInterruptedSaveIsCompletedByTheNext(t *testing.T) {
	inner := memory.New()
	refused := fault.NewBucket(inner, fault.Plan{Rules: []fault.Rule{{Fault: fault.Reply503, Ops: fault.Put, Rate: 1,
		Match: func(key string) bool { return strings.HasSuffix(key, "model.safetensors") }}}})
	if _, err := checkpoint.Save(t.Context(), refused, "checkpoints/", parts()); !thalweg.Is(err, thalweg.Unavailable) {
		t.Fatalf("Save: %v", err)
	}
	for info := range inner.List(t.Context(), "", "") {
		if strings.HasSuffix(info.Key, "manifest.json") {
			t.Error("a manifest was written before all its parts")
		}
	}
	ref := mustSave(t, inner, parts())
	if _, err := checkpoint.Load(t.Context(), inner, ref); err != nil {
		t.Error(err)
	}
}

func TestDamageIsFoundAndNamed(t *testing.T) {
	for _, part := range []string{"model.safetensors", "transform.json", "empty.json", "manifest.json"} {
		for name, damage := range map[string]func([]byte) []byte{
			"a flipped bit": func(body []byte) []byte {
				if len(body) == 0 {
					return []byte{1}
				}
				body[len(body)/2] ^= 4
				return body
			},
			"a lost tail":  func(body []byte) []byte { return body[:len(body)*3/4] },
			"a longer one": func(body []byte) []byte { return append(body, '\n') },
			"a huge one":   func(body []byte) []byte { return append(body, make([]byte, checkpoint.MaxManifestBytes)...) },
		} {
			b := memory.New()
			ref := mustSave(t, b, parts())
			key := strings.TrimSuffix(ref.Key, "manifest.json") + part
			body, _, err := b.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			damaged := damage(bytes.Clone(body))
			if bytes.Equal(damaged, body) {
				continue
			}
			if _, err := b.Put(t.Context(), key, damaged); err != nil {
				t.Fatal(err)
			}
			_, err = checkpoint.Load(t.Context(), b, ref)
			if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), key) {
				t.Errorf("%s with %s: %v", part, name, err)
			}
			if again := mustSave(t, b, parts()); again != ref {
				t.Errorf("saved again as %s", again)
			}
			if _, err := checkpoint.Load(t.Context(), b, ref); err != nil {
				t.Errorf("%s with %s, saved again: %v", part, name, err)
			}
		}
	}
}

func TestAMissingPartIsLostAndAMissingCheckpointNotFound(t *testing.T) {
	b := memory.New()
	ref := mustSave(t, b, parts())
	if err := b.Delete(t.Context(), strings.TrimSuffix(ref.Key, "manifest.json")+"transform.json"); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Load(t.Context(), b, ref); !thalweg.Is(err, thalweg.Lost) || !strings.Contains(err.Error(), `"transform.json"`) {
		t.Errorf("a missing part: %v", err)
	}
	if err := b.Delete(t.Context(), ref.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Load(t.Context(), b, ref); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("a missing checkpoint: %v", err)
	}
	for _, bad := range []thalweg.CheckpointRef{{}, {Key: ref.Key}, {Key: "other.json", SHA256: ref.SHA256}, {Key: "manifest.json", SHA256: ref.SHA256}} {
		if _, err := checkpoint.Load(t.Context(), b, bad); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("Load(%+v): %v", bad, err)
		}
	}
}

func TestFlippedBitsOnTheWayAreHealed(t *testing.T) {
	inner := memory.New()
	for seed := range uint64(10) {
		b := fault.NewBucket(inner, fault.Plan{Seed: seed, Rules: []fault.Rule{{Fault: fault.BitFlip, Rate: 0.7, Times: 2}}})
		ref, err := checkpoint.Save(t.Context(), b, fmt.Sprintf("c%d/", seed), parts())
		if err != nil {
			t.Fatalf("Save, seed %d: %v", seed, err)
		}
		got, err := checkpoint.Load(t.Context(), b, ref)
		if err != nil || !maps.EqualFunc(got, parts(), bytes.Equal) {
			t.Errorf("Load, seed %d: %v", seed, err)
		}
	}
}

// broken stores other bytes than it is given.
type broken struct{ storage.Bucket }

func (b broken) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	return b.Bucket.Put(ctx, key, bytes.ToUpper(body))
}

func TestNoReferenceToWhatCannotBeReadBack(t *testing.T) {
	if ref, err := checkpoint.Save(t.Context(), broken{memory.New()}, "checkpoints/", parts()); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("Save in a store that changes bytes: %s, %v", ref, err)
	}
	if ref, err := checkpoint.PutObject(t.Context(), broken{memory.New()}, "k", []byte("abc")); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("PutObject in a store that changes bytes: %s, %v", ref, err)
	}
}

func TestPartsAreBounded(t *testing.T) {
	many := map[string][]byte{}
	for i := range checkpoint.MaxParts + 1 {
		many[fmt.Sprint("p", i)] = nil
	}
	for name, p := range map[string]map[string][]byte{
		"no parts":        {},
		"too many":        many,
		"the manifest":    {"manifest.json": nil},
		"a path":          {"a/b": nil},
		"a parent":        {"..": nil},
		"upper case":      {"Model": nil},
		"a long name":     {strings.Repeat("n", checkpoint.MaxNameBytes+1): nil},
		"a nameless part": {"": nil},
	} {
		if _, err := checkpoint.Save(t.Context(), memory.New(), "c/", p); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v, want %q", name, err, thalweg.Invalid)
		}
	}
}

func TestSingleObjectsAreCheckedAndNeverChange(t *testing.T) {
	b := &writes{Bucket: memory.New()}
	one, err := checkpoint.PutObject(t.Context(), b, "runs/r-1-1/clean/3.json", []byte("one"))
	if err != nil || !strings.HasPrefix(one.Key, "runs/r-1-1/clean/3-") || !strings.HasSuffix(one.Key, ".json") {
		t.Fatalf("PutObject: %s, %v", one, err)
	}
	if again, err := checkpoint.PutObject(t.Context(), b, "runs/r-1-1/clean/3.json", []byte("one")); again != one || err != nil || b.puts != 1 {
		t.Errorf("the same again: %s, %v after %d writes", again, err, b.puts)
	}
	late, err := checkpoint.PutObject(t.Context(), b, "runs/r-1-1/clean/3.json", []byte("late"))
	if err != nil || late.Key == one.Key {
		t.Errorf("other bytes: %s, %v", late, err)
	}
	for ref, want := range map[thalweg.ObjectRef]string{one: "one", late: "late"} {
		if got, err := checkpoint.GetObject(t.Context(), b, ref); string(got) != want || err != nil {
			t.Errorf("GetObject(%s) = %q, %v", ref, got, err)
		}
	}
	swapped := thalweg.ObjectRef{Key: one.Key, SHA256: late.SHA256}
	if _, err := checkpoint.GetObject(t.Context(), b, swapped); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), one.Key) {
		t.Errorf("GetObject with another's sha256: %v", err)
	}
	if _, err := checkpoint.GetObject(t.Context(), b, thalweg.ObjectRef{Key: "none", SHA256: one.SHA256}); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("GetObject of nothing: %v", err)
	}
	var e *thalweg.Error
	if _, err := checkpoint.GetObject(t.Context(), b, thalweg.ObjectRef{Key: "k"}); !errors.As(err, &e) || e.Kind != thalweg.Invalid {
		t.Errorf("GetObject without a sha256: %v", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	valid := checkpoint.Manifest{Parts: []checkpoint.Part{{Name: "a", SHA256: strings.Repeat("0", 64)}, {Name: "b.json", SizeBytes: 9, SHA256: strings.Repeat("a", 64)}}}
	record, err := valid.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add([]byte(`{"format":"thalweg.checkpoint/v1","parts":[]}`))
	f.Add(bytes.Replace(record, []byte(`"size":9`), []byte(`"size":9,"size":9223372036854775807`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := checkpoint.ParseManifest(data)
		if err != nil {
			if !thalweg.Is(err, thalweg.Corrupt) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if again, err := m.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is accepted, but encoded as %q, %v", data, again, err)
		}
		if m.TotalBytes() < 0 || m.TotalBytes() > checkpoint.MaxTotalBytes {
			t.Errorf("%q is accepted with %d bytes in all", data, m.TotalBytes())
		}
	})
}
