package state

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
)

// Mutation is a command that somebody asks for, not the leader by itself. Its entry
// names the caller, and the state writes an audit record with it.
type Mutation interface {
	Command
	// concerns says what the mutation was about, given its answer; pipeline is empty
	// where it was no single one.
	concerns(a Answer) (pipeline thalweg.PipelineName, subject string)
}

// IsMutation reports whether a command is one that somebody asks for.
func IsMutation(c Command) bool {
	_, scheduled := c.(*StartScheduled) // it has a StartRun in it, but the leader starts it
	_, is := c.(Mutation)
	return is && !scheduled
}

// auditLog is the end of the audit log: the records that are not in the bucket yet.
type auditLog struct {
	Head    audit.Head     `json:"head,omitzero"`
	Records []audit.Record `json:"records,omitempty"` // the newest has the hash of Head
}

// AuditHead returns the number and the hash of the newest audit record.
func (s *State) AuditHead() audit.Head { return s.audit.Head }

// AuditRecords returns the newest audit records, oldest first: those before are in the
// bucket. The caller must not change them.
func (s *State) AuditRecords() []audit.Record { return s.audit.Records }

// auditFull says why a mutation cannot be recorded, nil if it can.
func (s *State) auditFull(c Command) *thalweg.Error {
	room := MaxAudit - len(s.audit.Records)
	if _, revokes := c.(*RevokeToken); !revokes { // a stolen token must not outlive a bucket
		room -= auditReserve
	}
	if room > 0 {
		return nil
	}
	return &thalweg.Error{Op: c.name(), Kind: thalweg.Exhausted, Subject: "audit log",
		Hint: fmt.Sprintf("%d records wait for the state bucket, and nothing is done unrecorded: see why the leader's log says that it cannot be written", len(s.audit.Records))}
}

// writeAudit appends the record of a mutation that was carried out or refused.
func (s *State) writeAudit(env envelope, c Mutation, a Answer) {
	pipeline, subject := c.concerns(a)
	sum := sha256.Sum256(env.Body)
	r := audit.Record{
		Seq: s.audit.Head.Seq + 1, TimeMS: s.timeMS, Index: s.index,
		Caller: audit.Caller{Kind: short(env.Caller.Kind), Name: short(env.Caller.Name), Role: short(env.Caller.Role),
			By: short(env.Caller.By), Remote: short(env.Caller.Remote), Request: short(env.Caller.Request)},
		Command: c.name(), Body: hex.EncodeToString(sum[:]),
		Pipeline: short(string(cmp.Or(a.Pipeline, pipeline))), Subject: short(subject),
		Previous: s.audit.Head.Hash,
	}
	switch {
	case a.Failure != nil:
		r.Outcome = a.Failure.Kind.String()
	case !a.Changed && a.Run == "" && a.Job == "":
		r.Outcome = audit.Unchanged
	}
	r.Hash = r.Sum()
	s.audit.Head = audit.Head{Seq: r.Seq, Hash: r.Hash}
	s.audit.Records = append(s.audit.Records, r)
}

// short cuts a text of an audit record to maxAuditText, at a rune boundary.
func short(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxAuditText)], "")
}

// restoreAudit checks the end of the audit log of a snapshot.
func (s *State) restoreAudit(l auditLog) error {
	if len(l.Records) > MaxAudit {
		return damaged("audit log", fmt.Errorf("%d records, at most %d are kept", len(l.Records), MaxAudit))
	}
	if len(l.Records) > 0 {
		head := audit.Head{Seq: l.Records[0].Seq - 1, Hash: l.Records[0].Previous}
		for _, r := range l.Records {
			var err error
			if head, err = head.Next(r); err != nil {
				return damaged("audit log", err)
			}
		}
		if head != l.Head {
			return damaged("audit log", fmt.Errorf("it ends with record %d, %s, and not with %d, %s", head.Seq, head.Hash, l.Head.Seq, l.Head.Hash))
		}
	}
	if (l.Head.Seq == 0) != (l.Head.Hash == "") {
		return damaged("audit log", errors.New("its newest record is not known"))
	}
	s.audit = l
	return nil
}
