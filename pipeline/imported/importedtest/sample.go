// Package importedtest gives tests models of other libraries, and what these make of
// some rows.
package importedtest

import (
	"embed"
	"encoding/json"
	"path"
	"strings"
	"testing"
)

// testdata is what testdata/make.py wrote.
//
//go:embed testdata
var testdata embed.FS

// Models lists the files of all models.
func Models(t testing.TB) (names []string) {
	t.Helper()
	files, err := testdata.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := f.Name(); !strings.HasSuffix(name, ".py") && !strings.HasSuffix(name, ".sample.json") && !strings.HasSuffix(name, ".shares.json") {
			names = append(names, name)
		}
	}
	if len(names) < 15 {
		t.Fatalf("%d models", len(names))
	}
	return names
}

// Model reads a model's file.
func Model(t testing.TB, name string) []byte {
	t.Helper()
	data, err := testdata.ReadFile(path.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Sample returns rows by column, of float64s, strings and nil, and the sums that the
// library makes of them.
func Sample(t testing.TB, model string) (columns map[string][]any, raw []float64) {
	t.Helper()
	if err := json.Unmarshal(Model(t, strings.TrimSuffix(model, path.Ext(model))+".sample.json"), &columns); err != nil {
		t.Fatal(err)
	}
	for _, v := range columns["raw"] {
		raw = append(raw, v.(float64))
	}
	delete(columns, "raw")
	return columns, raw
}

// Shares returns what the library says that each column brought to the sums of the first
// rows of Sample, by column, and the base that all share, in "base".
func Shares(t testing.TB, model string) (shares map[string][]float64) {
	t.Helper()
	if err := json.Unmarshal(Model(t, strings.TrimSuffix(model, path.Ext(model))+".shares.json"), &shares); err != nil {
		t.Fatal(err)
	}
	return shares
}
