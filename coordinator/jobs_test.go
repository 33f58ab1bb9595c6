package coordinator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
)

// jobOf polls for a worker, and returns the lease of a job if it holds that.
func (c *cluster) jobOf(client *api.Client, worker, job string, progress ...*apiv1.Progress) *apiv1.Lease {
	c.t.Helper()
	res, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: worker, Incarnation: "i-" + worker, Slots: 1, Progress: progress})
	if err != nil {
		c.t.Fatal(err)
	}
	if i := slices.IndexFunc(res.Leases, func(l *apiv1.Lease) bool { return l.JobId == job }); i >= 0 {
		return res.Leases[i]
	}
	return nil
}

// TestAJobOfALostWorkerIsDoneByAnother, and its answer goes to whoever asks, over the
// coordinators.
func TestAJobOfALostWorkerIsDoneByAnother(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) {
		cfg.CollectEvery, cfg.LeaseTTL = 50*time.Millisecond, 3*time.Second // longer than a worker may be silent under load
	})
	client := c.client()
	c.apply(client, "flights", 1)
	_, err := client.StartJob(c.ctx(), &apiv1.StartJobRequest{Pipeline: "flihgts", Kind: "fsck"})
	wantKind(t, "a job of no pipeline", err, thalweg.NotFound)
	if !strings.Contains(err.Error(), "flights") {
		t.Errorf("the nearest name is not offered: %v", err)
	}
	_, err = client.StartJob(c.ctx(), &apiv1.StartJobRequest{Pipeline: "flights", Kind: "fsk"})
	wantKind(t, "a job of no kind", err, thalweg.Invalid)
	if !strings.Contains(err.Error(), "fsck") {
		t.Errorf("the nearest kind is not offered: %v", err)
	}
	_, err = client.StartJob(c.ctx(), &apiv1.StartJobRequest{Pipeline: "flights", Kind: "fsck", Parameters: strings.Repeat(" ", 64<<10) + "{}"})
	wantKind(t, "a job with more than 64 KiB of parameters", err, thalweg.Invalid)

	started, err := client.StartJob(c.ctx(), &apiv1.StartJobRequest{Pipeline: "flights", Kind: "fsck", Parameters: `{"at":"s3://lake/x/"}`})
	if err != nil {
		t.Fatal(err)
	}
	first := c.jobOf(client, "lost", started.JobId)
	if first == nil || first.Kind != "fsck" || first.Pipeline != "flights" || first.Parameters != `{"at":"s3://lake/x/"}` || first.RunId != "" {
		t.Fatalf("the first worker has %v", first)
	}
	var second *apiv1.Lease
	c.eventually("another worker has it", func() bool { second = c.jobOf(client, "w2", started.JobId); return second != nil })
	if second.Token <= first.Token {
		t.Errorf("its token is %d after %d", second.Token, first.Token)
	}
	c.jobOf(client, "w2", started.JobId, &apiv1.Progress{TaskId: second.TaskId, Token: second.Token, RowsDone: 3, RowsTotal: 7, Message: "reads"})
	got, err := client.GetJob(c.ctx(), &apiv1.GetJobRequest{JobId: started.JobId})
	if err != nil || got.Job.State != "running" || got.Job.Worker != "w2" || got.Job.Attempts != 2 || got.Job.Done != 3 || got.Job.Total != 7 || got.Job.Message != "reads" {
		t.Errorf("it is %v, %v", got, err)
	}
	_, err = client.ReadJob(c.ctx(), &apiv1.ReadJobRequest{JobId: started.JobId})
	wantKind(t, "the answer before there is one", err, thalweg.Conflict)

	text := strings.Repeat("x", stages.AnswerPartBytes) + "end"
	b, err := c.records(c.ctx())
	for part, data := range []string{text[:stages.AnswerPartBytes], "end"} {
		if err == nil {
			_, err = b.Put(c.ctx(), stages.AnswerPart(started.JobId, second.Token, int64(part)), []byte(data))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	report := func(worker string, l *apiv1.Lease, bytes int64) {
		t.Helper()
		if _, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: worker, Incarnation: "i-" + worker, Slots: 1, Reports: []*apiv1.TaskReport{{TaskId: l.TaskId, Token: l.Token,
			Outputs: map[string]string{stages.AnswerSHA256: strings.Repeat("a", 64)}, Counts: map[string]int64{stages.AnswerBytes: bytes}}}}); err != nil {
			t.Fatal(err)
		}
	}
	report("lost", first, 4711)
	report("w2", second, int64(len(text)))
	report("lost", first, 4711)
	got, err = client.GetJob(c.ctx(), &apiv1.GetJobRequest{JobId: started.JobId})
	if err != nil || got.Job.State != "succeeded" || got.Job.AnswerBytes != int64(len(text)) || got.Job.Worker != "w2" {
		t.Fatalf("it ended: %v, %v", got, err)
	}
	var read strings.Builder
	for part := range int64(2) {
		res, err := client.ReadJob(c.ctx(), &apiv1.ReadJobRequest{JobId: started.JobId, Part: part})
		if err != nil {
			t.Fatal(err)
		}
		read.Write(res.Data)
	}
	if read.String() != text {
		t.Errorf("the answer has %d bytes, not %d", read.Len(), len(text))
	}
	for _, part := range []int64{-1, 2} {
		_, err = client.ReadJob(c.ctx(), &apiv1.ReadJobRequest{JobId: started.JobId, Part: part})
		wantKind(t, "a part that there is not", err, thalweg.NotFound)
	}
	_, err = client.CancelJob(c.ctx(), &apiv1.CancelJobRequest{JobId: started.JobId})
	wantKind(t, "cancelling a job that has ended", err, thalweg.Conflict)

	// What no job has answered is removed.
	if _, err := b.Put(c.ctx(), stages.AnswerPart("flights-j1", 1, 0), []byte("old")); err != nil {
		t.Fatal(err)
	}
	c.eventually("answers of jobs that are not kept are removed", func() bool { return len(c.keys(stages.JobsDir)) == 2 })
}

// TestACanceledJobIsTakenFromItsWorker, and each is one record of the audit log.
func TestACanceledJobIsTakenFromItsWorker(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = time.Hour })
	client := c.client()
	c.apply(client, "flights", 1)
	started, err := client.StartJob(c.ctx(), &apiv1.StartJobRequest{Pipeline: "flights", Kind: "fsck"})
	if err != nil {
		t.Fatal(err)
	}
	if c.jobOf(client, "w1", started.JobId) == nil {
		t.Fatal("no worker has it")
	}
	if _, err := client.CancelJob(c.ctx(), &apiv1.CancelJobRequest{JobId: started.JobId}); err != nil {
		t.Fatal(err)
	}
	if l := c.jobOf(client, "w1", started.JobId); l != nil {
		t.Errorf("the worker goes on with %v", l)
	}
	list, err := client.ListJobs(c.ctx(), &apiv1.ListJobsRequest{Pipeline: "flights"})
	if err != nil || len(list.Jobs) != 1 || list.Jobs[0].State != "canceled" || list.Jobs[0].By != "user anyone" {
		t.Errorf("listed are %v, %v", list, err)
	}
	_, err = client.GetJob(c.ctx(), &apiv1.GetJobRequest{JobId: "flights-j1"})
	wantKind(t, "a job that there is not", err, thalweg.NotFound)
	for _, command := range []string{"start job", "cancel job"} {
		records, err := client.ListAudit(c.ctx(), &apiv1.ListAuditRequest{Command: command})
		if err != nil || len(records.Records) != 1 || records.Records[0].Pipeline != "flights" || !strings.Contains(records.Records[0].Subject, started.JobId) {
			t.Errorf("the audit log has of %q: %v, %v", command, records, err)
		}
	}
}

// TestEachKindOfJobTakesItsRole of who starts it, and of who cancels it.
func TestEachKindOfJobTakesItsRole(t *testing.T) {
	t.Parallel()
	c, _ := closed(t, 1)
	c.apply(c.client(), "flights", 1)
	for _, kind := range auth.JobKinds() {
		need, _ := auth.JobRole(kind)
		for _, name := range auth.RoleNames() {
			role, _ := auth.ParseRole(name)
			for _, scope := range []string{"flights", "other"} {
				client := c.as(kind+"-"+name+"-"+scope, name, scope)
				_, err := client.StartJob(c.ctx(), &apiv1.StartJobRequest{Pipeline: "flights", Kind: kind})
				if may := role >= need && scope == "flights"; may != (err == nil) || !may && !thalweg.Is(err, thalweg.Forbidden) {
					t.Errorf("%s of %s starts %s: %v", name, scope, kind, err)
				}
				list, err := c.client().ListJobs(c.ctx(), &apiv1.ListJobsRequest{})
				if err != nil || len(list.Jobs) == 0 {
					continue
				}
				_, err = client.CancelJob(c.ctx(), &apiv1.CancelJobRequest{JobId: list.Jobs[0].Id})
				if may := role >= need && scope == "flights"; list.Jobs[0].Kind == kind && (may == thalweg.Is(err, thalweg.Forbidden)) {
					t.Errorf("%s of %s cancels %s: %v", name, scope, kind, err)
				}
			}
		}
	}
}
