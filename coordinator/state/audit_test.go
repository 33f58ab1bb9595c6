package state

import (
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
)

// While no record can be moved away, mutations are carried out until there is no room
// for their records, and tokens can be revoked a bit longer.
func TestNothingIsChangedUnrecorded(t *testing.T) {
	s := New()
	index := uint64(0)
	apply := func(c Command) Answer {
		t.Helper()
		index++
		entry, err := EncodeFor(&audit.Caller{Kind: "user", Name: "ada"}, c, "", int64(index))
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Apply(index, entry)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	refused := func(c Command) bool { return thalweg.Is(apply(c).Err(), thalweg.Exhausted) }
	pause, revoke := &SetStream{Pipeline: "flights", Paused: true}, &RevokeToken{Name: "ci"}
	for n := range MaxAudit - auditReserve {
		if refused(pause) {
			t.Fatalf("mutation %d is refused", n+1)
		}
	}
	if !refused(pause) || len(s.AuditRecords()) != MaxAudit-auditReserve {
		t.Errorf("with %d records another is carried out", len(s.AuditRecords()))
	}
	for n := range auditReserve {
		if refused(revoke) {
			t.Fatalf("revocation %d is refused", n+1)
		}
	}
	if !refused(revoke) || len(s.AuditRecords()) != MaxAudit {
		t.Errorf("with %d records another token is revoked", len(s.AuditRecords()))
	}
	records := s.AuditRecords()
	upto := records[len(records)-2]
	apply(&DropAudit{Cluster: "c1", Upto: audit.Head{Seq: upto.Seq, Hash: upto.Hash}})
	if len(s.AuditRecords()) != 1 || refused(pause) || s.AuditHead().Seq != MaxAudit+1 {
		t.Errorf("with room again: %d records, head %v", len(s.AuditRecords()), s.AuditHead())
	}
}
