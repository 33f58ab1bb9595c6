package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/audit"
)

// kept answers with records as a cluster does, three to a page, and with the head that
// its state has.
type kept struct {
	records []audit.Record
	head    audit.Head
}

func (k kept) ListAudit(_ context.Context, req *apiv1.ListAuditRequest) (*apiv1.ListAuditResponse, error) {
	res := &apiv1.ListAuditResponse{HeadSeq: k.head.Seq, HeadHash: k.head.Hash}
	for _, r := range k.records {
		switch {
		case r.Seq <= req.After:
		case len(res.Records) == 3:
			res.Next = res.Records[2].Seq
			return res, nil
		default:
			res.Records = append(res.Records, &apiv1.AuditRecord{Seq: r.Seq, AtUnixMs: r.TimeMS, Caller: r.Caller.Name, Command: r.Command, Previous: r.Previous, Hash: r.Hash})
		}
	}
	return res, nil
}

// chainOf returns records of callers, one after the other, and their head.
func chainOf(callers ...string) (k kept) {
	for i, name := range callers {
		r := audit.Record{Seq: uint64(i + 1), TimeMS: int64(i), Caller: audit.Caller{Name: name}, Command: "promote", Previous: k.head.Hash}
		r.Hash = r.Sum()
		k.records, k.head = append(k.records, r), audit.Head{Seq: r.Seq, Hash: r.Hash}
	}
	return k
}

// Whatever is done to whichever record is found, and the record is named.
func TestVerifyNamesTheFirstRecordThatIsNotWhatItWas(t *testing.T) {
	whole := chainOf("a", "b", "c", "d", "e", "f", "g", "h")
	if head, err := verify(t.Context(), whole, audit.Head{}); err != nil || head != whole.head {
		t.Fatalf("the whole log: %v, %v", head, err)
	}
	n := len(whole.records)
	for at := range n {
		for what, change := range map[string]func([]audit.Record) []audit.Record{
			"changed": func(r []audit.Record) []audit.Record {
				r[at].Caller.Name = "mallory"
				return r
			},
			"changed, with its hash": func(r []audit.Record) []audit.Record {
				r[at].Caller.Name = "mallory"
				r[at].Hash = r[at].Sum()
				return r
			},
			"removed":            func(r []audit.Record) []audit.Record { return slices.Delete(r, at, at+1) },
			"cut off from there": func(r []audit.Record) []audit.Record { return r[:at] },
			"in another's place": func(r []audit.Record) []audit.Record {
				next := (at + 1) % n
				r[at], r[next] = r[next], r[at]
				return r
			},
			"written anew to end": func(r []audit.Record) []audit.Record { return rewritten(r, at) },
		} {
			k := kept{change(slices.Clone(whole.records)), whole.head}
			_, err := verify(t.Context(), k, audit.Head{})
			if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "record ") {
				t.Errorf("record %d %s: %v", at+1, what, err)
			}
		}
	}
}

// rewritten changes a record and all hashes after it.
func rewritten(records []audit.Record, at int) []audit.Record {
	records[at].Caller.Name = "mallory"
	for i := at; i < len(records); i++ {
		if i > 0 {
			records[i].Previous = records[i-1].Hash
		}
		records[i].Hash = records[i].Sum()
	}
	return records
}

// Who can change the state too is found out by a hash that was noted elsewhere.
func TestANotedHashFindsALogThatWasWrittenAnew(t *testing.T) {
	whole := chainOf("a", "b", "c", "d", "e")
	for noted := range whole.records {
		head := audit.Head{Seq: whole.records[noted].Seq, Hash: whole.records[noted].Hash}
		if _, err := verify(t.Context(), whole, head); err != nil {
			t.Errorf("the same log, of which record %d was noted: %v", noted+1, err)
		}
		other := chainOf("a", "mallory", "c", "d", "e")
		if _, err := verify(t.Context(), other, head); noted > 0 != (err != nil) {
			t.Errorf("another log from record 2 on, of which record %d was noted: %v", noted+1, err)
		}
		shorter := chainOf("a", "b", "c", "d", "e")
		shorter.records = shorter.records[:noted]
		if noted > 0 {
			shorter.head = audit.Head{Seq: uint64(noted), Hash: shorter.records[noted-1].Hash}
		} else {
			shorter.head = audit.Head{}
		}
		if _, err := verify(t.Context(), shorter, head); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), fmt.Sprintf("record %d", noted+1)) {
			t.Errorf("a log that ends before record %d, which was noted: %v", noted+1, err)
		}
	}
}
