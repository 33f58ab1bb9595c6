package train

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// lane is what one goroutine needs to work on replicas, one after the other.
type lane struct {
	scratch   *scratch
	workspace *model.Workspace
	grad      []float32
	out       []float32
}

// learner is the arithmetic of a job: everything that a contribution is
// computed from, besides the rows and the state.
type learner struct {
	job       *Job
	optimizer optim.Optimizer
	layout    *layout
	params    int // length of the parameters
	size      int // and of the whole vector
	// weights are the parts of the parameters that regularization applies to, as
	// [from, to), adjacent ones joined.
	weights [][2]int
}

func newLearner(job *Job) (*learner, error) {
	optimizer, err := optim.New(job.Trainer.Optimizer)
	if err != nil {
		return nil, err
	}
	n := job.Model.Size()
	l := &learner{job: job, optimizer: optimizer, layout: newLayout(job.Model), params: n, size: n + optimizer.StateSize(n)}
	for _, v := range job.Model.Views() {
		if v.Bias {
			continue
		}
		from, to := v.Offset, v.Offset+v.Size()
		if k := len(l.weights) - 1; k >= 0 && l.weights[k][1] == from {
			l.weights[k][1] = to
		} else {
			l.weights = append(l.weights, [2]int{from, to})
		}
	}
	return l, nil
}

func (l *learner) newLane() *lane {
	m := l.job.Model
	return &lane{scratch: l.layout.newScratch(), workspace: m.NewWorkspace(), grad: make([]float32, l.params), out: make([]float32, validationRows*m.Outputs())}
}

// initial returns the vector that training starts from.
func (l *learner) initial() []float32 {
	v := make([]float32, l.size)
	l.job.Model.Init(v[:l.params], l.job.Trainer.Seed)
	return v
}

// contribution is what a replica gives to an exchange.
type contribution struct {
	weight float64
	vector []float32
	note   []byte
}

// descend makes a replica's local steps of one round: from the round's state,
// one step per block, each with the mean gradient of the block's rows. The
// contribution's weight is the count of rows, its note what used says.
func (l *learner) descend(ctx context.Context, ln *lane, m *matrix, p *plan, replica, epoch, round int, start []float32) (contribution, error) {
	trainer := &l.job.Trainer
	vector := make([]float32, l.size)
	copy(vector, start)
	params, state := vector[:l.params], vector[l.params:]
	l2 := float32(trainer.Regularization.L2)
	var u used
	for _, at := range m.blocks(trainer.Seed, replica, epoch, round, trainer.Distributed.SyncEvery) {
		if err := ctx.Err(); err != nil {
			return contribution{}, canceled(ctx)
		}
		b := &m.training[at]
		if err := m.store.open(b, ln.scratch, p.labels); err != nil {
			return contribution{}, err
		}
		u.loss += l.job.Model.Gradient(ln.workspace, params, &ln.scratch.Block, stepSeed(trainer.Seed, replica, epoch, at), ln.grad)
		if l2 > 0 {
			for _, w := range l.weights {
				kernel.AddScaled(ln.grad[w[0]:w[1]], params[w[0]:w[1]], l2)
			}
		}
		l.optimizer.Step(params, ln.grad, state, 1)
		u.tally.Add(b.tally)
	}
	if at := kernel.Finite(vector); at >= 0 || math.IsNaN(u.loss) || math.IsInf(u.loss, 0) {
		return contribution{}, &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid,
			Subject: fmt.Sprintf("run %s: replica %d: epoch %d, round %d", l.job.Run, replica, epoch+1, round+1),
			Err:     fmt.Errorf("%s is not finite any more", l.element(at)),
			Hint:    fmt.Sprintf("training diverged: lower trainer.optimizer.learning_rate, which is %v", trainer.Optimizer.LearningRate)}
	}
	return contribution{weight: float64(u.tally.Rows), vector: vector, note: u.encode()}, nil
}

// element names an element of the vector for people.
func (l *learner) element(at int) string {
	switch {
	case at < 0:
		return "the loss"
	case at >= l.params:
		return fmt.Sprintf("element %d of the optimizer's state", at-l.params)
	}
	for _, v := range l.job.Model.Views() {
		if at < v.Offset+v.Size() {
			return fmt.Sprintf("element %d of %s", at-v.Offset, v.Name)
		}
	}
	return fmt.Sprintf("parameter %d", at)
}

// evaluate computes a replica's validation metrics of params, which predict in
// the label's units. The note is the accumulator's JSON.
func (l *learner) evaluate(ctx context.Context, ln *lane, m *matrix, replica, epoch int, params []float32) (contribution, error) {
	a, err := l.accumulator()
	if err != nil {
		return contribution{}, err
	}
	for i := range m.validation {
		if err := ctx.Err(); err != nil {
			return contribution{}, canceled(ctx)
		}
		b := &m.validation[i]
		if err := m.store.open(b, ln.scratch, model.Scale{}); err != nil {
			return contribution{}, err
		}
		out := ln.out[:b.rows*l.job.Model.Outputs()]
		l.job.Model.Predict(ln.workspace, params, &ln.scratch.Block, out)
		if kernel.Finite(out) >= 0 {
			return contribution{}, &thalweg.Error{Op: opTrain, Kind: thalweg.Invalid,
				Subject: fmt.Sprintf("run %s: replica %d: validation of epoch %d", l.job.Run, replica, epoch+1),
				Err:     fmt.Errorf("a prediction is not finite"),
				Hint:    "training diverged: lower trainer.optimizer.learning_rate"}
		}
		a.Observe(out, ln.scratch.Labels)
	}
	note, err := json.Marshal(a)
	return contribution{note: note}, err
}

func (l *learner) accumulator() (metric.Accumulator, error) {
	return metric.New(string(l.job.Model.Loss().Label()), l.job.Threshold)
}

// inUnits returns parameters that predict in the label's units.
func (l *learner) inUnits(params []float32, labels model.Scale) []float32 {
	out := slices.Clone(params)
	l.job.Model.Rescale(out, labels)
	return out
}

// used is the rows of a replica's round and the sum of their losses.
type used struct {
	tally Tally
	loss  float64
}

// usedBytes is the size of an encoded used.
const usedBytes = 24

func (u used) encode() []byte {
	out := binary.LittleEndian.AppendUint64(make([]byte, 0, usedBytes), uint64(u.tally.Rows))
	out = binary.LittleEndian.AppendUint64(out, uint64(u.tally.Digest))
	return binary.LittleEndian.AppendUint64(out, math.Float64bits(u.loss))
}

func decodeUsed(note []byte) (used, error) {
	if len(note) != usedBytes {
		return used{}, fmt.Errorf("%d bytes are no note of a round", len(note))
	}
	return used{
		tally: Tally{Rows: int64(binary.LittleEndian.Uint64(note)), Digest: Digest(binary.LittleEndian.Uint64(note[8:]))},
		loss:  math.Float64frombits(binary.LittleEndian.Uint64(note[16:])),
	}, nil
}

// canceled is the error of a job that its context ended.
func canceled(ctx context.Context) error {
	return &thalweg.Error{Op: opTrain, Kind: thalweg.Canceled, Err: context.Cause(ctx)}
}
