package scorer

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// A version whose events have no field for a column is served, since it always
// was, and the log says which column is null.
func TestTheLogNamesColumnsThatTheSchemaOfAVersionLacks(t *testing.T) {
	state := bucketmem.New()
	a := trainedBy(t, strings.Replace(artifacttest.Flights, "{type: json}", `{type: avro, schema_file: "s3://lake/flight.avsc"}`, 1))
	a.EventSchema = strings.Replace(flightAvro, `"origin"`, `"orgin"`, 1)
	version := saved(t, state, 1, a)
	var log bytes.Buffer
	r := engine.NewRegistry(state, catalog.All())
	r.Log = slog.New(slog.NewTextHandler(&log, nil))
	for range 2 {
		if _, err := r.Load(t.Context(), version.Model); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"model=\"flight-delays 1\"", "schema=s3://lake/flight.avsc", "there is no field for column origin, the nearest is orgin"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("the log does not have %s once:\n%s", want, &log)
		}
	}
}
