package devserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/thalweg/thalweg/storage/devserver"
)

// lake is a bucket of a server, used by Amazon's own client without retries.
type lake struct {
	*awss3.Client
	t *testing.T
}

func newLake(t *testing.T) lake {
	t.Helper()
	server, _, _ := start(t, devserver.Config{Dir: t.TempDir()})
	l := lake{awss3.New(awss3.Options{BaseEndpoint: aws.String("http://" + server.Endpoint()), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey(), server.SecretKey(), "")}), t}
	if _, err := l.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("lake")}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l lake) put(ctx context.Context, key string, body string) error {
	_, err := l.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String("lake"), Key: &key, Body: strings.NewReader(body)})
	return err
}

func (l lake) delete(ctx context.Context, key string) error {
	_, err := l.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String("lake"), Key: &key})
	return err
}

// must ends the test on an error of what is set up.
func (l lake) must(errs ...error) {
	l.t.Helper()
	if err := errors.Join(errs...); err != nil {
		l.t.Fatal(err)
	}
}

// list returns the keys under a prefix, and the common prefixes.
func (l lake) list(prefix, delimiter string) []string {
	l.t.Helper()
	res, err := l.ListObjectsV2(l.t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("lake"), Prefix: &prefix, Delimiter: &delimiter})
	l.must(err)
	var names []string
	for _, o := range res.Contents {
		names = append(names, *o.Key)
	}
	for _, p := range res.CommonPrefixes {
		names = append(names, "prefix "+*p.Prefix)
	}
	return names
}

func (l lake) lists(prefix, delimiter string, want ...string) {
	l.t.Helper()
	if got := l.list(prefix, delimiter); !slices.Equal(got, want) {
		l.t.Errorf("list of %q by %q: %q, want %q", prefix, delimiter, got, want)
	}
}

func (l lake) isAbsent(key string) {
	l.t.Helper()
	_, err := l.HeadObject(l.t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("lake"), Key: &key})
	var missing *types.NotFound
	if !errors.As(err, &missing) {
		l.t.Errorf("head of %s: %v, want that it is not found", key, err)
	}
}

func TestADirectoryWithoutMarkerIsNoObject(t *testing.T) {
	l := newLake(t)
	l.must(l.put(t.Context(), "a/b/c", "kept"))
	for _, key := range []string{"a/", "a/b/", "a/b", "a/b/c/", "a/none/", "none/"} {
		l.isAbsent(key)
		if err := l.delete(t.Context(), key); err != nil {
			t.Errorf("delete of %s, of which there is nothing: %v", key, err)
		}
		_, err := l.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("lake"), Key: aws.String("copy/"), CopySource: aws.String("lake/" + key)})
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != "NoSuchKey" {
			t.Errorf("copy of %s: %v, want no such key", key, err)
		}
	}
	l.lists("", "", "a/b/c")
}

func TestTheMarkerOfADirectoryIsAnObjectOfItsOwn(t *testing.T) {
	l := newLake(t)
	l.must(l.put(t.Context(), "a/b/", ""), l.put(t.Context(), "a/b/c", "kept"), l.put(t.Context(), "a/x", ""))
	l.lists("", "", "a/b/", "a/b/c", "a/x")
	l.lists("a/", "/", "a/x", "prefix a/b/")
	l.lists("a/b/", "/", "a/b/", "a/b/c")
	for range 2 { // and when it is gone
		if err := l.delete(t.Context(), "a/b/"); err != nil {
			t.Error(err)
		}
		l.isAbsent("a/b/")
		l.lists("a/b/", "/", "a/b/c")
	}
	// The marker outlives what is in its directory.
	l.must(l.put(t.Context(), "a/b/", ""), l.delete(t.Context(), "a/b/c"))
	l.lists("a/b", "", "a/b/")
	l.must(l.delete(t.Context(), "a/b/"), l.delete(t.Context(), "a/x"))
	l.lists("", "")
}

func TestManyAreDeletedWhateverIsThere(t *testing.T) {
	l := newLake(t)
	l.must(l.put(t.Context(), "a/b/", ""), l.put(t.Context(), "a/b/c", "kept"), l.put(t.Context(), "d/e/f", ""))
	var objects []types.ObjectIdentifier
	for _, key := range []string{"a/", "a/b/", "d/e/", "d/e/f", "none", "none/"} {
		objects = append(objects, types.ObjectIdentifier{Key: &key})
	}
	res, err := l.DeleteObjects(t.Context(), &awss3.DeleteObjectsInput{Bucket: aws.String("lake"), Delete: &types.Delete{Objects: objects}})
	l.must(err)
	if len(res.Errors) != 0 || len(res.Deleted) != len(objects) {
		t.Errorf("%d of %d deleted, errors %v", len(res.Deleted), len(objects), res.Errors)
	}
	l.lists("", "", "a/b/c")
}

func TestMarkersAreCopied(t *testing.T) {
	l := newLake(t)
	_, err := l.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String("from here/"), Metadata: map[string]string{"who": "me"}})
	l.must(err, l.put(t.Context(), "from here/x", "kept"))
	for key, in := range map[string]*awss3.CopyObjectInput{
		"me":  {Key: aws.String("to/")},
		"you": {Key: aws.String("anew/"), MetadataDirective: types.MetadataDirectiveReplace, Metadata: map[string]string{"who": "you"}},
	} {
		in.Bucket, in.CopySource = aws.String("lake"), aws.String("lake/from%20here/")
		copied, err := l.CopyObject(t.Context(), in)
		l.must(err)
		head, err := l.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key})
		l.must(err)
		if *head.ContentLength != 0 || head.Metadata["who"] != key || *copied.CopyObjectResult.ETag != *head.ETag {
			t.Errorf("%s has %d bytes, of %v", *in.Key, *head.ContentLength, head.Metadata)
		}
	}
	l.lists("", "", "anew/", "from here/", "from here/x", "to/")
}

// TestTheLastOfADirectoryIsDeletedBesideWritersOfOthers: a directory that a
// delete leaves empty goes, while others put objects into it.
func TestTheLastOfADirectoryIsDeletedBesideWritersOfOthers(t *testing.T) {
	l := newLake(t)
	const rounds = 60
	var work sync.WaitGroup
	do := func(name string, step func(ctx context.Context, key string) error) {
		work.Go(func() {
			for i := range rounds {
				if err := step(t.Context(), fmt.Sprintf("a/b/c/d/%s-%d", name, i)); err != nil {
					t.Errorf("%s %d: %v", name, i, err)
					return
				}
			}
		})
	}
	for n := range 4 {
		do(fmt.Sprint("object", n), func(ctx context.Context, key string) error {
			if err := l.put(ctx, key, key); err != nil {
				return fmt.Errorf("put: %w", err)
			}
			got, err := l.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String("lake"), Key: &key})
			if err != nil {
				return fmt.Errorf("get: %w", err)
			}
			defer got.Body.Close()
			if body, err := io.ReadAll(got.Body); string(body) != key {
				return fmt.Errorf("it holds %q: %w", body, err)
			}
			return l.delete(ctx, key)
		})
	}
	do("marker", func(ctx context.Context, _ string) error {
		return errors.Join(l.put(ctx, "a/b/c/d/", ""), l.delete(ctx, "a/b/c/d/"))
	})
	do("copy", func(ctx context.Context, key string) error {
		from := strings.Replace(key, "a/b/c/d/", "other/", 1)
		if err := l.put(ctx, from, "x"); err != nil {
			return err
		}
		if _, err := l.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: aws.String("lake"), Key: &key, CopySource: aws.String("lake/" + from)}); err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		return errors.Join(l.delete(ctx, key), l.delete(ctx, from))
	})
	do("parts", func(ctx context.Context, key string) error {
		upload, err := l.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: aws.String("lake"), Key: &key})
		if err != nil {
			return err
		}
		part, err := l.UploadPart(ctx, &awss3.UploadPartInput{Bucket: aws.String("lake"), Key: &key, UploadId: upload.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader([]byte("x"))})
		if err != nil {
			return err
		}
		if _, err := l.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{Bucket: aws.String("lake"), Key: &key, UploadId: upload.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}}}); err != nil {
			return fmt.Errorf("complete: %w", err)
		}
		return l.delete(ctx, key)
	})
	work.Wait()
	l.lists("", "")
}
