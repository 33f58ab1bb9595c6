package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/storage"
)

// Get implements storage.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	if err := storage.Begin(ctx, "get", key); err != nil {
		return nil, storage.Info{}, err
	}
	f, info, err := b.open(key)
	if err != nil {
		return nil, storage.Info{}, failure("get", key, err)
	}
	defer f.Close()
	body := make([]byte, info.SizeBytes)
	if err := readAt(f, body, 0); err != nil {
		return nil, storage.Info{}, failure("get", key, err)
	}
	return body, info, nil
}

// GetRange implements storage.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	if err := storage.Begin(ctx, "get range", key); err != nil {
		return err
	}
	f, info, err := b.open(key)
	if err != nil {
		return failure("get range", key, err)
	}
	defer f.Close()
	if err := storage.CheckRange(key, offset, len(buf), info.SizeBytes); err != nil {
		return err
	}
	if err := readAt(f, buf, offset); err != nil {
		return failure("get range", key, err)
	}
	return nil
}

// Head implements storage.Bucket. The ETag is made of what changes with every
// Put: the file's inode, size and modification time.
func (b *Bucket) Head(ctx context.Context, key string) (storage.Info, error) {
	if err := storage.Begin(ctx, "head", key); err != nil {
		return storage.Info{}, err
	}
	info, err := b.stat(key)
	if err != nil {
		return storage.Info{}, failure("head", key, err)
	}
	return info, nil
}

// List implements storage.Bucket. It reads one directory at a time, as a
// whole, so its memory is bounded by the names of the largest directories on
// one path.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		w := &walk{bucket: b, ctx: ctx, prefix: prefix, after: after, yield: yield}
		if storage.PrefixMatches(prefix) {
			w.dir(prefix[:strings.LastIndexByte(prefix, '/')+1])
		}
		if err := storage.Ended(ctx, "list", prefix); err != nil && !w.ended {
			yield(storage.Info{}, err)
		}
	}
}

// walk is one listing under way.
type walk struct {
	bucket        *Bucket
	ctx           context.Context
	prefix, after string
	yield         func(storage.Info, error) bool
	ended         bool // the listing failed or its reader left
}

// dir yields the objects below the keys' prefix at, which is empty or ends in
// a slash, in byte order: that of the entries' names, a directory's with its
// slash, as the keys below it have it.
func (w *walk) dir(at string) {
	entries, err := w.bucket.store.readDir(strings.TrimSuffix(w.bucket.path(at), "/"))
	if err != nil {
		if !notExist(err) {
			w.fail(at, err)
		}
		return
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() {
			name += "/"
		} else if !entry.Type().IsRegular() {
			continue
		}
		if w.wanted(at + name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		key := at + name
		if err := storage.Ended(w.ctx, "list", w.prefix); err != nil {
			w.ended = true
			w.yield(storage.Info{}, err)
			return
		}
		if strings.HasSuffix(name, "/") {
			if w.dir(key); w.ended {
				return
			}
			continue
		}
		info, err := w.bucket.stat(key)
		if notExist(err) {
			continue
		}
		if err != nil {
			w.fail(key, err)
			return
		}
		if !w.yield(info, nil) {
			w.ended = true
			return
		}
	}
}

// wanted reports whether an object or the objects below a directory, whose key
// ends in a slash, can be within the listing.
func (w *walk) wanted(key string) bool {
	if strings.HasSuffix(key, "/") {
		return (strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)) &&
			(key > w.after || strings.HasPrefix(w.after, key))
	}
	return strings.HasPrefix(key, w.prefix) && key > w.after
}

func (w *walk) fail(key string, err error) {
	w.ended = true
	w.yield(storage.Info{}, failure("list", key, err))
}

func (b *Bucket) stat(key string) (storage.Info, error) {
	info, err := b.store.root.Lstat(b.path(key))
	if err != nil {
		return storage.Info{}, err
	}
	if !info.Mode().IsRegular() {
		return storage.Info{}, errNotRegular
	}
	return describe(key, info), nil
}

// open opens key's file; its bytes cannot change any more, since a Put puts
// another file in its place.
func (b *Bucket) open(key string) (*os.File, storage.Info, error) {
	if _, err := b.stat(key); err != nil {
		return nil, storage.Info{}, err // a directory or a device is not to be opened
	}
	f, err := b.store.root.Open(b.path(key))
	if err != nil {
		return nil, storage.Info{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return nil, storage.Info{}, err
	}
	return f, describe(key, info), nil
}

func describe(key string, info fs.FileInfo) storage.Info {
	return storage.Info{
		Key:       key,
		SizeBytes: info.Size(),
		ETag:      fmt.Sprintf("%x-%x-%x", inode(info), info.ModTime().UnixNano(), info.Size()),
	}
}

// readAt fills buf from the file's bytes at offset, which Stat said are there.
func readAt(f *os.File, buf []byte, offset int64) error {
	if len(buf) == 0 {
		return nil
	}
	n, err := f.ReadAt(buf, offset)
	if n == len(buf) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return errChanged
	}
	return err
}

func (s *store) readDir(path string) ([]os.DirEntry, error) {
	d, err := s.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadDir(-1)
}

// notExist reports that something is not there, or no longer.
func notExist(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || isNotDir(err) || errors.Is(err, errNotRegular)
}
