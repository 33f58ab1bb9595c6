package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/storage"
)

// tableSpec cleans orders of CSV into a table at NAME.
const tableSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: NAME}
spec:
  sources:
    train: {s3: {path: "s3://lake/orders/*.csv"}, format: {type: csv}}
  tests:
    - {column: amount, not_null: true}
  preprocessing:
    clean:
      - {dedupe: {keys: [id], keep: first}}
      - {fill: {columns: [amount], strategy: fill_with_median}}
  output: {s3: {path: "s3://lake/NAME/"}, partition_by: [day]}
`

// table applies the spec of a table, and returns its run once it has ended.
func (c *jobCluster) table(name string) *apiv1.Run {
	c.t.Helper()
	applied, err := c.client.Apply(c.ctx, &apiv1.ApplyRequest{Spec: strings.ReplaceAll(tableSpec, "NAME", name), File: name + ".yaml"})
	if err != nil {
		c.t.Fatal(err)
	}
	run, err := terminal.Follow(c.ctx, c.client, c.t.Output(), applied.RunId)
	if err != nil {
		c.t.Fatal(err)
	}
	return run
}

// below returns the objects below a prefix, but for the log and what names the run.
func below(t *testing.T, b storage.Bucket, prefix string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for info, err := range b.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := b.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		if name := strings.TrimPrefix(info.Key, prefix); !strings.HasPrefix(name, "_delta_log/") && !strings.HasSuffix(name, ".json") || strings.HasPrefix(name, "_parts/") {
			all[name] = string(body)
		}
	}
	return all
}

// Workers that die in any stage leave the same table of cleaned rows, to the byte; verbs
// show it, find damage in it, and remove it.
func TestATableOfCleanedRowsIsTheSameWhateverIsKilled(t *testing.T) {
	c := newJobCluster(t)
	lake, err := c.store.Bucket(c.ctx, "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	for object := range 3 {
		text := "id,day,amount,note\n"
		for i := range 300 {
			amount := fmt.Sprint(i * 7 % 90)
			if i%9 == 2 {
				amount = ""
			}
			text += fmt.Sprintf("%d,2026-01-%02dT00:00:00Z,%s,ö%d\n", object*200+i, 1+i%3, amount, i)
		}
		if _, err := lake.Put(c.ctx, fmt.Sprintf("orders/%d.csv", object), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		c.work(nil)
	}
	quiet := c.table("quiet")
	if n := quiet.Counts; quiet.State != "succeeded" || n["rows_in"] != 900 || n["rows_out"] != 700 || n["dropped: 1 dedupe: another row has the same id"] != 200 || n["changed: 2 fill amount"] == 0 {
		t.Fatalf("%v", quiet)
	}
	want := below(t, lake, "quiet/")
	for i, steps := range [][]string{
		{"profile.reduce@0 begins", "shuffle-1@1 is done", "write@0 begins"},
		{"shuffle-1.reduce@3 begins", "learn@2 is done", "write@1 is done", "write.reduce@0 is done"},
		{"clean@1 begins", "write.reduce@0 begins"},
	} {
		c.mu.Lock()
		for _, s := range steps {
			c.kills[strings.ReplaceAll(s, ".reduce@0", ".reduce")] = true
		}
		c.killed = 0
		c.mu.Unlock()
		name := fmt.Sprint("killed-", i)
		run := c.table(name)
		delete(run.Counts, "shards.kept") // what a task that died had written
		if got := below(t, lake, name+"/"); run.State != "succeeded" || !maps.Equal(got, want) || !maps.Equal(run.Counts, quiet.Counts) {
			t.Errorf("with deaths at %q: %d objects, not the %d; %v", steps, len(got), len(want), run)
		}
		c.mu.Lock()
		if c.killed != len(steps) {
			t.Errorf("%d workers died at %q", c.killed, steps)
		}
		c.mu.Unlock()
	}
}

// Verbs show what a table was made of, find damage in it, say what an edit does to it, and
// remove it with its pipeline.
func TestVerbsShowCheckAndRemoveATableOfCleanedRows(t *testing.T) {
	c, _ := startDev(t, t.TempDir())
	dir := t.TempDir()
	file, spec := filepath.Join(dir, "a.csv"), filepath.Join(dir, "spec.yaml")
	put(t, file, "id,day,amount\n1,2026-01-01T00:00:00Z,4\n1,2026-01-01T00:00:00Z,5\n2,2026-01-02T00:00:00Z,\n")
	text := strings.ReplaceAll(tableSpec, "NAME", "orders-table")
	put(t, spec, text)
	says := func(want string, args ...string) {
		t.Helper()
		out, err := command(t, c, args...)
		if err != nil {
			out += err.Error()
		}
		if !strings.Contains(squeezed(out), want) {
			t.Errorf("%v:\n%s\nwant %s", args, out, want)
		}
	}
	says("valid (fields, columns and types)", "validate", spec, "--data", file)
	says("in s3://lake/orders/a.csv", "put", file, "s3://lake/orders/")
	says("orders-table is new: a run begins, which cleans the rows and writes their table", "plan", "-f", spec)
	says("s3://lake/orders-table/ version 0", "apply", "-f", spec, "--wait")
	says("orders-table is unchanged at generation 1; `thalweg runs start orders-table` looks for new objects", "apply", "-f", spec)
	says("nothing new: s3://lake/orders-table/ version 0 was written from the same objects, 1 in all", "runs", "start", "orders-table", "--wait")
	says("orders/a.csv", "results", "orders-table")
	says(`{"id":1,"day":"2026-01-01T00:00:00Z","amount":4}`, "results", "orders-table", "--head", "1")
	says("2 rows in 2 files of 1 objects", "fsck", "orders-table")
	says("it writes a table of cleaned rows, and trains no model", "score", "orders-table", "--from", "s3://lake/orders/*.csv", "--into", "s3://lake/scored/")
	put(t, spec, strings.Replace(text, "keep: first", "keep: last", 1))
	says("the table is written anew", "plan", "-f", spec)
	lake, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	for key := range below(t, lake, "orders-table/data/") {
		if err := lake.Delete(t.Context(), "orders-table/data/"+key); err != nil {
			t.Fatal(err)
		}
		says("violation: file data/"+key+" is missing", "fsck", "orders-table")
		break
	}
	says("orders-table is deleted", "delete", "orders-table", "--purge", "--yes")
	for info, err := range lake.List(t.Context(), "orders-table/", "") {
		t.Errorf("%s is left, %v", info.Key, err)
	}
}
