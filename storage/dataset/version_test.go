package dataset_test

import (
	"context"
	"testing"

	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// versioning is a bucket that keeps versions, as S3 does where that is on.
type versioning struct{ storage.Bucket }

func (v versioning) Head(ctx context.Context, key string) (storage.Info, error) {
	info, err := v.Bucket.Head(ctx, key)
	info.Version = "version of " + key
	return info, err
}

func TestAManifestNamesTheVersionsOfItsObjects(t *testing.T) {
	b := lake(t, map[string][]byte{"a.parquet": flights(t, 1, 30, 10), "b.parquet": flights(t, 2, 30, 10)})
	plain, _, err := dataset.Discover(t.Context(), b, "*.parquet", dataset.DiscoverConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := dataset.Discover(t.Context(), versioning{b}, "*.parquet", dataset.DiscoverConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range m.Objects {
		if o.Version != "version of "+o.Key || o.ETag != plain.Objects[i].ETag || plain.Objects[i].Version != "" {
			t.Errorf("object %+v; without versions %+v", o, plain.Objects[i])
		}
	}
	if m.Hash() == plain.Hash() {
		t.Error("a manifest of other versions has the same hash")
	}
}
