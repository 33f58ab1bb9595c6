package cluster

import (
	"context"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/worker/product"
)

// Table is the table of a pipeline that writes cleaned rows.
type Table struct {
	product.Table
	Spec *pipeline.Spec
}

// FetchTable finds the table of a pipeline, without its bucket; nil if its spec writes none.
func (c *Client) FetchTable(ctx context.Context, name string) (*Table, error) {
	spec, _, err := c.FetchSpec(ctx, name)
	if err != nil || spec.Trains() {
		return nil, err
	}
	o := spec.Spec.Output
	t := &Table{product.Table{Owner: thalweg.PipelineName(name), Use: product.CleanedRows}, spec}
	t.Name, t.Prefix, err = pipeline.SplitS3Path(o.S3.Path)
	return t, err
}

// OpenTable is FetchTable with the bucket.
func (c *Client) OpenTable(ctx context.Context, name string) (*Table, error) {
	t, err := c.FetchTable(ctx, name)
	if t != nil && err == nil {
		t.Bucket, err = c.Conns.Bucket(ctx, t.Spec.Spec.Output.Connection, t.Name)
	}
	return t, err
}
