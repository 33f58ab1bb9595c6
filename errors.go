package thalweg

import (
	"errors"
	"strings"
)

// Kind says what sort of failure an Error is, so that callers and the far end
// of an RPC can decide what to do. Numbers are written out and append-only:
// they cross the wire.
type Kind uint8

// The kinds of failure.
const (
	Other       Kind = 0  // anything else, a bug included
	Invalid     Kind = 1  // the input is wrong: say what and where
	NotFound    Kind = 2  // the named thing does not exist
	Exists      Kind = 3  // the named thing exists already
	Conflict    Kind = 4  // the state moved on: read again and decide anew
	Fenced      Kind = 5  // a newer lease holder exists: stop
	Unavailable Kind = 6  // try again later; the outcome may be unknown
	Corrupt     Kind = 7  // stored bytes are not what was written
	Exhausted   Kind = 8  // a bound was reached
	Unsupported Kind = 9  // a valid wish that this build cannot fulfil
	Canceled    Kind = 10 // the caller gave up
	Lost        Kind = 11 // data that should exist is gone (retention, deletion)

	Unauthenticated Kind = 12 // the caller did not prove who it is
	Forbidden       Kind = 13 // the caller is known, and may not do this
	Throttled       Kind = 14 // the caller asks too often: slower, it is served
)

var kindNames = [...]string{"error", "invalid", "not found", "already exists", "conflict", "fenced",
	"unavailable", "corrupt", "exhausted", "not supported", "canceled", "lost",
	"not authenticated", "permission denied", "too many requests"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Other]
}

// Transient reports whether the same request may succeed later without anybody
// having changed anything. Who has to go on without end, as a stream has, may
// have reasons to try again after other kinds too; they are written there.
func (k Kind) Transient() bool { return k == Unavailable || k == Throttled }

// Error is the one error type of Thalweg. Op is what was being done ("read
// shard"), Subject the thing it was done to (object, row group, column,
// offset, field), Hint what an operator can do about it, Err the cause.
type Error struct {
	Op      string `json:"op"`
	Kind    Kind   `json:"kind"`
	Subject string `json:"subject"`
	Hint    string `json:"hint,omitempty"`
	Err     error  `json:"-"`
}

func (e *Error) Error() string {
	var b strings.Builder
	part := func(s string) {
		if s == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(s)
	}
	part(e.Op)
	part(e.Subject)
	if e.Err != nil {
		part(e.Err.Error())
	} else {
		part(e.Kind.String())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost *Error in err's chain whose kind is
// not Other.
func KindOf(err error) Kind {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return Other
		}
		if e.Kind != Other {
			return e.Kind
		}
		err = e.Err
	}
	return Other
}

// Is reports whether err is of the given kind.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// IsTransient reports whether err is of a transient kind.
func IsTransient(err error) bool { return err != nil && KindOf(err).Transient() }
