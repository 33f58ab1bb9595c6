package coordinator

import (
	"testing"
	"time"

	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/coordinator/audit/archive"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Many audit records are moved to the bucket at once, also where no tick of the leader's
// comes: a leader that does not live until its first, or changes that are more than a
// tick's, leave room for others.
func TestManyAuditRecordsAreMovedAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = time.Hour })
	client := c.client()
	c.canceledRuns(client, auditMany/2+8)
	kept := func() (kept int, head audit.Head, cluster string) {
		c.nodes[c.leader()].replica.view(func(s *state.State) {
			kept, head, cluster = len(s.AuditRecords()), s.AuditHead(), s.Cluster()
		})
		return kept, head, cluster
	}
	c.eventually("records are moved", func() bool {
		n, _, _ := kept()
		return n < auditMany
	})
	n, head, cluster := kept()
	b, err := c.records(c.ctx())
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for _, err := range archive.Records(c.ctx(), b, cluster, 1, false) {
		if err != nil {
			t.Fatal(err)
		}
		moved++
	}
	if uint64(moved+n) != head.Seq {
		t.Errorf("%d records are in the bucket and %d in the log; want %d in all", moved, n, head.Seq)
	}
}
