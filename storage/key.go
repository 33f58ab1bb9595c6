package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/thalweg/thalweg"
)

// Bounds of a key. They are the strictest of the providers', so that a key
// that one accepts is accepted by all.
const (
	MaxKeyBytes     = 1024 // S3's own limit
	MaxSegmentBytes = 255  // NAME_MAX of the file systems below directory-backed stores
)

// ValidateKey reports whether key can be stored in every provider: 1 to
// MaxKeyBytes bytes of UTF-8 without control characters, in slash-separated
// segments of 1 to MaxSegmentBytes bytes, none of them "." or "..". The error
// is of kind Invalid and says which rule was broken.
func ValidateKey(key string) error {
	if why := keyFault(key); why != "" {
		return Failure("check key", thalweg.Invalid, key, errors.New(why))
	}
	return nil
}

func keyFault(key string) string {
	switch {
	case key == "":
		return "a key must not be empty"
	case len(key) > MaxKeyBytes:
		return fmt.Sprintf("a key has at most %d bytes, this one has %d", MaxKeyBytes, len(key))
	case !utf8.ValidString(key):
		return "a key must be UTF-8"
	}
	for _, c := range key {
		if c < 0x20 || c == 0x7f {
			return fmt.Sprintf("a key must not contain the control character %U", c)
		}
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch {
		case segment == "":
			return "a key must not begin or end with a slash or contain two in a row"
		case segment == "." || segment == "..":
			return fmt.Sprintf("a key must not contain the segment %q", segment)
		case len(segment) > MaxSegmentBytes:
			return fmt.Sprintf("a segment of a key has at most %d bytes, %.20q… has %d", MaxSegmentBytes, segment, len(segment))
		}
	}
	return ""
}

// quoteKey returns key for an error message, cut where it is absurdly long.
func quoteKey(key string) string {
	if len(key) > MaxKeyBytes {
		return strconv.Quote(key[:64]) + "…"
	}
	return strconv.Quote(key)
}

// SHA256 returns the sha256 of body as 64 hex digits, the form in which
// references and records carry it.
func SHA256(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
