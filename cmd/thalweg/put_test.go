package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPutCopiesFilesIntoTheStore: each object is the file, under the name that was
// said or that the file has.
func TestPutCopiesFilesIntoTheStore(t *testing.T) {
	store, here := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(store, "lake"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.csv", "b.csv", "c.parquet"} {
		if err := os.WriteFile(filepath.Join(here, name), []byte("rows of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"days/2", "days/none", "empty"} {
		if err := os.MkdirAll(filepath.Join(here, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"days/1.parquet", "days/2/1.parquet", "days/notes.txt", "days/none/_SUCCESS", "days/none/part-0000"} {
		if err := os.WriteFile(filepath.Join(here, name), []byte("rows of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put := func(file, to string) (string, error) {
		return runLine(t, "put --store file://"+store+" "+filepath.Join(here, file)+" "+to)
	}
	for _, c := range []struct{ file, to, object, body string }{
		{"a.csv", "s3://lake/", "a.csv", "rows of a.csv"},
		{"b.csv", "s3://lake", "b.csv", "rows of b.csv"},
		{"c.parquet", "s3://lake/flights/", "flights/c.parquet", "rows of c.parquet"},
		{"c.parquet", "s3://lake/flights/2026.parquet", "flights/2026.parquet", "rows of c.parquet"},
		{"?.csv", "s3://lake/many/", "many/b.csv", "rows of b.csv"},
		{"b.csv", "s3://lake/a.csv", "a.csv", "rows of b.csv"}, // replaced
		{"days", "s3://lake/days/", "days/2/1.parquet", "rows of days/2/1.parquet"},
		{"days/*/1.parquet", "s3://lake/some/", "some/2/1.parquet", "rows of days/2/1.parquet"}, // of one name, each its object
	} {
		out, err := put(c.file, c.to)
		if err != nil || !strings.Contains(out, "s3://lake/"+c.object) {
			t.Errorf("%s to %s: %v, %q", c.file, c.to, err, out)
		}
		if body, err := os.ReadFile(filepath.Join(store, "lake", c.object)); err != nil || string(body) != c.body {
			t.Errorf("%s to %s: the object is %q, %v", c.file, c.to, body, err)
		}
	}
	if _, err := os.Stat(filepath.Join(store, "lake/days/notes.txt")); err == nil {
		t.Error("of a folder more than its Parquet files are put")
	}
	for _, c := range []struct{ file, to, want string }{
		{"c.parquet", "s3://lake/flights", "for a folder write s3://lake/flights/"},
		{"?.csv", "s3://lake/all.csv", "for a folder write s3://lake/all.csv/"},
		{"", "s3://lake/x.parquet", "for a folder write"},
		{"empty", "s3://lake/x/", "there is no file "},
		{"days/none", "s3://lake/x/", "there is " + here + "/days/none/part-0000: name files by a pattern in quotes, '" + here + "/days/none/*')"},
		{"none.csv", "s3://lake/x/", "none.csv: no such file (name a file on this machine"},
		{"a.csv", "lake/x/", "want s3://bucket/folder/"},
		{"a.csv", "s3://pond/x/", "pond"},
	} {
		if _, err := put(c.file, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s to %s: %v, want %s", c.file, c.to, err, c.want)
		}
	}
}
