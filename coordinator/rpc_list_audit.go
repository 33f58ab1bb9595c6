package coordinator

import (
	"cmp"
	"context"
	"crypto/rand"
	"math"
	"slices"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/coordinator/audit/archive"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/storage"
)

const (
	auditPage, maxAuditPage = 100, 1000
	// auditAge is how old the oldest audit record in the log becomes before those there
	// are moved to the state bucket, and auditMany how many make it so before: an object
	// for each record would be many objects.
	auditAge  = 10 * time.Minute
	auditMany = archive.MaxRecords / 2
)

// ListAudit lists records page by page: those in the state bucket, and those in the
// state.
func (s *service) ListAudit(ctx context.Context, req *apiv1.ListAuditRequest) (*apiv1.ListAuditResponse, error) {
	resp := &apiv1.ListAuditResponse{}
	var tail []audit.Record
	var cluster string
	if err := s.c.read(func(st *state.State) {
		tail, cluster = slices.Clone(st.AuditRecords()), st.Cluster()
		resp.HeadSeq, resp.HeadHash = st.AuditHead().Seq, st.AuditHead().Hash
	}); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, s.c.cfg.RecordsTimeout)
	defer cancel()
	size := int(min(cmp.Or(req.PageSize, auditPage), maxAuditPage))
	for r, err := range s.c.auditRecords(limited, cluster, tail, resp.HeadSeq, req) {
		if err != nil {
			return nil, unanswered(ctx, limited, err)
		}
		if !wantsRecord(req, r) {
			continue
		}
		if len(resp.Records) == size {
			resp.Next = resp.Records[size-1].Seq
			break
		}
		resp.Records = append(resp.Records, recordView(r))
	}
	return resp, nil
}

// auditRecords yields the records after that of the request, or before it backwards,
// as they are: a chain, if nobody changed it.
func (c *Coordinator) auditRecords(ctx context.Context, cluster string, tail []audit.Record, head uint64, req *apiv1.ListAuditRequest) func(func(audit.Record, error) bool) {
	kept := head + 1 // the first record in the state
	if len(tail) > 0 {
		kept = tail[0].Seq
	}
	archived := func(from uint64, yield func(audit.Record, error) bool) bool {
		if kept <= 1 || cluster == "" || from == 0 {
			return true
		}
		b, err := c.cfg.Records(ctx)
		if err != nil {
			return yield(audit.Record{}, err)
		}
		for r, err := range archive.Records(ctx, b, cluster, from, req.NewestFirst) {
			// The leader may have died between writing an object and dropping its records.
			if err == nil && r.Seq >= kept {
				continue
			}
			if !yield(r, err) {
				return false
			}
		}
		return true
	}
	return func(yield func(audit.Record, error) bool) {
		if req.NewestFirst {
			before := cmp.Or(req.After, math.MaxUint64)
			for _, r := range slices.Backward(tail) {
				if r.Seq < before && !yield(r, nil) {
					return
				}
			}
			archived(min(before, kept)-1, yield)
			return
		}
		if req.After+1 < kept && !archived(req.After+1, yield) {
			return
		}
		for _, r := range tail {
			if r.Seq > req.After && !yield(r, nil) {
				return
			}
		}
	}
}

// wantsRecord reports whether a request asks for a record.
func wantsRecord(req *apiv1.ListAuditRequest, r audit.Record) bool {
	is := func(wanted, has string) bool { return wanted == "" || wanted == has }
	return is(req.Caller, r.Caller.Name) && is(req.Command, r.Command) && is(req.Pipeline, r.Pipeline) &&
		r.TimeMS >= req.FromUnixMs && (req.ToUnixMs == 0 || r.TimeMS < req.ToUnixMs)
}

func recordView(r audit.Record) *apiv1.AuditRecord {
	return &apiv1.AuditRecord{Seq: r.Seq, AtUnixMs: r.TimeMS, Index: r.Index, Kind: r.Caller.Kind, Caller: r.Caller.Name, Role: r.Caller.Role,
		By: r.Caller.By, Remote: r.Caller.Remote, RequestId: r.Caller.Request, Command: r.Command, BodySha256: r.Body,
		Pipeline: r.Pipeline, Subject: r.Subject, Outcome: r.Outcome, Previous: r.Previous, Hash: r.Hash}
}

// manyAuditRecords reports whether those in the log are enough for an object.
func (c *Coordinator) manyAuditRecords() (many bool) {
	c.replica.view(func(s *state.State) { many = len(s.AuditRecords()) >= auditMany })
	return many
}

// moveAudit moves audit records to the state bucket once they are many or old, and
// then drops them: what fails in between is done again, by this leader or the next.
func (c *Coordinator) moveAudit(ctx context.Context) error {
	var tail []audit.Record
	cmd := &state.DropAudit{}
	c.replica.view(func(s *state.State) {
		tail = slices.Clone(s.AuditRecords())
		cmd.Cluster = cmp.Or(s.Cluster(), rand.Text())
	})
	if len(tail) == 0 || len(tail) < auditMany && c.cfg.Now().Sub(time.UnixMilli(tail[0].TimeMS)) < auditAge {
		return nil
	}
	var b storage.Bucket
	var err error
	if b, err = c.cfg.Records(ctx); err != nil {
		return err
	}
	for len(tail) > 0 {
		if cmd.Upto, err = archive.Put(ctx, b, cmd.Cluster, tail); err != nil {
			return err
		}
		if _, err := c.propose(cmd); err != nil {
			return err
		}
		tail = tail[cmd.Upto.Seq-tail[0].Seq+1:]
	}
	return nil
}
