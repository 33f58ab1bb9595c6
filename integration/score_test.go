//go:build integration

package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
)

// A dataset that is scored while workers are killed, by real processes, has each row once
// and the same bytes as one that is scored undisturbed, by a second submission likewise.
func TestADatasetIsScoredToTheSameBytesWhateverIsKilled(t *testing.T) {
	server := minio.Start(t)
	lake := newLake(t, server)
	const copies = 16
	flights, err := os.ReadFile(filepath.Join(process.Root(t), "deploy", "demo", "flights.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range copies {
		if _, err := lake.Put(t.Context(), fmt.Sprintf("new/%d.parquet", i), flights); err != nil {
			t.Fatal(err)
		}
	}
	c := startCluster(t, clusterConfig{Coordinators: 1, S3: server})
	run := waitRun(t, c, apply(t, c, flightsSpec(t, "  trainer: {epochs: 1}\n")), "the model", succeeded)
	models, err := c.Client().ListModels(t.Context(), &apiv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	version := models.Models[0].Versions[0]
	score := func(into string) string {
		t.Helper()
		res, err := c.Client().StartRun(t.Context(), &apiv1.StartRunRequest{Pipeline: run.Pipeline, Verb: stages.ScoreVerb, Arguments: map[string]string{
			stages.ModelArgument: models.Models[0].Name, stages.VersionArgument: fmt.Sprintf("%d %s", version.Version, version.Checkpoint),
			stages.FromArgument: "s3://lake/new/*.parquet", stages.IntoArgument: "s3://lake/" + into}})
		if err != nil {
			t.Fatal(err)
		}
		return res.RunId
	}
	var rows int64
	wants := func(what, id string) {
		t.Helper()
		r := waitRun(t, c, id, what, succeeded)
		if n := r.Counts["rows_out"]; n == 0 || n != r.Counts["rows_in"] || rows != 0 && n != rows {
			t.Errorf("%s: %v", what, r.Counts)
		} else {
			rows = n
		}
	}
	wants("undisturbed", score("calm/"))
	want := data(t, lake, "calm/")
	id := score("stormy/")
	for i := range 2 {
		done := int64(copies/4*(i+1)) * rows / copies
		waitRun(t, c, id, "some rows", func(r *apiv1.Run, all map[string]*apiv1.Stage) bool {
			s := all["score"]
			return r.State != "running" || s != nil && s.State == "running" && s.RowsDone > done
		})
		c.KillWorker(i)
		c.RestartWorker(t, i)
	}
	wants("with kills", id)
	wants("again", score("stormy/"))
	if got := data(t, lake, "stormy/"); len(got) == 0 || !maps.Equal(got, want) {
		t.Errorf("%d objects are not the %d of the undisturbed run", len(got), len(want))
	}
}

// data returns the files of a table, by name.
func data(t *testing.T, b storage.Bucket, prefix string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for info, err := range b.List(t.Context(), prefix+"data/", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := b.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(info.Key, prefix)] = storage.SHA256(body)
	}
	return all
}
