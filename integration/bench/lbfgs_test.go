package bench

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/optimize"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/worker/train"
)

// lbfgsIterations bounds the peer of BenchmarkQuality; it stops by itself
// well before where it converges.
const lbfgsIterations = 100

// logistic is the same model as the pipeline's, on all rows at once, in
// float64: a bias, a weight a number, a weight a category value.
type logistic struct {
	numbers [][]float32
	ids     [][]uint32
	offsets []int // of each category's weights; the bias is the last parameter
	labels  []float32
	size    int
}

// newLogistic gathers the rows of one split.
func newLogistic(tb testing.TB, f *flights, part uint8) *logistic {
	tb.Helper()
	shape := f.fitted.Shape()
	l := &logistic{numbers: make([][]float32, shape.Numbers), ids: make([][]uint32, len(shape.Cardinalities)), size: shape.Numbers}
	for _, n := range shape.Cardinalities {
		l.offsets = append(l.offsets, l.size)
		l.size += n
	}
	l.size++
	for shard := range f.manifest.Shards {
		check(tb, (*trainingRows)(f).each(tb.Context(), shard, func(batch *train.Batch) error {
			l.append(batch.Block, batch.Split, part)
			return nil
		}))
	}
	return l
}

func (l *logistic) append(b *kernel.Block, parts []uint8, part uint8) {
	for i, p := range parts {
		if p != part {
			continue
		}
		for k := range l.numbers {
			l.numbers[k] = append(l.numbers[k], b.Numbers[k][i])
		}
		for j := range l.ids {
			l.ids[j] = append(l.ids[j], b.Categories[j][i])
		}
		l.labels = append(l.labels, b.Labels[i])
	}
}

func (l *logistic) predict(x []float64, i int) float64 {
	z := x[l.size-1]
	for k, column := range l.numbers {
		z += x[k] * float64(column[i])
	}
	for j, column := range l.ids {
		z += x[l.offsets[j]+int(column[i])]
	}
	return 1 / (1 + math.Exp(-z))
}

// loss returns the mean log loss with a little L2, and its gradient in grad
// where that is not nil.
func (l *logistic) loss(grad, x []float64) (loss float64) {
	const l2 = 1e-6
	clear(grad)
	n := float64(len(l.labels))
	for i, y := range l.labels {
		p := l.predict(x, i)
		loss -= math.Log(max(1e-15, math.Abs(1-float64(y)-p))) / n
		if grad == nil {
			continue
		}
		d := (p - float64(y)) / n
		for k, column := range l.numbers {
			grad[k] += d * float64(column[i])
		}
		for j, column := range l.ids {
			grad[l.offsets[j]+int(column[i])] += d
		}
		grad[l.size-1] += d
	}
	for i, w := range x[:l.size-1] {
		loss += l2 / 2 * w * w
		if grad != nil {
			grad[i] += l2 * w
		}
	}
	return loss
}

// lbfgs fits the peer by Gonum's L-BFGS and measures it on the test split.
func (f *flights) lbfgs(tb testing.TB) map[string]float64 {
	tb.Helper()
	training := newLogistic(tb, f, split.Train)
	result, err := optimize.Minimize(optimize.Problem{
		Func: func(x []float64) float64 { return training.loss(nil, x) },
		Grad: func(grad, x []float64) { training.loss(grad, x) },
	}, make([]float64, training.size), &optimize.Settings{MajorIterations: lbfgsIterations}, &optimize.LBFGS{})
	if err != nil && result == nil {
		tb.Fatal(err)
	}
	test := newLogistic(tb, f, split.Test)
	sums, err := metric.New(metric.Catalog(), pipeline.Answer{Type: f.plan.Label.Answer, Threshold: f.plan.Label.Threshold})
	check(tb, err)
	predictions := make([]float32, len(test.labels))
	for i := range predictions {
		predictions[i] = float32(test.predict(result.X, i))
	}
	sums.Observe(predictions, test.labels)
	return sums.Values()
}
