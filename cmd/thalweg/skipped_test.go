package main

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
)

// A shard that is left out is shown by the run, by the cluster's status and by the version's
// card, with its place and the reason.
func TestSkippedShardsAreShownWhereverTheRunIs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := parallelDev(t, embedded.Config{})
	file := func(odd int) []byte {
		return rowsOf(t, 2000, "x late", func(i int) []any {
			x := random.NormFloat64()
			late := x+random.NormFloat64() > 1
			if odd > 0 && i%odd == odd-1 {
				x = 1e300
			}
			return []any{x, late}
		})
	}
	upload(t, c, file(0))
	bucket, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), "flights/huge.parquet", file(10)); err != nil {
		t.Fatal(err)
	}
	spec := specOf("partial", `
  input_features: [{name: x, type: number}]
  output_features: [{name: late, type: binary}]
`)
	const place = "object flights/huge.parquet, row group 0: gather statistics: feature x, row "
	if text, err := applied(t, c, spec); err == nil || !strings.Contains(text+err.Error(), place) {
		t.Fatalf("without a policy: %v\n%s", err, text)
	}
	if text, err := applied(t, c, strings.Replace(spec, "format: {type: parquet}}", "format: {type: parquet}, on_bad_shard: skip}", 1)); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, of := range []struct {
		args []string
		want []string
	}{
		{[]string{"runs", "show", "partial"}, []string{"\nSKIPPED SHARDS\n1 shards are left out", place, "9: 1e+300 is beyond", "shards.skipped   1\n", "rows.skipped     2,000\n", "rows_in          2,000\n"}},
		{[]string{"status"}, []string{"left 1 bad shards out, sources.train.on_bad_shard: `thalweg runs show partial-2-1` names them"}},
		{[]string{"models", "card", "partial"}, []string{"- left out: object flights/huge.parquet, row groups [0, 1), rows [0, 2000): ", place, "Objects: 2,"}},
	} {
		text := said(t, c, of.args...)
		for _, want := range of.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", of.args, want, text)
			}
		}
	}
}
