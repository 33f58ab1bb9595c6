package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/train"
)

// extreme is the value farthest from 0 of those that a model reads, and its row.
type extreme struct {
	what  string
	value float32
	shard int
	row   int64 // of the shard
}

// reach takes a value if it is farther.
func (e *extreme) reach(what string, value float32, shard int, row int64) {
	if e.what == "" || math.Abs(float64(value)) > math.Abs(float64(e.value)) {
		*e = extreme{what, value, shard, row}
	}
}

// withExtremes adds to the error of a training that diverged which rows have the largest
// values, as one of them may be why. It reads all rows once more.
func (in *trainingInputs) withExtremes(ctx context.Context, err error) error {
	var of *thalweg.Error
	if !errors.As(err, new(*train.DivergedError)) || !errors.As(err, &of) {
		return err
	}
	extremes, failed := in.extremes(ctx)
	if failed != nil {
		return err // which says more than what kept its rows from being read
	}
	var found []string
	for _, e := range extremes {
		if e.what != "" {
			origin := in.manifest.Origin(e.shard)
			found = append(found, fmt.Sprintf("%s is %v in object %s, row %d", e.what, e.value, origin.Object, origin.First+e.row))
		}
	}
	out := *of
	out.Err = fmt.Errorf("%w; the values farthest from 0 that the model reads: %s", of.Err, strings.Join(found, "; "))
	out.Hint += ", or, if these rows are wrong, filter them out or clip them (outliers)"
	return &out
}

// extremes returns the extreme input of the model, and the extreme label.
func (in *trainingInputs) extremes(ctx context.Context) (of [2]extreme, err error) {
	shape := in.transform.Shape()
	for shard := range in.manifest.Shards {
		for batch, err := range in.Read(ctx, shard) {
			if err != nil {
				return of, err
			}
			keep := table.NewMask(len(batch.Split))
			var rows []int64
			for i, s := range batch.Split {
				if s == train.Training || s == train.Validation {
					keep.Set(i)
					rows = append(rows, balance.Original(batch.Row[i]))
				}
			}
			if err := batch.Fill(keep); err != nil {
				return of, err
			}
			for k, column := range batch.Block.Numbers {
				for i, v := range column {
					of[0].reach("feature "+shape.NumberNames[k], v, shard, rows[i])
				}
			}
			for k, list := range batch.Block.Lists {
				for i, v := range list {
					of[0].reach("feature "+shape.ListNames[k], v, shard, rows[i*len(rows)/len(list)])
				}
			}
			for i, v := range batch.Block.Labels {
				if len(in.transform.Label().Classes) == 0 && math.Abs(float64(v)) > 1 { // neither a class nor true or false
					of[1].reach("the label", v, shard, rows[i])
				}
			}
		}
	}
	return of, nil
}
