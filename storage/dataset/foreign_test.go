package dataset_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
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
				columns := readable(t, data, want)
				for _, batchRows := range []int{1 << 16, 7} {
					got := readAll(t, data, columns, batchRows)
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

// notRead are the columns of these files whose types no column of a table has.
var notRead = map[string]bool{"binary": true, "fixed": true, "struct": true, "map": true, "deep": true,
	"lists": true}

// readable returns the columns of want that are read, and takes the others out
// of it. Asking for one of those fails by its name.
func readable(t *testing.T, data []byte, want table) (columns []string) {
	t.Helper()
	for name := range want {
		if !notRead[name] {
			columns = append(columns, name)
			continue
		}
		delete(want, name)
		_, err := dataset.OpenBytes("test.parquet", data, []string{name}, dataset.ReaderConfig{})
		if !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), strconv.Quote(name)) {
			t.Errorf("column %s: %v, want unsupported by name", name, err)
		}
	}
	slices.Sort(columns)
	return columns
}
