package coordinator

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// What a cluster knew is known by a new one, on all nodes and after a restart; its
// tokens are above all that the lost one can have given.
func TestABackupIsRestoredIntoANewCluster(t *testing.T) {
	t.Parallel()
	lost := newCluster(t, 1, nil)
	client := lost.client()
	run := lost.apply(client, "flights", 1).RunId
	dismiss := lost.employ(newRobot(lost, "w1", nil))
	lost.awaitRun(client, run)
	dismiss()
	going := lost.apply(client, "others", 2).RunId // nobody has taken it up
	backup, err := client.Backup(lost.ctx(), &apiv1.BackupRequest{})
	if err != nil {
		t.Fatal(err)
	}
	models, err := client.ListModels(lost.ctx(), &apiv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}

	c := newCluster(t, 3, nil)
	client = c.client()
	for what, flawed := range map[string][]byte{
		"empty": {}, "cut": backup.Backup[:len(backup.Backup)-1], "flipped": flipped(backup.Backup), "other": []byte("PAR1"),
	} {
		_, err := client.Restore(c.ctx(), &apiv1.RestoreRequest{Backup: flawed})
		wantKind(t, what, err, thalweg.Corrupt)
	}
	res, err := client.Restore(c.ctx(), &apiv1.RestoreRequest{Backup: backup.Backup})
	if err != nil || res.Pipelines != 2 || res.Models != 1 || res.NewestUnixMs == 0 {
		t.Fatalf("restored: %v, %v", res, err)
	}
	// Who lost the answer asks again, of another leader too, and another backup is refused.
	c.stop(c.leader())
	if again, err := client.Restore(c.ctx(), &apiv1.RestoreRequest{Backup: backup.Backup}); err != nil || !proto.Equal(again, res) {
		t.Errorf("asked again: %v, %v; want %v", again, err, res)
	}
	other, err := client.Backup(c.ctx(), &apiv1.BackupRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Restore(c.ctx(), &apiv1.RestoreRequest{Backup: other.Backup})
	wantKind(t, "another backup", err, thalweg.Conflict)
	records, err := client.ListAudit(c.ctx(), &apiv1.ListAuditRequest{Command: "restore"})
	if err != nil || len(records.Records) != 1 {
		t.Errorf("the audit log: %v, %v; want one record of the restore", records, err)
	}
	again, err := client.ListModels(c.ctx(), &apiv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(models, again) {
		t.Errorf("models were %v and are %v", models, again)
	}
	w := newRobot(c, "w9", nil)
	c.employ(w)
	if run := c.awaitRun(client, going); run.State != "succeeded" {
		t.Errorf("the run that was going ended: %v", run)
	}
	c.eventually("the new worker scores", func() bool {
		l := w.leases()
		return len(l) > 0 && l[0].Token > 1<<32
	})
	c.sameState()
}

func flipped(data []byte) []byte {
	other := bytes.Clone(data)
	other[len(other)/2] ^= 4
	return other
}

// A node without space refuses what users want by name, answers what they ask, and
// lets workers keep what they hold.
func TestANodeWithoutSpaceOnlyReads(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	c := newCluster(t, 1, func(cfg *Config) {
		cfg.FreeBytes = func(string) (int64, error) {
			if full.Load() {
				return 1 << 20, nil
			}
			return 1 << 40, nil
		}
	})
	client := c.client()
	run := c.apply(client, "flights", 1).RunId
	w := newRobot(c, "w1", nil)
	c.employ(w)
	c.awaitRun(client, run)
	c.eventually("it scores", func() bool { return len(w.leases()) == 3 })
	full.Store(true)
	_, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
	wantKind(t, "without space", err, thalweg.Exhausted)
	if err == nil || !strings.Contains(err.Error(), "n1") || !strings.Contains(err.Error(), "free space") {
		t.Errorf("the refusal: %v", err)
	}
	if _, err := client.GetPipeline(c.ctx(), &apiv1.GetPipelineRequest{Name: "flights"}); err != nil {
		t.Errorf("a read: %v", err)
	}
	told := w.answers()
	c.eventually("its worker polls on", func() bool { return w.answers() >= told+3 })
	if n := len(w.leases()); n != 3 {
		t.Errorf("the worker holds %d leases", n)
	}
	full.Store(false)
	started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
	if err != nil {
		t.Fatal(err)
	}
	if run := c.awaitRun(client, started.RunId); run.State != "succeeded" {
		t.Errorf("the run ended: %v", run)
	}
}
