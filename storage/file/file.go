// Package file provides buckets as directories: an object is a file under its
// own key as path, so that DuckDB, pandas and a shell read it where it lies.
//
// A created or replaced object is complete, synced and durable when the call
// returns: it is written to a temporary file beside the buckets, synced, and
// linked (PutIfAbsent) or renamed (Put) into place, then the directory is
// synced. Any number of processes on one machine may share a directory.
//
// As in S3 servers that keep objects as files, a key cannot be both an object
// and the prefix of others: "a/b" beside "a" is refused as Invalid. Only
// regular files in real directories are objects; links are not followed out of
// the directory.
package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

const (
	// tempDir holds files being written. No bucket can have its name.
	tempDir = ".tmp"
	// tempAge is the age at which a temporary file is taken for the leftover of
	// a crash: far longer than writing one object takes.
	tempAge = time.Hour
)

// Config says where the buckets lie.
type Config struct {
	// Dir is the directory of the buckets, one directory each; made if absent.
	Dir string
	// SkipSync leaves out every fsync: objects survive the end of the process
	// but not a loss of power. For tests and throwaway directories; default
	// false.
	SkipSync bool
}

// Opener opens the buckets of one directory. It is safe for concurrent use.
type Opener struct {
	store *store
}

// store is what the buckets of one Opener share.
type store struct {
	dir      string
	root     *os.Root // confines every path to dir
	skipSync bool
	lastTime atomic.Int64 // modification time last given to an object
	mkdirs   sync.RWMutex // written while directories are made, so that none is used before it is durable
}

// Bucket is one directory of an Opener.
type Bucket struct {
	store *store
	name  string
}

var (
	_ storage.Bucket = (*Bucket)(nil)
	_ storage.Opener = (*Opener)(nil)
)

// New makes the directory if it is absent, removes what crashed writers left
// in it, and returns its opener.
func New(config Config) (*Opener, error) {
	fail := func(err error) error {
		return &thalweg.Error{Op: "open directory store", Kind: kindOf(err), Subject: config.Dir, Err: err,
			Hint: "the directory must be writable for this user"}
	}
	if config.Dir == "" {
		return nil, &thalweg.Error{Op: "open directory store", Kind: thalweg.Invalid, Subject: "dir", Err: errors.New("must be set")}
	}
	if err := os.MkdirAll(filepath.Join(config.Dir, tempDir), 0o700); err != nil {
		return nil, fail(err)
	}
	root, err := os.OpenRoot(config.Dir)
	if err != nil {
		return nil, fail(err)
	}
	s := &store{dir: config.Dir, root: root, skipSync: config.SkipSync}
	if err := s.removeLeftovers(time.Now().Add(-tempAge)); err != nil {
		root.Close()
		return nil, fail(err)
	}
	return &Opener{store: s}, nil
}

// Close releases the directory. Buckets of the opener must not be used
// afterwards.
func (o *Opener) Close() error { return o.store.root.Close() }

// Bucket implements storage.Opener.
func (o *Opener) Bucket(ctx context.Context, name string) (storage.Bucket, error) {
	if err := storage.Ended(ctx, "open bucket", name); err != nil {
		return nil, err
	}
	if err := storage.ValidateBucketName(name); err != nil {
		return nil, err
	}
	info, err := o.store.root.Stat(name)
	if err == nil && !info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "open bucket", Kind: kindOf(err), Subject: name, Err: cause(err),
			Hint: "a bucket is a directory of " + o.store.dir}
	}
	return &Bucket{store: o.store, name: name}, nil
}

// CreateBucket implements storage.Opener.
func (o *Opener) CreateBucket(ctx context.Context, name string) error {
	if err := storage.Ended(ctx, "create bucket", name); err != nil {
		return err
	}
	if err := storage.ValidateBucketName(name); err != nil {
		return err
	}
	if err := o.store.mkdirAll(name); err != nil {
		return failure("create bucket", name, err)
	}
	return nil
}

// removeLeftovers deletes temporary files last written before the given time.
func (s *store) removeLeftovers(before time.Time) error {
	entries, err := s.readDir(tempDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := tempDir + "/" + entry.Name()
		info, err := s.root.Lstat(name)
		if err != nil || !info.Mode().IsRegular() || info.ModTime().After(before) {
			continue // gone, foreign, or in use
		}
		if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// path returns where key's file lies below the store's directory.
func (b *Bucket) path(key string) string { return b.name + "/" + key }

// failure returns the error of an operation with the kind that a file system's
// error means.
func failure(op, key string, err error) error {
	return storage.Failure(op, kindOf(err), key, cause(err))
}

// cause strips the path from err, which the subject tells already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

func parentOf(path string) string { return path[:strings.LastIndexByte(path, '/')] }
