// Package audit is the form of the audit log: one record for each mutation that
// somebody asked for. Each record holds the hash of the one before, so that whoever
// knows the newest hash finds out when one was changed, removed or moved. The
// replicated state writes records, and anybody can check them.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
)

// Caller is who asked for a mutation.
type Caller struct {
	Kind string `json:"kind"` // user, worker or coordinator
	Name string `json:"name"`
	Role string `json:"role,omitempty"`
	// By is how the caller proved who it is: token, certificate or oidc; or loopback,
	// where nobody has to.
	By      string `json:"by"`
	Remote  string `json:"remote,omitempty"`  // host:port that it called from
	Request string `json:"request,omitempty"` // the request's id
}

// Record is one mutation that the log committed, refused ones included.
type Record struct {
	Seq    uint64 `json:"seq"`     // from 1, without a gap
	TimeMS int64  `json:"time_ms"` // of the log, since 1970 UTC
	Index  uint64 `json:"index"`   // of the log
	Caller Caller `json:"caller"`
	// Command is what was asked for, such as "apply spec"; Body is the sha256 of all that
	// the log has of it.
	Command string `json:"command"`
	Body    string `json:"body_sha256"`
	// Pipeline and Subject are what it was about; Pipeline is empty where it was no single
	// one.
	Pipeline string `json:"pipeline,omitempty"`
	Subject  string `json:"subject,omitempty"`
	// Outcome is empty where it was done, Unchanged where there was nothing to do, and else
	// the kind of the refusal.
	Outcome string `json:"outcome,omitempty"`
	// Previous is the hash of the record before; empty for the first.
	Previous string `json:"previous"`
	// Hash is the sha256 of the record's JSON without it.
	Hash string `json:"hash,omitempty"`
}

// Unchanged is the outcome of a mutation that changed nothing.
const Unchanged = "no change"

// Sum returns the hash that the record must have.
func (r Record) Sum() string {
	r.Hash = ""
	text, err := json.Marshal(r)
	if err != nil {
		panic("audit: a record of numbers and texts has no JSON: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Head is where a chain of records has come: the number of its newest record, and the
// hash of that. The zero head is that of the empty chain.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// Next checks that r is the record that follows, and returns the head with it. The
// error says what is wrong with r.
func (h Head) Next(r Record) (Head, error) {
	wrong := func(why string, args ...any) (Head, error) {
		return h, &thalweg.Error{Op: "verify audit log", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("record %d", h.Seq+1), Err: fmt.Errorf(why, args...)}
	}
	switch {
	case r.Seq > h.Seq+1:
		return wrong("it is missing: record %d follows record %d", r.Seq, h.Seq)
	case r.Seq <= h.Seq:
		return wrong("it is not in its place: there is record %d, again or late", r.Seq)
	case r.Hash != r.Sum():
		return wrong("it was changed: its sha256 is not the one that it has")
	case r.Previous != h.Hash:
		return wrong("it follows another record than the one before it, or that one was changed")
	}
	return Head{r.Seq, r.Hash}, nil
}

// Encode returns records as lines of JSON.
func Encode(records []Record) ([]byte, error) {
	var out []byte
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		out = append(append(out, line...), '\n')
	}
	return out, nil
}

// Decode is the inverse of Encode; Corrupt where a line is no record.
func Decode(lines []byte) (records []Record, err error) {
	for len(lines) > 0 {
		line, rest, whole := bytes.Cut(lines, []byte("\n"))
		var r Record
		err := thalweg.DecodeStrict(line, &r)
		if err == nil && !whole {
			err = errors.New("it is cut off")
		}
		if err != nil {
			return records, &thalweg.Error{Op: "read audit log", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("line %d", len(records)+1), Err: err}
		}
		records, lines = append(records, r), rest
	}
	return records, nil
}
