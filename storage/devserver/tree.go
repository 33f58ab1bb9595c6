package devserver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// tree is the gateway's store in a directory, as S3 would have it where the two
// differ: a key that ends in a slash names an object and no directory, and the
// directory of an object is no business of its clients.
type tree struct {
	*posix.Posix
	dir string // of the buckets
	// parents is held for reading while an object is put in its place, and for
	// writing while one is taken away with the directories that it leaves empty. Not
	// while a body is on its way: a client may take its time.
	parents sync.RWMutex
}

// PutObject implements backend.Backend.
func (t *tree) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	if err := t.inside(in.Bucket, in.Key); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	body := &lastRead{Reader: in.Body, then: t.parents.RLock}
	if in.Key != nil && strings.HasSuffix(*in.Key, "/") || in.Body == nil {
		body.end() // no body is read
	}
	if sums, ok := in.Body.(middlewares.ChecksumReader); ok {
		in.Body = checkedRead{body, sums}
	} else if in.Body != nil {
		in.Body = body
	}
	out, err := t.Posix.PutObject(ctx, in)
	if body.ended {
		t.parents.RUnlock()
	}
	return out, err
}

// CompleteMultipartUpload implements backend.Backend.
func (t *tree) CompleteMultipartUpload(ctx context.Context, in *awss3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	if err := t.inside(in.Bucket, in.Key); err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	t.parents.RLock()
	defer t.parents.RUnlock()
	return t.Posix.CompleteMultipartUpload(ctx, in)
}

// CopyObject implements backend.Backend. The gateway takes a directory for an
// object with contents, so the copy of a marker is a marker that is put.
func (t *tree) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	bucket, key, _, err := backend.ParseCopySource(*in.CopySource)
	if err == nil {
		err = cmp.Or(t.inside(&bucket, &key), t.inside(in.Bucket, in.Key))
	}
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	if !strings.HasSuffix(key, "/") {
		t.parents.RLock()
		defer t.parents.RUnlock()
		return t.Posix.CopyObject(ctx, in)
	}
	marker, err := t.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return s3response.CopyObjectOutput{}, s3err.GetAPIError(s3err.ErrNoSuchKey)
	}
	put := s3response.PutObjectInput{Bucket: in.Bucket, Key: in.Key, ContentLength: new(int64), Body: bytes.NewReader(nil),
		ContentType: marker.ContentType, Metadata: marker.Metadata}
	if in.MetadataDirective == types.MetadataDirectiveReplace {
		put.ContentType, put.Metadata = in.ContentType, in.Metadata
	}
	done, err := t.PutObject(ctx, put)
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	return s3response.CopyObjectOutput{CopyObjectResult: &s3response.CopyObjectResult{ETag: &done.ETag, LastModified: marker.LastModified}}, nil
}

// DeleteObject implements backend.Backend. Where there is a directory with
// objects but no marker there is nothing to delete, which S3 calls a success.
func (t *tree) DeleteObject(ctx context.Context, in *awss3.DeleteObjectInput) (*awss3.DeleteObjectOutput, error) {
	if err := t.inside(in.Bucket, in.Key); err != nil {
		return nil, err
	}
	t.parents.Lock()
	defer t.parents.Unlock()
	out, err := t.Posix.DeleteObject(ctx, in)
	var e s3err.S3Error
	if errors.As(err, &e) && e.BaseError().Code == notEmpty {
		return &awss3.DeleteObjectOutput{}, nil
	}
	return out, err
}

// DeleteObjects implements backend.Backend.
func (t *tree) DeleteObjects(ctx context.Context, in *awss3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	if in.Delete != nil {
		for _, o := range in.Delete.Objects {
			if err := t.inside(in.Bucket, o.Key); err != nil {
				return s3response.DeleteResult{}, err
			}
		}
	}
	t.parents.Lock()
	defer t.parents.Unlock()
	out, err := t.Posix.DeleteObjects(ctx, in)
	var failed []types.Error
	for _, e := range out.Error {
		if *e.Code == notEmpty {
			out.Deleted = append(out.Deleted, types.DeletedObject{Key: e.Key})
		} else {
			failed = append(failed, e)
		}
	}
	out.Error = failed
	return out, err
}

// notEmpty is the gateway's code of the delete of a directory with objects.
const notEmpty = "ErrDirectoryNotEmpty"

// lastRead calls a function when the body of a request has come to its end.
type lastRead struct {
	io.Reader
	then  func()
	ended bool
}

// Read implements io.Reader.
func (r *lastRead) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		r.end()
	}
	return n, err
}

func (r *lastRead) end() {
	if !r.ended {
		r.ended = true
		r.then()
	}
}

// checkedRead is a body that ends with its checksum, which the gateway asks for.
type checkedRead struct {
	*lastRead
	sums middlewares.ChecksumReader
}

// Algorithm implements middlewares.ChecksumReader.
func (r checkedRead) Algorithm() string { return r.sums.Algorithm() }

// Checksum implements middlewares.ChecksumReader.
func (r checkedRead) Checksum() string { return r.sums.Checksum() }
