package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage/checkpoint"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
)

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
