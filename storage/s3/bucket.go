package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// partBytes is the size up to which Put sends an object in one request, and of
// the parts of larger ones: large enough that a checkpoint goes in one.
const partBytes = 64 << 20

// The sums of no bytes, in the spelling of their headers.
const (
	emptyMD5    = "1B2M2Y8AsgTpgAmY7PhCfg=="
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Bucket is one bucket of a store. It is safe for concurrent use.
type Bucket struct {
	opener *Opener
	name   string
}

var (
	_ storage.Bucket = (*Bucket)(nil)
	_ storage.Opener = (*Opener)(nil)
)

// Bucket implements storage.Opener.
func (o *Opener) Bucket(ctx context.Context, name string) (storage.Bucket, error) {
	if err := storage.ValidateBucketName(name); err != nil {
		return nil, err
	}
	subject := "s3://" + name
	err := o.repeat(ctx, "open bucket", subject, func(ctx context.Context, _ *watch) error {
		exists, err := o.client.BucketExists(ctx, name)
		if err == nil && !exists {
			err = minio.ErrorResponse{StatusCode: http.StatusNotFound, Code: "NoSuchBucket", Message: "there is no such bucket"}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Bucket{opener: o, name: name}, nil
}

// CreateBucket implements storage.Opener.
func (o *Opener) CreateBucket(ctx context.Context, name string) error {
	if err := storage.ValidateBucketName(name); err != nil {
		return err
	}
	return o.repeat(ctx, "create bucket", "s3://"+name, func(ctx context.Context, _ *watch) error {
		err := o.client.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: o.config.Region})
		if err == nil {
			return nil
		}
		if exists, _ := o.client.BucketExists(ctx, name); exists { // and is ours to read
			return nil
		}
		return err
	})
}

// Get implements storage.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	const op = "get"
	var body []byte
	var info storage.Info
	err := b.repeat(ctx, op, key, func(ctx context.Context, w *watch) error {
		stream, object, _, err := b.opener.client.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer stream.Close()
		if object.Size < 0 {
			return errors.New("the answer does not tell the object's size")
		}
		if object.Size > b.opener.config.MaxGetBytes {
			return storage.Failure(op, thalweg.Exhausted, key,
				fmt.Errorf("the object has %d bytes, at most %d are read into memory", object.Size, b.opener.config.MaxGetBytes))
		}
		body = make([]byte, object.Size)
		info = storage.Info{Key: key, SizeBytes: object.Size, ETag: object.ETag, Version: object.VersionID}
		return fill(w.observed(stream), body)
	})
	if err != nil {
		return nil, storage.Info{}, err
	}
	return body, info, nil
}

// GetRange implements storage.Bucket. The bytes go from the connection into
// buf.
func (b *Bucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	const op = "get range"
	if err := storage.Begin(ctx, op, key); err != nil {
		return err
	}
	end := offset + int64(len(buf))
	if offset < 0 || end < offset {
		return storage.Failure(op, thalweg.Invalid, key, fmt.Errorf("%d bytes at %d are no range", len(buf), offset))
	}
	if len(buf) == 0 { // no HTTP range says "nothing"
		info, err := b.Head(ctx, key)
		if err != nil {
			return err
		}
		return storage.CheckRange(key, offset, 0, info.SizeBytes)
	}
	return b.repeat(ctx, op, key, func(ctx context.Context, w *watch) error {
		opts := minio.GetObjectOptions{}
		if err := opts.SetRange(offset, end-1); err != nil {
			return err
		}
		stream, object, header, err := b.opener.client.GetObject(ctx, b.name, key, opts)
		if err != nil {
			return err
		}
		defer stream.Close()
		got := header.Get("Content-Range")
		switch {
		case !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", offset)):
			return storage.Failure(op, thalweg.Unsupported, key, fmt.Errorf("asked for bytes %d-%d, the store sent %q", offset, end-1, got))
		case object.Size >= 0 && object.Size < int64(len(buf)):
			return storage.Failure(op, thalweg.Invalid, key, fmt.Errorf("%d bytes at %d reach beyond the object: %s", len(buf), offset, got))
		}
		return fill(w.observed(stream), buf)
	})
}

// fill reads len(buf) bytes.
func fill(body io.Reader, buf []byte) error {
	n, err := io.ReadFull(body, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the answer broke off after %d of %d bytes", n, len(buf))
	}
	return err
}

// Put implements storage.Bucket. Objects beyond 64 MiB go in parts, of which
// the store makes one object at the end.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	var info storage.Info
	err := b.repeat(ctx, "put", key, func(ctx context.Context, w *watch) (err error) {
		info, err = b.upload(ctx, key, body, minio.PutObjectOptions{SendContentMd5: true, PartSize: partBytes, Progress: w})
		return err
	})
	return info, err
}

// PutIfAbsent implements storage.Bucket. The object goes in one request
// whatever its size, since the condition does not hold for parts.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	const op = "put if absent"
	if err := storage.Begin(ctx, op, key); err != nil {
		return storage.Info{}, err
	}
	var info storage.Info
	err := b.opener.once(ctx, op, b.subject(key), func(ctx context.Context, w *watch) (err error) {
		opts := minio.PutObjectOptions{SendContentMd5: true, DisableMultipart: true, Progress: w}
		opts.SetMatchETagExcept("*")
		info, err = b.upload(ctx, key, body, opts)
		return err
	})
	return info, err
}

func (b *Bucket) upload(ctx context.Context, key string, body []byte, opts minio.PutObjectOptions) (storage.Info, error) {
	var sent minio.UploadInfo
	var err error
	opts.ServerSideEncryption = b.opener.sse
	if len(body) == 0 {
		// Over http minio-go signs a body chunk by chunk, and of an empty one sends
		// the closing chunk alone. The embedded endpoint does not read it, and takes
		// it for the connection's next request. So it is signed as a whole.
		opts.DisableContentSha256 = true
		sent, err = b.opener.client.PutObject(ctx, b.name, key, http.NoBody, 0, emptyMD5, emptySHA256, opts)
	} else {
		sent, err = b.opener.client.Client.PutObject(ctx, b.name, key, bytes.NewReader(body), int64(len(body)), opts)
	}
	if err == nil && b.opener.sse != nil && !opts.DisableMultipart && len(body) > partBytes {
		err = b.confirmParts(ctx, key, opts)
	}
	if err != nil {
		return storage.Info{}, err
	}
	return storage.Info{Key: key, SizeBytes: int64(len(body)), ETag: sent.ETag, Version: sent.VersionID}, nil
}

// Head implements storage.Bucket.
func (b *Bucket) Head(ctx context.Context, key string) (storage.Info, error) {
	var info storage.Info
	err := b.repeat(ctx, "head", key, func(ctx context.Context, _ *watch) error {
		object, err := b.opener.client.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
		info = storage.Info{Key: key, SizeBytes: object.Size, ETag: object.ETag, Version: object.VersionID}
		return err
	})
	if err != nil {
		return storage.Info{}, err
	}
	return info, nil
}

// Delete implements storage.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	err := b.repeat(ctx, "delete", key, func(ctx context.Context, _ *watch) error {
		return b.opener.client.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{})
	})
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.Code == "NoSuchKey" {
		return nil
	}
	return err
}

// List implements storage.Bucket. A page that fails is asked for again, so the
// listing goes on after the last key it yielded. Keys that end in a slash,
// which some tools create to stand for directories, are left out.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	const op = "list"
	return func(yield func(storage.Info, error) bool) {
		if err := storage.Ended(ctx, op, b.subject(prefix)); err != nil {
			yield(storage.Info{}, err)
			return
		}
		if !storage.PrefixMatches(prefix) {
			return
		}
		left := false
		last := after
		for {
			before := last
			err := b.opener.repeat(ctx, op, b.subject(prefix), func(ctx context.Context, w *watch) error {
				return b.pages(ctx, w, prefix, &last, func(info storage.Info) bool {
					left = !yield(info, nil)
					return !left
				})
			})
			if left || err == nil {
				return
			}
			if last == before || !thalweg.IsTransient(err) {
				yield(storage.Info{}, err)
				return
			}
		}
	}
}

// pages lists the objects after *last, moving it along, until the end, an
// error, or a yield that returns false.
func (b *Bucket) pages(ctx context.Context, w *watch, prefix string, last *string, yield func(storage.Info) bool) error {
	noOwner, start := false, *last
	asked := prefix
	if slash := strings.LastIndexByte(prefix, '/'); prefix[slash+1:] == "." || prefix[slash+1:] == ".." {
		asked = prefix[:slash+1] // MinIO takes the end of "a/.." for a parent directory
	}
	for object := range b.opener.client.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{
		Prefix: asked, StartAfter: start, Recursive: true, MaxKeys: storage.MaxListPage, FetchOwner: &noOwner,
	}) {
		if object.Err != nil {
			return object.Err
		}
		if object.Key <= *last {
			if object.Key <= start {
				continue // the store ignores where to begin
			}
			return storage.Failure("list", thalweg.Unsupported, prefix, fmt.Errorf("the store lists %q after %q", object.Key, *last))
		}
		*last = object.Key
		if strings.HasSuffix(object.Key, "/") || !strings.HasPrefix(object.Key, prefix) {
			continue
		}
		w.hold()
		more := yield(storage.Info{Key: object.Key, SizeBytes: object.Size, ETag: object.ETag})
		w.restart()
		if !more {
			return nil
		}
	}
	return ctx.Err() // a listing whose context ends ends without a word
}

// repeat runs a call on an object, again where that may help.
func (b *Bucket) repeat(ctx context.Context, op, key string, call func(ctx context.Context, w *watch) error) error {
	if err := storage.Begin(ctx, op, key); err != nil {
		return err
	}
	return b.opener.repeat(ctx, op, b.subject(key), call)
}

func (b *Bucket) subject(key string) string { return "s3://" + b.name + "/" + key }
