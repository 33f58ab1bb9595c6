package terminal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/thalweg/thalweg"
)

// MaxFileBytes bounds what is read of a file that holds an event, a schema or a
// lineage.
const MaxFileBytes = 64 << 20

// ReadFile reads a file of at most so many bytes, or standard input if its name
// is -. An error says what was being done, and what file would do.
func ReadFile(op, name string, most int64, hint string) (data []byte, err error) {
	from := os.Stdin
	if name != "-" {
		if from, err = os.Open(name); err == nil {
			defer from.Close()
		}
	}
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(from, most+1))
	}
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &thalweg.Error{Op: op, Kind: thalweg.NotFound, Err: err, Hint: hint}
	}
	return nil, &thalweg.Error{Op: op, Kind: thalweg.Invalid, Err: err, Hint: hint}
}

// WriteFiles writes files into a directory, which is made if need be, and returns their
// paths.
func WriteFiles(dir string, files map[string][]byte) (paths []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(file, files[name], 0o644); err != nil {
			return nil, err
		}
		paths = append(paths, file)
	}
	return paths, nil
}
