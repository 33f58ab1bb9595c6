package train

import (
	"context"
	"iter"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The values of Batch.Split that training reads, as pipeline/split assigns them.
// Rows with any other value (the test split, rows without a label) are ignored.
const (
	Training   uint8 = 0
	Validation uint8 = 1
	Unused     uint8 = 255
)

// Rows reads the cleaned and transformed rows of a dataset.
//
// Reading a shard twice, on any worker, must yield the same rows in the same
// order, however they are cut into batches. Read may be called concurrently for
// different shards.
type Rows interface {
	// Read yields every row of a shard in order, and ends with its first error.
	Read(ctx context.Context, shard int) iter.Seq2[*Batch, error]
}

// Batch is a run of consecutive rows of a shard. Its memory belongs to Rows
// and may be used again when the next one is asked for.
type Batch struct {
	// Block holds features and labels, and weights if the job says that rows have some.
	// Labels of Unused rows are not looked at, nor weights of rows but those of Training.
	Block *kernel.Block
	// Fill, unless it is nil, makes Block that of the rows that are marked, one after
	// the other: those of replicas that others hold need not be transformed.
	Fill func(keep table.Mask) error
	// Split is the split of each row.
	Split []uint8
	// Row names each row within its shard: the batch's column _row. No two rows
	// of a shard have the same.
	Row []int64
}
