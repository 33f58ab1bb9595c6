package optim

import (
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// aWideModel is one of so many outputs, of a number and two hashed categories.
func aWideModel(t *testing.T, outputs int) *model.Model {
	t.Helper()
	choice, labels := pipeline.Choice{Name: "cross_entropy", Options: new(model.CrossEntropy)}, model.Labels{Type: model.Binary}
	if outputs > 1 {
		labels = model.Labels{Type: model.Category, Classes: []string{"a", "b", "c"}, Counts: []int64{1, 1, 1}}
	}
	loss, err := model.Bind(choice, labels)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(pipeline.Choice{Name: "linear", Options: new(model.Linear)}, loss, kernel.Shape{Numbers: 1, NumberNames: []string{"x"},
		Cardinalities: []int{5000, 999}, CategoryNames: []string{"a", "b"}, Lists: [][]int{{2}}, ListNames: []string{"l"}, Terms: []int{3000}, TermNames: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// batches yields batches of rows whose ids come again and again.
func batches(outputs, n int) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		random := rand.New(rand.NewPCG(3, 4))
		const rows = 32
		for range n {
			b := &kernel.Block{Rows: rows, Numbers: [][]float32{make([]float32, rows)}, Lists: [][]float32{make([]float32, 2*rows)},
				Categories: [][]uint32{make([]uint32, rows), make([]uint32, rows)}, Terms: [][][]kernel.Term{make([][]kernel.Term, rows)}, Labels: make([]float32, rows)}
			for i := range rows {
				b.Numbers[0][i], b.Lists[0][i] = float32(random.NormFloat64()), float32(random.NormFloat64())
				b.Categories[0][i], b.Categories[1][i] = uint32(random.IntN(1+random.IntN(5000))), uint32(random.IntN(999))
				b.Labels[i] = float32(random.IntN(max(2, outputs)))
				for id := random.Uint32N(900); id < 3000; id += 1 + random.Uint32N(900) {
					b.Terms[0][i] = append(b.Terms[0][i], kernel.Term{ID: id, Weight: float32(random.NormFloat64())})
				}
			}
			if !yield(Step{Block: b}, nil) {
				return
			}
		}
	}
}

func TestStepsOfWhatABatchTouchesAreThoseOfTheWholeModel(t *testing.T) {
	for _, outputs := range []int{1, 3} {
		for name, o := range map[string]Optimizer{"sgd": &SGD{LearningRate: 0.1}, "adagrad": &Adagrad{LearningRate: 0.1, Epsilon: 1e-10}} {
			m := aWideModel(t, outputs)
			trainer := &pipeline.Trainer{BatchSize: 32, Epochs: 1, Distributed: pipeline.DistributedSpec{SyncEvery: 50}}
			a, err := newAveraging(m, trainer, o)
			if err != nil {
				t.Fatal(err)
			}
			if !a.wide {
				t.Fatal("it is not wide")
			}
			var got [3][]float32
			for i := range got { // of what is touched, as the batch is and narrowed, and of all
				a.wide, a.narrows = i < 2, true
				memos := make([]any, 50)
				r := Replica{Workspace: m.NewWorkspace(), Rows: 1600, Gradient: make([]float32, m.Size()),
					Steps: func(_, _, _ int) iter.Seq2[Step, error] {
						return func(yield func(Step, error) bool) {
							k := 0
							for step := range batches(outputs, 50) {
								step.Memo, step.Reserve = &memos[k], func(int64) bool { return i == 1 }
								yield(step, nil)
								k++
							}
						}
					}}
				for k := range r.Gradient {
					r.Gradient[k] = 7 // anything may be in it
				}
				state := &State{Vector: make([]float32, a.Size())}
				for range 2 { // the second time from what was kept
					v, _, err := a.Contribute(&r, state, Round{Count: 1})
					if err != nil {
						t.Fatal(err)
					}
					state = &State{Vector: v.Float32}
				}
				got[i] = state.Vector
			}
			if !slices.Equal(got[0], got[2]) || !slices.Equal(got[1], got[2]) || kernel.Finite(got[0]) >= 0 {
				t.Errorf("%s, %d outputs: other bits", name, outputs)
			}
		}
	}
}

// What a step does not touch stays, whatever the optimizer keeps, and what it does
// touch follows from its gradient alone.
func TestAWideModelKeepsWhatABatchDoesNotTouch(t *testing.T) {
	for _, o := range []Optimizer{defaultAdam(), &Momentum{LearningRate: 0.1, Momentum: 0.9}} {
		m := aWideModel(t, 1)
		vector, gradient := make([]float32, m.Size()+o.StateSize(m.Size())), make([]float32, m.Size())
		for i := range vector {
			vector[i] = 0.5
		}
		before := slices.Clone(vector)
		touched := newTouched(m, o, vector, gradient)
		b := &kernel.Block{Categories: [][]uint32{{7, 7, 20}, {998, 0, 0}}, Terms: [][][]kernel.Term{{{{ID: 5, Weight: 1}, {ID: 9}}, nil, {{ID: 5, Weight: 2}}}}}
		tables := m.Tables()
		for j, column := range b.Categories {
			for _, id := range column {
				gradient[tables[j]+int(id)] = 0.25
			}
		}
		gradient[tables[2]+5] = 0.25
		params, grad, state := touched.take(b)
		o.Step(params, grad, state, 1)
		touched.put()
		moved := []int{}
		for i := range m.Size() {
			if gradient[i] != 0 {
				t.Errorf("gradient %d is not 0 after a step", i)
			}
			if vector[i] != before[i] {
				moved = append(moved, i)
			}
		}
		want := []int{0, tables[0] + 7, tables[0] + 20, tables[1], tables[1] + 998, tables[2] + 5, m.Size() - 3, m.Size() - 2, m.Size() - 1} // dense ones have a momentum
		if !slices.Equal(moved, want) {
			t.Errorf("%T moved %d, not %d", o, moved, want)
		}
	}
}
