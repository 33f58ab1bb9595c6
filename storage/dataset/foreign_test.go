package dataset_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesOfPyarrow reads the files of testdata, and those of the directory
// that THALWEG_PARQUET names, written by testdata/generate.py.
func TestFilesOfPyarrow(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"testdata", os.Getenv("THALWEG_PARQUET")} {
		if dir == "" {
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				expected, err := os.ReadFile(strings.TrimSuffix(file, ".parquet") + ".json")
				if err != nil {
					t.Fatal(err)
				}
				var want table
				if err := json.Unmarshal(expected, &want); err != nil {
					t.Fatal(err)
				}
				for _, batchRows := range []int{1 << 16, 7} {
					got, _ := readAll(t, data, nil, batchRows)
					for name := range want {
						if got[name] == nil { // no rows
							got[name] = []string{}
						}
					}
					sameValues(t, got, want)
				}
			})
		}
	}
}
