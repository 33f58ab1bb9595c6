package worker

import (
	"context"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// runProfile lists the dataset, reads the footers, cuts it into shards and
// checks the spec against the columns that are really there.
func runProfile(ctx context.Context, j *job) error {
	spec, err := pipeline.Parse(j.lease.Pipeline+".yaml", []byte(j.lease.Spec))
	if err != nil {
		return err
	}
	bucket, pattern, err := j.worker.source(ctx, spec)
	if err != nil {
		return err
	}
	manifest, natural, err := dataset.Discover(ctx, bucket, pattern, dataset.DiscoverConfig{})
	if err != nil {
		return err
	}
	schema, err := table.FromArrow(natural)
	if err != nil {
		return err
	}
	if _, err := pipeline.Compile(spec, schema); err != nil {
		return err
	}
	j.report.Counts["shards"] = int64(len(manifest.Shards))
	j.report.Counts["objects"] = int64(len(manifest.Objects))
	j.report.Counts["rows"] = manifest.Rows
	return j.save(ctx, "manifest", "manifest", profiled{Manifest: manifest, Schema: schema})
}
