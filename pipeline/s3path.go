package pipeline

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
)

// SplitS3Path splits s3://bucket/key. The key may be empty. An error is
// thalweg.Invalid.
func SplitS3Path(p string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(p, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	if !ok || !isBucketName(bucket) {
		return "", "", &thalweg.Error{Op: "read path", Kind: thalweg.Invalid, Subject: strconv.Quote(p),
			Err: fmt.Errorf("not s3://bucket/key"), Hint: "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens"}
	}
	return bucket, key, nil
}

// isBucketName applies the naming rules of S3 that every store enforces.
func isBucketName(s string) bool {
	if len(s) < 3 || len(s) > 63 {
		return false
	}
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (c != '-' && c != '.' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return true
}
