package dataset_test

import (
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
)

func TestInspectTellsWhatTheRowsAre(t *testing.T) {
	body := flights(t, 1, 10, 4)
	bucket := lake(t, map[string][]byte{"x.parquet": body})
	s, err := dataset.Inspect(t.Context(), bucket, "x.parquet", int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows != 10 || !s.Schema.Equal(flightsSchema) {
		t.Errorf("%d rows of %v", s.Rows, s.Schema)
	}
	if _, err := dataset.Inspect(t.Context(), bucket, "x.parquet", 7); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("cut off: %v", err)
	}
	if _, err := dataset.Inspect(t.Context(), bucket, "y.parquet", 70); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("absent: %v", err)
	}
}
