//go:build integration

package dataset_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
)

// TestFilesOfEveryKindAreReadRightOrRefusedByName has testdata/variety.py write files by pyarrow
// and DuckDB: all codecs, encodings, page versions and types, nesting, odd names and shapes,
// encryption. Each column has the values that pyarrow has, or is refused by its name; a file that
// cannot be read is refused by its own.
func TestFilesOfEveryKindAreReadRightOrRefusedByName(t *testing.T) {
	dir := t.TempDir()
	python := filepath.Join("..", "..", ".cache", "python", "readers", "bin", "python")
	if out, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "variety.py"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n`make integration-deps` fetches what is needed", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	read, refused, whole := 0, 0, 0
	for _, file := range files {
		name := filepath.Base(file)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		expected, err := os.ReadFile(strings.TrimSuffix(file, ".parquet") + ".json")
		if errors.Is(err, fs.ErrNotExist) {
			if err := readHostile(t, data); err == nil {
				t.Errorf("%s is read", name)
			} else {
				t.Logf("%s: %v", name, err)
			}
			whole++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var columns [][2]json.RawMessage
		if err := json.Unmarshal(expected, &columns); err != nil {
			t.Fatal(err)
		}
		want := make(table)
		var names []string
		for _, c := range columns {
			var column string
			var values []string
			if err := errors.Join(json.Unmarshal(c[0], &column), json.Unmarshal(c[1], &values)); err != nil {
				t.Fatal(err)
			}
			r, err := dataset.OpenBytes(name, data, []string{column}, dataset.ReaderConfig{})
			if err != nil {
				if !thalweg.Is(err, thalweg.Unsupported) && !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), strconv.Quote(column)) || !strings.Contains(err.Error(), name) {
					t.Errorf("%s, column %q: %v, want it to be refused by name", name, column, err)
				}
				refused++
				continue
			}
			r.Close()
			if values == nil {
				t.Errorf("%s, column %q is read as a type that the test does not know", name, column)
				continue
			}
			want[column], names = values, append(names, column)
			read++
		}
		if len(names) == 0 {
			continue
		}
		for _, batchRows := range []int{1 << 16, 7} {
			got := readAll(t, data, names, batchRows)
			for column := range want {
				if got[column] == nil { // no rows
					got[column] = []string{}
				}
			}
			t.Run(name, func(t *testing.T) { sameValues(t, got, want) })
		}
	}
	t.Logf("%d files: %d columns are read as pyarrow reads them, %d columns and %d files are refused by name", len(files), read, refused, whole)
	if len(files) < 100 || read < 1000 || refused < 100 || whole < 2 {
		t.Error("the script wrote less than it should")
	}
}
