package engine

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
)

// counted counts reads of objects.
type counted struct {
	storage.Bucket
	reads atomic.Int64 // parts are read at once
}

func (b *counted) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	b.reads.Add(1)
	return b.Bucket.Get(ctx, key)
}

func (b *counted) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	b.reads.Add(1)
	return b.Bucket.GetRange(ctx, key, offset, buf)
}

// What was refused is not read again and again, and is once it has changed.
func TestARefusedCheckpointIsReadAgainOnceItsObjectsHaveChanged(t *testing.T) {
	ctx := t.Context()
	bucket := &counted{Bucket: bucketmem.New()}
	r := NewRegistry(bucket, catalog.All())
	parts, err := artifacttest.TrainFlights(t, artifacttest.Flights, 1).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := checkpoint.Save(ctx, bucket, "checkpoints/", parts)
	if err != nil {
		t.Fatal(err)
	}
	m := Model{Name: "m", Version: 1, Checkpoint: ref}
	load := func(what string, kind thalweg.Kind, reads bool) {
		t.Helper()
		before := bucket.reads.Load()
		if _, err := r.Load(ctx, m); (err == nil) != (kind == 0) || err != nil && !thalweg.Is(err, kind) {
			t.Errorf("%s: %v, want kind %v", what, err, kind)
		}
		if read := bucket.reads.Load() > before; read != reads {
			t.Errorf("%s: read %v", what, read)
		}
	}
	dir := ref.Key[:strings.LastIndexByte(ref.Key, '/')+1]
	for name, body := range parts {
		key := dir + name
		if err := bucket.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
		load(name+" is missing", thalweg.Lost, true)
		load(name+" is still missing", thalweg.Lost, false)
		if _, err := bucket.Put(ctx, key, append(bytes.Clone(body), 0)); err != nil {
			t.Fatal(err)
		}
		load(name+" is damaged", thalweg.Corrupt, true)
		load(name+" is still damaged", thalweg.Corrupt, false)
		r.Forget()
		load(name+" is damaged, asked for", thalweg.Corrupt, true)
		if _, err := bucket.Put(ctx, key, body); err != nil {
			t.Fatal(err)
		}
	}
	load("all is restored", 0, true)
	load("it is loaded", 0, false)
}

func TestARegistryLoadsEachArtifactOnceAndKeepsFew(t *testing.T) {
	ctx := t.Context()
	bucket := bucketmem.New()
	r := NewRegistry(bucket, catalog.All())
	var models []Model
	parts, err := artifacttest.TrainFlights(t, artifacttest.Flights, 1).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for v := range maxArtifacts + 2 {
		ref, err := checkpoint.Save(ctx, bucket, fmt.Sprintf("checkpoints/%d", v), parts)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, Model{Name: "m", Version: thalweg.ModelVersion(v + 1), Checkpoint: ref})
	}
	first, err := r.Load(ctx, models[0])
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.Load(ctx, models[0]); again != first || err != nil {
		t.Errorf("loaded twice: %v", err)
	}
	for _, m := range models[1:] {
		if _, err := r.Load(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := r.Load(ctx, models[0]); again == first || err != nil {
		t.Errorf("more than %d are kept (%v)", maxArtifacts, err)
	}
	missing := Model{Name: "m", Version: 99, Checkpoint: thalweg.CheckpointRef{Key: "checkpoints/none/manifest.json", SHA256: strings.Repeat("0", 64)}}
	if _, err := r.Load(ctx, missing); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "m 99") {
		t.Errorf("missing checkpoint: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.Load(canceled, missing); err == nil {
		t.Error("loaded without a checkpoint")
	}

	candidates, changed := r.Candidates()
	if len(candidates) != 0 {
		t.Error("candidates from nowhere")
	}
	r.Offer(nil)
	select {
	case <-changed:
		t.Error("nothing changed")
	default:
	}
	r.Offer([]Candidate{{Model: models[3]}})
	<-changed
}
