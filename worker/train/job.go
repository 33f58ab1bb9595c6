// Package train turns rows into a model. What it computes is a pure function of
// the job: which worker computes which replica, how often a replica moves, whether
// rows are spilled to disk and whether training is resumed cannot change a bit of
// the result. What is computed is said by an algorithm of pipeline/optim. See
// DESIGN.md.
package train

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/privacy"
)

const (
	// MaxReplicas bounds the replicas of a run: each has its own buffers, and
	// every worker reads a note from each in every round.
	MaxReplicas  = 1024
	maxBatchSize = 1 << 20
	// These keep the numbers of exchanges and steps within an int64.
	maxEpochs    = 1 << 20
	maxSyncEvery = 1 << 30
)

// Job says what to train. It must be the same on all workers of a run, apart
// from Resume.
type Job struct {
	Run thalweg.RunID
	// Trainer is the spec's, with every default filled in.
	Trainer pipeline.Trainer
	Model   *model.Model
	// Metrics are those that the trainer can name, entries of the catalog.
	Metrics []pipeline.Entry
	// Threshold is the probability from which a binary prediction is true, for the
	// validation metrics.
	Threshold float64
	// Optimize is the metric by which the threshold is chosen instead, on the
	// validation rows of the best epoch; empty: it is not.
	Optimize string
	// Start is the parameters, in the label's unit, that training starts from; nil: those
	// of Model.Init.
	Start []float32
	// Noise is what private training draws from, and nothing else does.
	Noise privacy.Source
	// MostWeight is the largest weight of a training row; 0: rows have no weights. The
	// weights' mean is 1, or not far below.
	MostWeight float64
	Shards     int // of Rows
	Rows       Rows
	// Input identifies what the rows are made of (the dataset's manifest, the
	// split, the transform, and what Start is of), so that workers that see different rows refuse each
	// other, and a checkpoint of other rows is refused.
	Input string
	// Resume is the parts of the newest checkpoint of this run, or nil.
	Resume map[string][]byte
}

// Config bounds what training takes of its machine. It has no influence on the
// result.
type Config struct {
	// Dir is where rows are spilled; default os.TempDir().
	Dir string
	// MemoryBytes bounds the rows kept in memory; the others are spilled to Dir.
	// Default 1 GiB.
	MemoryBytes int64
	// Parallelism is how many replicas, or shards, are worked on at once. Default:
	// as many as Go uses processors.
	Parallelism int
	// CheckpointShare is the part of the time, below 1, that checkpoints at ends of epochs may
	// take, where steps_per_checkpoint does not ask for more: after each there is none until
	// that share is kept again. The last is always saved. 0: each epoch has one.
	CheckpointShare float64
	// Yield is called before each block of rows that is worked on, by several goroutines, and
	// returns when that may go on, or when ctx ends. Nil: at once.
	Yield func(ctx context.Context)
	// Logger names the run, and gets what happens in it at DEBUG: the stage has a line of
	// its own. Default none.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Dir = cmp.Or(c.Dir, os.TempDir())
	c.MemoryBytes = cmp.Or(c.MemoryBytes, 1<<30)
	c.Parallelism = cmp.Or(c.Parallelism, runtime.GOMAXPROCS(0))
	if c.Yield == nil {
		c.Yield = func(context.Context) {}
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Hooks is how training reports, and is held up. All may be nil. They are called from one
// goroutine each, never at the same time as themselves.
type Hooks struct {
	// Ready is called before each exchange, and returns when training may go on with it, or
	// when ctx ends.
	Ready func(ctx context.Context)
	// Progress tells how far the replicas held by this worker are: after each
	// matrix built and each round. It must not block.
	Progress func(Progress)
	// Checkpoint is called, only where replica 0 is held, when a checkpoint is
	// due: at the end of epochs as Config.CheckpointShare says, and within epochs as
	// steps_per_checkpoint says. Training goes on when it returns, and fails when it fails.
	Checkpoint func(context.Context, *Checkpoint) error
}

// Progress is how far training is.
type Progress struct {
	Replicas []ReplicaProgress // those held by this worker
	Exchange uint64            // the number of the next one
	// Message is for people: "epoch 3/10, validation log_loss 0.4931".
	Message string
}

// ReplicaProgress counts the rows of one replica, over all epochs. Early
// stopping ends before RowsDone reaches RowsTotal.
type ReplicaProgress struct {
	Replica             int
	RowsDone, RowsTotal int64
}

// Checkpoint is training's state at the end of a round, and the model that it
// has found so far. Its memory must not be changed.
type Checkpoint struct {
	// Params is the model: the candidate of the epoch with the best validation
	// metric, or the parameters so far where no epoch has ended yet. They predict in
	// the label's unit.
	Params []float32
	// Parts are what Job.Resume takes: PartState.
	Parts map[string][]byte
	// Epochs is how many epochs have ended; Rounds how many rounds.
	Epochs   int
	Rounds   thalweg.Round
	Finished bool // this is the last checkpoint of the run
	// Metrics are the validation metrics of Params; empty without validation rows.
	Metrics map[string]float64
	Ledger  Ledger
	// LabelMeans is the mean of the training labels as rows weigh, of classes the share of
	// each; nil where all rows weigh the same.
	LabelMeans []float64
	// Spent is what private training has told of any one row so far; else nil.
	Spent *optim.Spent
}

// Result is what training found. It is the same on every worker that was there
// at the end.
type Result struct {
	Checkpoint     // the last one; its Params are the model
	BestEpoch  int // from 1, that Params come from
	// Improving: no epoch had a better validation metric than the last one, which says something
	// where the learning rate did not fall to nothing by then.
	Improving bool
	// Curve is what epochs lost: all of a short training, the last one of any.
	Curve []Loss
	// Stopped says why training ended: AllEpochsDone, "converged" or "no improvement of
	// log_loss in 3 epochs".
	Stopped string
}

// AllEpochsDone is why training ended that had not found its end by then.
const AllEpochsDone = "all epochs done"

// PartState is the part of a checkpoint that training writes and resumes from.
const PartState = "training.safetensors"

// Fingerprint identifies the job: workers exchange results only where it is
// equal, and a checkpoint is resumed only by the job that wrote it.
func (j Job) Fingerprint() string {
	data, err := json.Marshal(struct {
		Format    int
		Run       thalweg.RunID
		Trainer   pipeline.Trainer
		Model     string
		Loss      string
		Shape     any
		Threshold float64
		Optimize  string  `json:",omitempty"`
		Weight    float64 `json:",omitempty"`
		Shards    int
		Input     string
	}{formatVersion, j.Run, j.Trainer, j.Model.Type(), j.Model.Loss().Type(), j.Model.Shape(), j.Threshold, j.Optimize, j.MostWeight, j.Shards, j.Input})
	if err != nil {
		// Only a NaN or infinite hyperparameter cannot be written, and Validate
		// refuses those.
		data = fmt.Appendf(nil, "%v", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// weighs reports whether rows have weights.
func (j *Job) weighs() bool { return j.MostWeight > 0 }

// Validate reports the first thing wrong with a job. The optimizer's
// hyperparameters are checked where it is built.
func (j Job) Validate() error {
	t := j.Trainer
	for _, n := range []struct {
		name              string
		have, least, most int
	}{
		{"the count of shards", j.Shards, 1, math.MaxInt},
		{"trainer.batch_size", int(t.BatchSize), 1, maxBatchSize},
		{"trainer.epochs", int(t.Epochs), 1, maxEpochs},
		{"trainer.early_stop", t.EarlyStop, 0, math.MaxInt},
		{"trainer.steps_per_checkpoint", t.StepsPerCheckpoint, 0, math.MaxInt},
		{"trainer.distributed.replicas", int(t.Distributed.Replicas), 1, MaxReplicas},
		{"trainer.distributed.sync_every", int(t.Distributed.SyncEvery), 1, maxSyncEvery},
	} {
		if n.have < n.least || n.have > n.most {
			return invalid("%s is %d, not in %d to %d", n.name, n.have, n.least, n.most)
		}
	}
	switch {
	case j.Model == nil || j.Rows == nil:
		return invalid("a job needs a model and rows")
	case !(t.Regularization.L1 >= 0 && float32(t.Regularization.L1) < 1e30):
		return invalid("trainer.regularization.l1 is %v", t.Regularization.L1)
	case j.Start != nil && len(j.Start) != j.Model.Size():
		return invalid("training starts from %d parameters, the model has %d", len(j.Start), j.Model.Size())
	case !(j.MostWeight >= 0 && float32(j.MostWeight) <= math.MaxFloat32):
		return invalid("the largest weight of a row is %v", j.MostWeight)
	case !(t.Regularization.L2 >= 0 && float32(t.Regularization.L2) < 1e30):
		return invalid("trainer.regularization.l2 is %v", t.Regularization.L2)
	}
	label := j.Model.Loss().Answer().Type
	if metric.Find(j.Metrics, label, t.ValidationMetric) == nil {
		return invalid("trainer.validation_metric is %q, not one of %s", t.ValidationMetric, metric.Names(j.Metrics, label))
	}
	return nil
}

// opTrain is the operation that errors of this package name.
const opTrain = "train"

func invalid(format string, args ...any) error {
	return &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid, Err: fmt.Errorf(format, args...)}
}
