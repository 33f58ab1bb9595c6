package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/thalweg/thalweg"
)

// This file holds what every provider does before it touches its store, so
// that the same call fails in the same way everywhere.

// MaxListPage is the most keys that a provider asks its store for at once:
// what S3 answers at most.
const MaxListPage = 1000

// Failure returns the error of an operation of a Bucket on key.
func Failure(op string, kind thalweg.Kind, key string, err error) error {
	return &thalweg.Error{Op: op, Kind: kind, Subject: quoteKey(key), Err: err}
}

// Begin checks what every operation on one key demands: a context that has not
// ended (Canceled) and a valid key (Invalid).
func Begin(ctx context.Context, op, key string) error {
	if err := Ended(ctx, op, key); err != nil {
		return err
	}
	if why := keyFault(key); why != "" {
		return Failure(op, thalweg.Invalid, key, errors.New(why))
	}
	return nil
}

// Ended returns the error of an operation whose context has ended, of kind
// Canceled, or nil while it has not.
func Ended(ctx context.Context, op, key string) error {
	if ctx.Err() == nil {
		return nil
	}
	return Failure(op, thalweg.Canceled, key, context.Cause(ctx))
}

// CheckRange reports, with Invalid, that length bytes at offset are not all
// within an object of sizeBytes bytes.
func CheckRange(key string, offset int64, length int, sizeBytes int64) error {
	if offset >= 0 && int64(length) <= sizeBytes && offset <= sizeBytes-int64(length) {
		return nil
	}
	return Failure("get range", thalweg.Invalid, key,
		fmt.Errorf("the %d bytes at %d are not within the object's %d", length, offset, sizeBytes))
}

// PrefixMatches reports whether any valid key can begin with prefix. Where
// none can, a listing is empty, and a provider need not show the prefix to its
// store, which may take a segment of ".." for a parent directory.
func PrefixMatches(prefix string) bool {
	slash := strings.LastIndexByte(prefix, '/')
	full, last := prefix[:max(slash, 0)], prefix[slash+1:]
	if full != "" && keyFault(full) != "" {
		return false
	}
	if strings.HasPrefix(prefix, "/") || len(prefix) >= MaxKeyBytes && keyFault(prefix) != "" {
		return false
	}
	return last == "" || last == "." || last == ".." || keyFault(last) == ""
}

// ValidateBucketName reports, with Invalid, a name that S3 would refuse: 3 to
// 63 lower-case letters, digits, dots and hyphens, a letter or digit at both
// ends, no two dots in a row.
func ValidateBucketName(name string) error {
	edge := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	ok := len(name) >= 3 && len(name) <= 63 && edge(name[0]) && edge(name[len(name)-1]) && !strings.Contains(name, "..")
	for i := range len(name) {
		ok = ok && (edge(name[i]) || name[i] == '.' || name[i] == '-')
	}
	if ok {
		return nil
	}
	return &thalweg.Error{Op: "check bucket name", Kind: thalweg.Invalid, Subject: quoteKey(name),
		Err: errors.New("a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit at both ends")}
}
