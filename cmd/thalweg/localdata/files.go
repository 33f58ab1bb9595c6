package localdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// maxLocalFiles bounds the files that one path names on this machine.
const maxLocalFiles = 100_000

// wantFiles is what names files on this machine.
const wantFiles = "name a file on this machine, a folder, or several files by a pattern in quotes"

// File is a file on this machine. Its key is its path below the folder that
// was named, or below the part of a pattern that has no * in it.
type File struct {
	storage.Info
	Path string
}

// FindFiles returns the files that path names, in order of their keys: one file, a folder's
// data files (see dataExtension), those in its folders included, or what a pattern matches,
// where **/ stands for folders. pattern is what names the keys.
func FindFiles(op, path string) (files []File, pattern string, err error) {
	refuse := func(kind thalweg.Kind, err error) error {
		return &thalweg.Error{Op: op, Kind: kind, Subject: path, Err: err, Hint: wantFiles}
	}
	if path == "" {
		return nil, "", refuse(thalweg.NotFound, errors.New("it is empty"))
	}
	folder, pattern := filepath.Split(path)
	var names iter.Seq2[string, error]
	special := strings.IndexAny(path, `*?[\`)
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		ext, err := dataExtension(below(path, "*"))
		if err != nil {
			return nil, "", &thalweg.Error{Op: op, Kind: thalweg.KindOf(err), Subject: path, Err: err}
		}
		folder, pattern = path, "*"+ext
		names = below(folder, pattern)
	case err == nil:
		pattern = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(pattern)
		names = func(yield func(string, error) bool) { yield(path, nil) }
	case special < 0:
		return nil, "", refuse(thalweg.NotFound, errors.New("no such file"))
	default:
		folder = path[:strings.LastIndexByte(path[:special], filepath.Separator)+1]
		pattern = path[len(folder):]
		names = matches(path)
		if strings.Contains(path, "**") {
			names = below(folder, filepath.Base(path))
		}
	}
	folder = filepath.Clean(folder)
	for name, err := range names {
		if err != nil {
			return nil, "", refuse(thalweg.NotFound, err)
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, "", refuse(thalweg.NotFound, err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		key, err := filepath.Rel(folder, name)
		if err != nil {
			return nil, "", refuse(thalweg.Invalid, err)
		}
		if len(files) == maxLocalFiles {
			return nil, "", refuse(thalweg.Exhausted, fmt.Errorf("it names more than %s files", humanize.Comma(maxLocalFiles)))
		}
		files = append(files, File{Path: name, Info: storage.Info{Key: filepath.ToSlash(key), SizeBytes: info.Size(), ETag: info.ModTime().String()}})
	}
	if len(files) == 0 {
		hint := wantFiles
		if other := firstFile(folder); pattern == "*.parquet" && other != "" {
			hint = "there is " + other + ": name files by a pattern in quotes, '" + filepath.Join(filepath.Dir(other), "*"+filepath.Ext(other)) + "'"
		}
		return nil, "", &thalweg.Error{Op: op, Kind: thalweg.NotFound, Subject: path, Err: fmt.Errorf("there is no file %s", filepath.Join(folder, pattern)), Hint: hint}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Key, b.Key) })
	return files, filepath.ToSlash(pattern), nil
}

// firstFile returns the first file with something in it in a folder and its folders,
// but for hidden ones; empty if there is none.
func firstFile(folder string) string {
	for name, err := range below(folder, "*") {
		if err != nil {
			break
		}
		if info, err := os.Stat(name); err == nil && info.Size() > 0 && !strings.ContainsAny(filepath.Base(name)[:1], "._") {
			return name
		}
	}
	return ""
}

// matches yields the files that a pattern of one folder names.
func matches(pattern string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := filepath.Glob(pattern)
		if err != nil {
			yield("", err)
			return
		}
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// below yields the files in a folder and its folders whose names match. Hidden
// folders are passed over.
func below(folder, pattern string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		root := filepath.Clean(folder) + string(filepath.Separator)
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != root:
				return filepath.SkipDir
			case d.IsDir():
				return nil
			}
			if ok, err := filepath.Match(pattern, d.Name()); err != nil || !ok {
				return err
			}
			if !yield(name, nil) {
				return filepath.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", err)
		}
	}
}

// fileBucket shows files on this machine as objects, to who only reads them.
type fileBucket struct {
	storage.Bucket // has nothing; takes what nobody writes
	files          []File
}

func (b *fileBucket) find(key string) (File, error) {
	i, ok := slices.BinarySearchFunc(b.files, key, func(f File, key string) int { return strings.Compare(f.Key, key) })
	if !ok {
		return File{}, &thalweg.Error{Op: "read", Kind: thalweg.NotFound, Subject: key}
	}
	return b.files[i], nil
}

// Head implements storage.Bucket.
func (b *fileBucket) Head(_ context.Context, key string) (storage.Info, error) {
	f, err := b.find(key)
	return f.Info, err
}

// GetRange implements storage.Bucket.
func (b *fileBucket) GetRange(_ context.Context, key string, offset int64, buf []byte) error {
	f, err := b.find(key)
	if err != nil {
		return err
	}
	file, err := os.Open(f.Path)
	if err == nil {
		defer file.Close()
		_, err = file.ReadAt(buf, offset)
	}
	if err != nil {
		return &thalweg.Error{Op: "read", Kind: thalweg.Invalid, Subject: f.Path, Err: err}
	}
	return nil
}

// List implements storage.Bucket.
func (b *fileBucket) List(_ context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for _, f := range b.files {
			if strings.HasPrefix(f.Key, prefix) && f.Key > after && !yield(f.Info, nil) {
				return
			}
		}
	}
}
