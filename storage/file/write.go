package file

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// placeTries bounds how often a file is put in place anew because a Delete
// removed its directory, empty then, meanwhile.
const placeTries = 100

// Put implements storage.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	return b.write(ctx, "put", key, body, func(temp, path string) error { return b.store.root.Rename(temp, path) })
}

// PutIfAbsent implements storage.Bucket. Its atomicity is that of link(2).
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	return b.write(ctx, "put if absent", key, body, func(temp, path string) error { return b.store.root.Link(temp, path) })
}

// Delete implements storage.Bucket. Directories that it leaves empty go too.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := storage.Begin(ctx, "delete", key); err != nil {
		return err
	}
	if _, err := b.stat(key); notExist(err) {
		return nil
	}
	path := b.path(key)
	if err := b.store.root.Remove(path); err != nil && !notExist(err) {
		return failure("delete", key, err)
	}
	dir := parentOf(path)
	for dir != b.name && b.store.root.Remove(dir) == nil {
		dir = parentOf(dir)
	}
	if err := b.store.syncDir(dir); err != nil && !notExist(err) {
		return failure("delete", key, err)
	}
	return nil
}

// write writes body to a temporary file and has place move it to the key's
// path, which may also find the path taken.
func (b *Bucket) write(ctx context.Context, op, key string, body []byte, place func(temp, path string) error) (storage.Info, error) {
	if err := storage.Begin(ctx, op, key); err != nil {
		return storage.Info{}, err
	}
	temp, info, err := b.store.writeTemp(body)
	if err != nil {
		return storage.Info{}, failure(op, key, err)
	}
	defer b.store.root.Remove(temp) // a rename took it along, a link did not
	path := b.path(key)
	for range placeTries {
		if err = b.store.mkdirAll(parentOf(path)); err != nil {
			break
		}
		if err = place(temp, path); err == nil {
			if err := b.store.syncDir(parentOf(path)); err != nil {
				return storage.Info{}, storage.Failure(op, thalweg.Unavailable, key, cause(err))
			}
			return describe(key, info), nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // a Delete removed the directory
		}
		if !b.store.isDir(path) {
			break
		}
		if err = errTakenByPrefix; !b.store.removeEmpty(path) {
			break
		}
	}
	return storage.Info{}, failure(op, key, err)
}

// writeTemp writes and syncs a temporary file and returns its name.
func (s *store) writeTemp(body []byte) (name string, info fs.FileInfo, err error) {
	name = fmt.Sprintf("%s/%d-%s", tempDir, os.Getpid(), rand.Text())
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", nil, err
	}
	if _, err = f.Write(body); err == nil {
		modified := s.nextTime()
		if err = s.root.Chtimes(name, modified, modified); err == nil && !s.skipSync {
			err = f.Sync()
		}
	}
	if err == nil {
		info, err = f.Stat()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		s.root.Remove(name)
		return "", nil, err
	}
	return name, info, nil
}

// nextTime returns the present, but never the same time twice: file systems
// stamp files by the tick of a timer and use inodes again, and an ETag made of
// both must not repeat.
func (s *store) nextTime() time.Time {
	for {
		last := s.lastTime.Load()
		next := max(time.Now().UnixNano(), last+1)
		if s.lastTime.CompareAndSwap(last, next) {
			return time.Unix(0, next)
		}
	}
}

// mkdirAll makes the directory and those above it, each durable in its parent.
func (s *store) mkdirAll(path string) error {
	s.mkdirs.RLock()
	there := s.isDir(path)
	s.mkdirs.RUnlock()
	if there {
		return nil
	}
	s.mkdirs.Lock()
	defer s.mkdirs.Unlock()
	for range placeTries {
		err := s.mkdirLocked(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fs.ErrNotExist
}

func (s *store) mkdirLocked(path string) error {
	parent := "."
	for i := 0; i < len(path); {
		end := len(path)
		if next := strings.IndexByte(path[i:], '/'); next >= 0 {
			end = i + next
		}
		dir := path[:end]
		switch err := s.root.Mkdir(dir, 0o700); {
		case err == nil:
			if err := s.syncDir(parent); err != nil {
				return err
			}
		case isNotDir(err):
			return errBelowObject
		case !errors.Is(err, fs.ErrExist):
			return err
		default:
			info, err := s.root.Lstat(dir)
			if err != nil {
				return err // gone again: the caller makes another try
			}
			if !info.IsDir() {
				return errBelowObject
			}
		}
		parent, i = dir, end+1
	}
	return nil
}

// removeEmpty removes a directory below which nothing but directories lie, as
// a crash may leave them, and reports whether it is gone.
func (s *store) removeEmpty(path string) bool {
	entries, err := s.readDir(path)
	if err != nil {
		return notExist(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() || !s.removeEmpty(path+"/"+entry.Name()) {
			return false
		}
	}
	err = s.root.Remove(path)
	return err == nil || notExist(err)
}

func (s *store) isDir(path string) bool {
	info, err := s.root.Lstat(path)
	return err == nil && info.IsDir()
}

// syncDir makes the entries of a directory durable.
func (s *store) syncDir(path string) error {
	if s.skipSync {
		return nil
	}
	d, err := s.root.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// inode returns the number of the file's inode.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
