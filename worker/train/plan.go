package train

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// phase is what replicas contribute to an exchange.
type phase int

const (
	gather   phase = iota // facts of their rows
	learn                 // vectors of a round, to be reduced
	evaluate              // validation metrics of the epoch's candidate
)

// plan is what the exchanges of a run are about, known once the facts of all replicas are:
// exchange 0 gathers the facts, then each epoch is its rounds and an evaluation.
type plan struct {
	schedule optim.Schedule
	expected RowSet // the training split
	labels   model.Scale
	mean     float64 // of the labels as they are learned, weighed as rows are
	blocks   int     // of the largest replica
	// means are of the labels as rows weigh, of classes the share of each; nil where all weigh
	// the same.
	means []float64
}

// newPlan checks that the replicas' rows are the training split, each row once,
// and lays out the epochs.
func newPlan(job *Job, algorithm optim.Algorithm, all []facts) (*plan, error) {
	p := &plan{}
	division := division{shards: job.Shards, replicas: len(all)}
	var rows RowSet
	var labels metric.Moments
	var weights weightSums
	for replica, f := range all {
		rows.Add(f.Rows)
		labels.Merge(f.Labels)
		weights.merge(f.Weights)
		p.blocks = max(p.blocks, f.Blocks)
		switch {
		case !division.striped():
			p.expected.Add(f.Read) // each shard is read by one replica
		case replica == 0:
			p.expected = f.Read // every shard is read by every replica
		case f.Read != p.expected:
			return nil, &thalweg.Error{Op: opTrain, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("run %s: replica %d", job.Run, replica),
				Err:  fmt.Errorf("read %d training rows (%s) where replica 0 read %d (%s)", f.Read.Rows, f.Read.Digest, p.expected.Rows, p.expected.Digest),
				Hint: "the dataset changed while it was read"}
		}
	}
	if rows != p.expected {
		return nil, &thalweg.Error{Op: opTrain, Subject: fmt.Sprintf("run %s", job.Run),
			Err:  fmt.Errorf("the replicas hold %d rows (%s) of %d (%s)", rows.Rows, rows.Digest, p.expected.Rows, p.expected.Digest),
			Hint: "this is a bug in training: please report it"}
	}
	if rows.Rows == 0 {
		return nil, &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid, Subject: fmt.Sprintf("run %s", job.Run),
			Err: fmt.Errorf("there are no training rows"), Hint: "look at the filters, the split and the label's nulls"}
	}
	if p.schedule = algorithm.Schedule(p.blocks); p.schedule.Rounds < 1 || p.schedule.Passes < 1 {
		return nil, &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid, Subject: fmt.Sprintf("run %s", job.Run),
			Err:  fmt.Errorf("the algorithm's epoch has %d rounds and %d passes; both must be at least 1", p.schedule.Rounds, p.schedule.Passes),
			Hint: "this is a bug in the algorithm: please report it"}
	}
	loss := job.Model.Loss()
	if loss.For() != model.Number && labels.Squares == 0 {
		var all any = labels.Mean == 1
		if classes := loss.Answer().Classes; len(classes) > 0 {
			all = classes[0]
		}
		return nil, &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid, Subject: fmt.Sprintf("run %s", job.Run),
			Err:  fmt.Errorf("the label of all %d training rows is %v", labels.Count, all),
			Hint: "there is nothing to learn: look at the output's expression, the filters and the split"}
	}
	p.labels = loss.Scale(labels.Mean, math.Sqrt(labels.Squares/float64(labels.Count)))
	mean := labels.Mean
	if weights.Weights > 0 {
		mean, p.means = weights.Labels/weights.Weights, weights.means()
	}
	if p.mean = mean; p.labels != (model.Scale{}) {
		p.mean = (mean - labels.Mean) / p.labels.Deviation
	}
	return p, nil
}

// upcoming returns what the next exchange is about.
func (s *state) upcoming() (what phase, at optim.Round) {
	if s.plan == nil {
		return gather, optim.Round{}
	}
	rounds := s.plan.schedule.Rounds
	length := uint64(rounds + 1)
	at = optim.Round{Epoch: int((s.Sequence - 1) / length), Index: int((s.Sequence - 1) % length), Count: rounds}
	if at.Index == at.Count {
		return evaluate, at
	}
	return learn, at
}

// rowsDone returns how many rows of a replica the epochs have used, each counted
// once an epoch.
func (s *state) rowsDone(replica int) int64 {
	_, at := s.upcoming()
	rows := s.Facts[replica].Rows.Rows
	return int64(at.Epoch)*rows + rows*int64(at.Index)/int64(at.Count)
}
