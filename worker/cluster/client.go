// Package cluster is the cluster as a verb or a job sees it: the coordinators, and of a
// pipeline its newest spec, its stream, its table and its model's versions, which lie in
// stores and brokers.
package cluster

import (
	"context"
	"encoding/json"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Connections resolves the connection names of specs; "" is the default one.
type Connections interface {
	// Bucket opens a bucket of a store.
	Bucket(ctx context.Context, connection, name string) (storage.Bucket, error)
	// Source opens a topic for reading.
	Source(name string, stream pipeline.Choice, what connectors.Reading) (connectors.Source, error)
	// EventSchemas returns a schema registry, and Key a key that values are hashed with.
	EventSchemas(name string) (event.Schemas, error)
	Key(name string) (table.Key, error)
	// Known lists them, and Reach tells how a store is reached, without secrets.
	Known() pipeline.Connections
	Reach(name string) endpoint.Store
}

// Client asks the coordinators, and the stores and brokers of the connections. It may be
// used concurrently.
type Client struct {
	*api.Client
	Conns       Connections // nil for a verb that uses no store
	StateBucket string      // its name
}

// State opens the bucket of checkpoints and of what runs leave.
func (c *Client) State(ctx context.Context) (storage.Bucket, error) {
	return c.Conns.Bucket(ctx, "", c.StateBucket)
}

// Checkpoint returns the verified files of a checkpoint, by their names.
func (c *Client) Checkpoint(ctx context.Context, ref thalweg.CheckpointRef) (map[string][]byte, error) {
	state, err := c.State(ctx)
	if err != nil {
		return nil, err
	}
	return checkpoint.Load(ctx, state, ref)
}

// Evaluation returns what the evaluation of a run has found.
func (c *Client) Evaluation(ctx context.Context, run *apiv1.Run) (*evaluation.Document, error) {
	ref, err := thalweg.ParseObjectRef(run.Outputs["evaluation"])
	if err != nil {
		return nil, err
	}
	state, err := c.State(ctx)
	if err != nil {
		return nil, err
	}
	data, err := checkpoint.GetObject(ctx, state, ref)
	if err != nil {
		return nil, err
	}
	found := new(evaluation.Document)
	return found, json.Unmarshal(data, found)
}

// Models returns what loads the versions that score.
func (c *Client) Models(ctx context.Context) (*engine.Registry, error) {
	state, err := c.State(ctx)
	if err != nil {
		return nil, err
	}
	models := engine.NewRegistry(state, catalog.All())
	models.Schemas, models.Keys = c.Conns.EventSchemas, c.Conns.Key
	return models, nil
}

// FetchSpec returns the newest spec of a pipeline, and its generation.
func (c *Client) FetchSpec(ctx context.Context, name string) (*pipeline.Spec, thalweg.Generation, error) {
	res, err := c.GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: name})
	if err != nil {
		return nil, 0, err
	}
	spec, err := pipeline.Parse(catalog.All(), name, []byte(res.Pipeline.RenderedSpec))
	return spec, thalweg.Generation(res.Pipeline.Generation), err
}

// Claims returns the places of all pipelines and of the cluster.
func (c *Client) Claims(ctx context.Context) ([]pipeline.Claim, error) {
	taken := []pipeline.Claim{{Use: pipeline.State, Kind: pipeline.StoreConnection, Bucket: c.StateBucket}}
	res, err := c.ListPipelines(ctx, &apiv1.ListPipelinesRequest{})
	if err != nil {
		return nil, err
	}
	for _, p := range res.Pipelines {
		spec, _, err := c.FetchSpec(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		taken = append(taken, spec.Claims()...)
	}
	return taken, nil
}
