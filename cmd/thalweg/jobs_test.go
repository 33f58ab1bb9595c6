package main

import (
	"context"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
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
	c.jobs = work.New(&cluster.Client{Client: c.client, Conns: c.store, StateBucket: "thalweg"}).Run
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
