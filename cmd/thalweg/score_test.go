package main

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// probabilities counts the rows of the files below a prefix by what they are of and the
// bits of their probability.
func probabilities(t *testing.T, c *embedded.Cluster, prefix string) map[string]int {
	t.Helper()
	lake, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]int)
	for key := range objects(t, c, "lake", prefix) {
		body, _, err := lake.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range engine.Records(key, body, []string{"date", "distance", "origin", "destination", "probability"}, nil) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range int(rec.NumRows()) {
				id := fmt.Sprintf("%x", math.Float64bits(rec.Column(4).(*array.Float64).Value(i)))
				for _, column := range rec.Columns()[:4] {
					id += " " + column.ValueStr(i)
				}
				out[id]++
			}
		}
	}
	return out
}

// scoredAsLive scores the file that the last n events were made of as a dataset: their
// rows have the bits of the live ones.
func scoredAsLive(t *testing.T, c *embedded.Cluster, file string, n int64) {
	t.Helper()
	said(t, c, "put", file, "s3://lake/again/")
	text := said(t, c, "score", "flight-delays", "--model", "1", "--from", "s3://lake/again/*.parquet", "--into", "s3://lake/table/")
	if want := "20,000 rows with flight-delays 1: 20,000 scored, 0 rejected, 0 dropped\ns3://lake/table/ version 0\n"; text != want {
		t.Errorf("%s\nwant %s", text, want)
	}
	live, table := probabilities(t, c, "scored/flight-delays/data/"), probabilities(t, c, "table/data/")
	same := int64(0)
	for id, count := range live {
		same += int64(min(count, table[id]))
	}
	if same != n {
		t.Errorf("%d of %d live rows are in the table with the same bits", same, n)
	}
	text = said(t, c, "score", "flight-delays", "--model", "champion", "--from", "s3://lake/again/", "--into", "s3://lake/table/")
	if again := probabilities(t, c, "table/data/"); !strings.Contains(text, "version 0, which has these rows already") || !maps.Equal(again, table) {
		t.Errorf("again: %s", text)
	}
	if text := said(t, c, "runs", "--pipeline", "flight-delays"); !strings.Contains(squeezed(text), " succeeded score ") {
		t.Errorf("runs:\n%s", text)
	}
	for want, args := range map[string][]string{
		"puts its rows (give it a prefix of its own)":              {"--from", "s3://lake/again/*", "--into", "s3://lake/scored/flight-delays/more/"},
		"`thalweg put` copies files of this machine there":         {"--from", file, "--into", "s3://lake/table/"},
		"flight-delays 7: not found":                               {"--from", "s3://lake/again/*", "--into", "s3://lake/table/", "--model", "7"},
		"other objects are there: again/flights.parquet":           {"--from", "s3://lake/flights/*", "--into", "s3://lake/again/"},
		"is not s3://bucket/key":                                   {"--from", "s3://lake/again/*", "--into", "here"},
		"no object matches":                                        {"--from", "s3://lake/nothing/*", "--into", "s3://lake/table/"},
		"the training data of the same pipeline (flights.yaml:":    {"--from", "s3://lake/again/*", "--into", "s3://lake/flights/"},
		"\"yaml\" is not allowed here (one of parquet, csv, jsonl": {"--from", "s3://lake/again/*", "--into", "s3://lake/table/", "--format", "yaml"},
	} {
		if text, err := command(t, c, append([]string{"score", "flight-delays"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\n%s\nwant %s", args, err, text, want)
		}
	}
	if _, err := command(t, c, "score", "flights", "--from", "s3://lake/again/*", "--into", "s3://lake/table/"); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("a pipeline that is not there: %v", err)
	}
}
