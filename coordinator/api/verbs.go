package api

import (
	"context"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// Apply accepts a spec: a changed one becomes the next generation and starts a
// run. A spec with errors is Invalid and its text lists them all.
func (c *Client) Apply(ctx context.Context, req *apiv1.ApplyRequest) (*apiv1.ApplyResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.Apply, req, 0)
}

// ListPipelines lists the pipelines in order of their names.
func (c *Client) ListPipelines(ctx context.Context, req *apiv1.ListPipelinesRequest) (*apiv1.ListPipelinesResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.ListPipelines, req, 0)
}

// GetPipeline returns one pipeline with its rendered spec.
func (c *Client) GetPipeline(ctx context.Context, req *apiv1.GetPipelineRequest) (*apiv1.GetPipelineResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.GetPipeline, req, 0)
}

// StartRun starts another run of a pipeline's newest generation; Exists while
// one is going.
func (c *Client) StartRun(ctx context.Context, req *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.StartRun, req, 0)
}

// ListRuns lists runs, newest first, without their tasks.
func (c *Client) ListRuns(ctx context.Context, req *apiv1.ListRunsRequest) (*apiv1.ListRunsResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.ListRuns, req, 0)
}

// GetRun returns one run with its stages and tasks.
func (c *Client) GetRun(ctx context.Context, req *apiv1.GetRunRequest) (*apiv1.GetRunResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.GetRun, req, 0)
}

// CancelRun ends a run; Conflict if it has ended otherwise.
func (c *Client) CancelRun(ctx context.Context, req *apiv1.CancelRunRequest) (*apiv1.CancelRunResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.CancelRun, req, 0)
}

// ListModels lists models with their versions, oldest first, and aliases.
func (c *Client) ListModels(ctx context.Context, req *apiv1.ListModelsRequest) (*apiv1.ListModelsResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.ListModels, req, 0)
}

// Promote points an alias at a version.
func (c *Client) Promote(ctx context.Context, req *apiv1.PromoteRequest) (*apiv1.PromoteResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.Promote, req, 0)
}

// SetStream pauses or resumes a pipeline's stream.
func (c *Client) SetStream(ctx context.Context, req *apiv1.SetStreamRequest) (*apiv1.SetStreamResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.SetStream, req, 0)
}

// StreamStatus tells the position of each partition.
func (c *Client) StreamStatus(ctx context.Context, req *apiv1.StreamStatusRequest) (*apiv1.StreamStatusResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.StreamStatus, req, 0)
}

// Status tells the nodes, the leader and the workers. A node that knows no
// leader answers for itself.
func (c *Client) Status(ctx context.Context, req *apiv1.StatusRequest) (*apiv1.StatusResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.Status, req, 0)
}

// Poll is a worker's heartbeat: reports and progress go in, the leases that it
// holds come out. It waits up to WaitMs for them to differ from KnownLeases.
func (c *Client) Poll(ctx context.Context, req *apiv1.PollRequest) (*apiv1.PollResponse, error) {
	return call(ctx, c, apiv1.CoordinatorServiceClient.Poll, req, time.Duration(req.WaitMs)*time.Millisecond)
}
