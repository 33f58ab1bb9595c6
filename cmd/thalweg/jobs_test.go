package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/worker"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

// jobAsked returns a verb's command, and the client that it asks with.
func (c *jobCluster) jobAsked(ctx context.Context) (*cobra.Command, *cluster.Client) {
	c.t.Helper()
	if _, err := c.client.Apply(c.ctx, &apiv1.ApplyRequest{Spec: demoSpec(c.t), File: "flights.yaml"}); err != nil {
		c.t.Fatal(err)
	}
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	cmd.SetErr(c.t.Output())
	return cmd, &cluster.Client{Client: c.client}
}

// TestAJobIsDoneAgainWhenItsWorkerDies, and who asked gets the answer of the second.
func TestAJobIsDoneAgainWhenItsWorkerDies(t *testing.T) {
	t.Parallel()
	c := newJobCluster(t)
	c.kills["job begins"] = true
	cmd, client := c.jobAsked(c.ctx)
	for range 2 {
		c.work(nil)
	}
	var found work.Found
	if err := jobs.Ask(cmd, client, "flight-delays", "results", work.Results{}, &found); err != nil {
		t.Fatal(err)
	}
	if found.Files == nil || len(found.Files) > 0 || found.Table != "" {
		t.Errorf("of a stream that has scored nothing is found %+v", found)
	}
	list, err := c.client.ListJobs(c.ctx, &apiv1.ListJobsRequest{Pipeline: "flight-delays"})
	if err != nil || len(list.Jobs) != 1 || list.Jobs[0].State != "succeeded" || list.Jobs[0].Attempts < 2 || c.killed != 1 {
		t.Errorf("%d workers died, and the jobs are %v, %v", c.killed, list, err)
	}
}

// TestAnInterruptedVerbEndsItsJob: nobody waits for it any more.
func TestAnInterruptedVerbEndsItsJob(t *testing.T) {
	t.Parallel()
	c := newJobCluster(t)
	began, ended := make(chan struct{}), make(chan struct{})
	begin, end := sync.OnceFunc(func() { close(began) }), sync.OnceFunc(func() { close(ended) })
	c.jobs = func(ctx context.Context, _ *worker.Task) error {
		begin()
		<-ctx.Done()
		end()
		return ctx.Err()
	}
	ctx, interrupt := context.WithCancel(c.ctx)
	cmd, client := c.jobAsked(ctx)
	c.work(nil)
	asked := make(chan error, 1)
	go func() { asked <- jobs.Ask(cmd, client, "flight-delays", "fsck", work.Fsck{}, new(work.Verdict)) }()
	<-began
	interrupt()
	if err := <-asked; err == nil {
		t.Error("an interrupted verb has an answer")
	}
	<-ended
	list, err := c.client.ListJobs(c.ctx, &apiv1.ListJobsRequest{})
	if err != nil || len(list.Jobs) != 1 || list.Jobs[0].State != "canceled" {
		t.Errorf("the jobs are %v, %v", list, err)
	}
}

// TestAReaderWithoutKeysLooksAtRows: in a closed cluster, of which the workers alone have the
// store, a token of a role is all that looking takes.
func TestAReaderWithoutKeysLooksAtRows(t *testing.T) {
	t.Parallel()
	certs := t.TempDir()
	authority, err := pki.Create(filepath.Join(certs, "ca"), "prod", time.Now())
	for _, node := range [][2]string{{pki.Coordinator, "c1"}, {pki.Worker, "w1"}, {pki.User, "root"}} {
		if err == nil {
			err = authority.Issue(filepath.Join(certs, node[0]+"-"+node[1]), node[0], node[1], []string{"127.0.0.1"}, time.Now())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	c := newJobClusterOf(t, worker.Stages(), certs)
	bucket, err := c.store.Bucket(t.Context(), "", "lake")
	if err == nil {
		_, err = bucket.Put(t.Context(), "flights/a.parquet", rowsOf(t, 100, "id x", func(i int) []any { return []any{int64(i), float64(i) / 2} }))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.work(worker.Stages())
	applied, err := c.client.Apply(c.ctx, &apiv1.ApplyRequest{File: "rows.yaml", Spec: specOf("rows", `
  preprocessing: {clean: [{filter: {expression: "id % 2 == 0"}}]}
  output: {s3: {path: "s3://lake/rows/"}}
`)})
	if err != nil {
		t.Fatal(err)
	}
	learnt, err := c.client.Apply(c.ctx, &apiv1.ApplyRequest{File: "guess.yaml", Spec: specOf("guess", `
  input_features: [{name: id, type: number}]
  output_features: [{name: x, type: number}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{applied.RunId, learnt.RunId} {
		if _, err := terminal.Follow(c.ctx, c.client, t.Output(), run); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := os.ReadFile(filepath.Join(certs, "user-root", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	user := t.TempDir()
	put(t, filepath.Join(user, "ca.crt"), string(ca))
	as := func(token, role, pipeline, line string) (string, error) {
		t.Helper()
		secret := auth.NewSecret()
		if _, err := c.client.CreateToken(c.ctx, &apiv1.CreateTokenRequest{Name: token, Sha256: auth.Hash(secret), Role: role, Pipelines: []string{pipeline}}); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(user, "token"), secret)
		return runLine(t, line+" --certs "+user+" --coordinator "+c.address+" --token-file "+filepath.Join(user, "token"))
	}
	text, err := as("ada", "reader", "rows", "results rows --head 3")
	if lines := strings.Split(strings.TrimSpace(text), "\n"); err != nil || len(lines) != 3 || !strings.Contains(lines[1], `"id":2`) {
		t.Errorf("a reader sees %v\n%s", err, text)
	}
	if text, err = as("bob", "reader", "rows", "fsck rows"); err != nil || !strings.Contains(text, "50 rows") {
		t.Errorf("a reader's fsck: %v\n%s", err, text)
	}
	if text, err = as("dan", "reader", "guess", "models export guess --format onnx --into "+filepath.Join(user, "guess.onnx")); err != nil || !strings.Contains(text, "version 1 of guess") {
		t.Errorf("a reader exports: %v\n%s", err, text)
	}
	if text, err = as("fay", "reader", "guess", "models card guess"); err != nil || !strings.Contains(text, "# guess, version 1") || !strings.Contains(text, "| rmse |") {
		t.Errorf("a reader's card: %v\n%s", err, text)
	}
	if text, err = as("gil", "reader", "guess", `counterfactual guess --above 30 --row {"id":3}`); err != nil || !strings.Contains(text, "would be") {
		t.Errorf("a reader's counterfactual: %v\n%s", err, text)
	}
	if _, err = as("hal", "reader", "rows", "models card guess"); err == nil {
		t.Error("a reader of other pipelines has a card")
	}
	// A job of a pipeline of one's own reads nothing of another's.
	cmd := &cobra.Command{}
	cmd.SetContext(c.ctx)
	cmd.SetErr(t.Output())
	for kind, parameters := range map[string]any{"checkpoint": work.Checkpoint{Model: "guess", Version: "1"}, "evaluation": work.Evaluation{Run: learnt.RunId}} {
		if err := jobs.Ask(cmd, &cluster.Client{Client: c.client}, "rows", kind, parameters, new(any)); err == nil || !strings.Contains(err.Error(), "pipeline rows has none of that name") {
			t.Errorf("%s of another pipeline: %v", kind, err)
		}
	}
	if _, err = as("eve", "operator", "other", "results rows --head 3"); !thalweg.Is(err, thalweg.Forbidden) {
		t.Errorf("an operator of other pipelines: %v", err)
	}
	if _, err = as("cyd", "reader", "rows", "dlq replay rows"); !thalweg.Is(err, thalweg.Forbidden) || !strings.Contains(err.Error(), "operator") {
		t.Errorf("a reader replays dead letters: %v", err)
	}
}
