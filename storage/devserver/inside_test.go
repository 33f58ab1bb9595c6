package devserver_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/thalweg/thalweg/storage/devserver"
)

// TestNoLinkLeadsOutOfABucket: neither one in the place of an object nor one in the
// place of a folder, to read, write, copy or delete.
func TestNoLinkLeadsOutOfABucket(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	server, _, _ := start(t, devserver.Config{Dir: dir})
	l := lake{awss3.New(awss3.Options{BaseEndpoint: aws.String("http://" + server.Endpoint()), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey(), server.SecretKey(), "")}), t}
	_, err := l.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("lake")})
	secret := filepath.Join(outside, "secret")
	l.must(err, l.put(t.Context(), "inside", "x"), os.WriteFile(secret, []byte("canary"), 0o600),
		os.Symlink(secret, filepath.Join(dir, "lake", "file")), os.Symlink(outside, filepath.Join(dir, "lake", "folder")))
	for _, key := range []string{"file", "folder/secret", "folder/sub/new"} {
		_, get := l.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("lake"), Key: &key})
		_, head := l.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("lake"), Key: &key})
		_, from := l.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("lake"), Key: aws.String("copy"), CopySource: aws.String("lake/" + key)})
		_, to := l.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("lake"), Key: &key, CopySource: aws.String("lake/inside")})
		for what, err := range map[string]error{"get": get, "head": head, "copy from": from, "copy to": to, "put": l.put(t.Context(), key, "y"), "delete": l.delete(t.Context(), key)} {
			if api, ok := errors.AsType[smithy.APIError](err); !ok || what != "head" && api.ErrorCode() != "AccessDenied" {
				t.Errorf("%s of %s: %v, want it to be refused", what, key, err)
			}
		}
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "canary" {
		t.Errorf("the file outside: %q, %v", data, err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside lie %v, %v", entries, err)
	}
}
