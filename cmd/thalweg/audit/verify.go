package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/worker/cluster"
)

// verifyPage is how many records are asked for at once.
const verifyPage = 1000

func newVerify(g *verb.Globals) *cobra.Command {
	var expect string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify that no record was changed, removed or moved",
		Long: "verify reads all records, in the state bucket and in the coordinators' state, computes the\n" +
			"hash of each anew, and names the first that is not what it was. The newest hash that it\n" +
			"prints can be noted elsewhere: --expect verifies later that the records up to it are the same.",
		Example: "  thalweg audit verify",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (a verb.Answer, err error) {
			var noted audit.Head
			if expect != "" {
				seq, hash, _ := strings.Cut(expect, ":")
				if noted.Seq, err = strconv.ParseUint(seq, 10, 64); err != nil || len(hash) != 64 {
					return a, terminal.UsageError("--expect", expect, "what verify has printed, such as 17:9f86d081…")
				}
				noted.Hash = hash
			}
			head, err := verify(cmd.Context(), c, noted)
			if err != nil {
				return a, err
			}
			return verb.Answer{Value: head, Table: func(w io.Writer) {
				fmt.Fprintf(w, "%d records, none changed, removed or moved; the newest is %d:%s\n", head.Seq, head.Seq, head.Hash)
			}}, nil
		}),
	}
	cmd.Flags().StringVar(&expect, "expect", "", "number and hash of a record that verify has printed before")
	return cmd
}

// lister is the call by which records are read.
type lister interface {
	ListAudit(ctx context.Context, req *apiv1.ListAuditRequest) (*apiv1.ListAuditResponse, error)
}

// verify reads the whole audit log and returns its head. noted is one that it had
// before, if any.
func verify(ctx context.Context, c lister, noted audit.Head) (audit.Head, error) {
	var head, kept audit.Head
	wrong := func(seq uint64, why string) (audit.Head, error) {
		return head, &thalweg.Error{Op: "verify audit log", Kind: thalweg.Corrupt, Subject: fmt.Sprintf("record %d", seq), Err: errors.New(why)}
	}
	for r, err := range records(ctx, c, &kept) {
		if err == nil {
			head, err = head.Next(r)
		}
		if err != nil {
			return head, err
		}
		if head.Seq == noted.Seq && head.Hash != noted.Hash {
			return wrong(head.Seq, "it is another than the one that was noted: the records up to it were replaced")
		}
	}
	switch {
	case head.Seq < noted.Seq:
		return wrong(head.Seq+1, "it is missing, as are all up to the one that was noted")
	case head.Seq < kept.Seq:
		return wrong(head.Seq+1, fmt.Sprintf("it is missing: the coordinators know of %d records", kept.Seq))
	case head != kept:
		return wrong(head.Seq, "it is another than the one that the coordinators know")
	}
	return head, nil
}

// records yields the audit log from its first record on, and notes the head that the
// coordinators know.
func records(ctx context.Context, c lister, kept *audit.Head) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		req := &apiv1.ListAuditRequest{PageSize: verifyPage}
		for {
			res, err := c.ListAudit(ctx, req)
			if err != nil {
				yield(audit.Record{}, err)
				return
			}
			*kept = audit.Head{Seq: res.HeadSeq, Hash: res.HeadHash}
			for _, r := range res.Records {
				if !yield(recordOf(r), nil) {
					return
				}
			}
			if req.After = res.Next; res.Next == 0 {
				return
			}
		}
	}
}

func recordOf(r *apiv1.AuditRecord) audit.Record {
	return audit.Record{Seq: r.Seq, TimeMS: r.AtUnixMs, Index: r.Index,
		Caller:  audit.Caller{Kind: r.Kind, Name: r.Caller, Role: r.Role, By: r.By, Remote: r.Remote, Request: r.RequestId},
		Command: r.Command, Body: r.BodySha256, Pipeline: r.Pipeline, Subject: r.Subject, Outcome: r.Outcome, Previous: r.Previous, Hash: r.Hash}
}
