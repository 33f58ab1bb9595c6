package devserver

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// inside refuses a key whose path has a symbolic link in it: the gateway would
// follow it out of the bucket, to whatever its user can read.
func (t *tree) inside(bucket, key *string) error {
	if bucket == nil || key == nil {
		return nil // which the gateway refuses
	}
	path := t.dir
	for part := range strings.SplitSeq(*bucket+"/"+*key, "/") {
		path = filepath.Join(path, part)
		info, err := os.Lstat(path)
		if err != nil {
			return nil // nothing is there, and nothing below
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return s3err.GetAPIError(s3err.ErrAccessDenied)
		}
	}
	return nil
}

// GetObject implements backend.Backend.
func (t *tree) GetObject(ctx context.Context, in *awss3.GetObjectInput) (*awss3.GetObjectOutput, error) {
	if err := t.inside(in.Bucket, in.Key); err != nil {
		return nil, err
	}
	return t.Posix.GetObject(ctx, in)
}

// HeadObject implements backend.Backend.
func (t *tree) HeadObject(ctx context.Context, in *awss3.HeadObjectInput) (*awss3.HeadObjectOutput, error) {
	if err := t.inside(in.Bucket, in.Key); err != nil {
		return nil, err
	}
	return t.Posix.HeadObject(ctx, in)
}

// GetObjectAttributes implements backend.Backend.
func (t *tree) GetObjectAttributes(ctx context.Context, in *awss3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	if err := t.inside(in.Bucket, in.Key); err != nil {
		return s3response.GetObjectAttributesResponse{}, err
	}
	return t.Posix.GetObjectAttributes(ctx, in)
}

// UploadPartCopy implements backend.Backend.
func (t *tree) UploadPartCopy(ctx context.Context, in *awss3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	bucket, key, _, err := backend.ParseCopySource(*in.CopySource)
	if err == nil {
		err = t.inside(&bucket, &key)
	}
	if err != nil {
		return s3response.CopyPartResult{}, err
	}
	return t.Posix.UploadPartCopy(ctx, in)
}
