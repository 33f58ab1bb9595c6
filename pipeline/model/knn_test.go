package model

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

//go:embed testdata/neighbours.json
var neighboursText []byte

// knnOf returns a model of so many rows, of a type of label.
func knnOf(t *testing.T, label string, shape kernel.Shape, neighbours int, rows int64) *Model {
	t.Helper()
	m, err := knn(label, shape, neighbours, rows)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func knn(label string, shape kernel.Shape, neighbours int, rows int64) (*Model, error) {
	loss := pipeline.Choice{Options: new(CrossEntropy)}
	if label == Number {
		loss.Options = new(Squared)
	}
	loss, err := Bind(loss, labelsOf(label, loss.Options))
	if err != nil {
		return nil, err
	}
	return (&KNN{Neighbours: neighbours}).Keeping(rows).New(loss.Options.(Loss), shape)
}

func TestVotesAreThoseOfScikitLearn(t *testing.T) {
	var want struct {
		Neighbours, Rows, IDs int
		Numbers               [][]float32
		Categories            []uint32
		Labels                map[string][]float32
		Predictions           map[string][]float64
	}
	if err := json.Unmarshal(neighboursText, &want); err != nil {
		t.Fatal(err)
	}
	shape := kernel.Shape{Numbers: len(want.Numbers), NumberNames: []string{"a", "b", "c"}, Cardinalities: []int{want.IDs}, CategoryNames: []string{"d"}}
	for label, predictions := range want.Predictions {
		m := knnOf(t, label, shape, want.Neighbours, int64(want.Rows))
		all := &kernel.Block{Rows: len(want.Categories), Numbers: want.Numbers, Categories: [][]uint32{want.Categories}, Labels: want.Labels[label]}
		params := make([]float32, m.Size())
		for from := 0; from < want.Rows; from += 7 { // blocks of any size
			to := min(from+7, want.Rows)
			m.Remember(m.NewWorkspace(), params, from, rows(all, shape, from, to))
		}
		if err := m.CheckParams(params); err != nil {
			t.Error(err)
		}
		query := rows(all, shape, want.Rows, all.Rows)
		out := make([]float32, query.Rows*m.Outputs())
		m.Predict(m.NewPredictor(), params, query, out)
		for i, p := range predictions {
			if math.Abs(float64(out[i])-p) > 2e-6*(1+math.Abs(p)) {
				t.Errorf("%s, value %d: %v, scikit-learn has %v", label, i, out[i], p)
			}
		}
		// A row's bits do not depend on those beside it.
		for i := range query.Rows {
			one := make([]float32, m.Outputs())
			m.Predict(m.NewWorkspace(), params, rows(query, shape, i, i+1), one)
			if !equalBits(one, out[i*m.Outputs():][:m.Outputs()]) {
				t.Errorf("%s, row %d: %v alone", label, i, one)
			}
		}
		w := m.NewPredictor()
		m.Predict(w, params, query, out)
		if n := testing.AllocsPerRun(3, func() { m.Predict(w, params, query, out) }); n != 0 {
			t.Errorf("%v allocations a prediction", n)
		}
	}
}

func TestOfRowsThatAreEquallyFarTheFirstOnesVote(t *testing.T) {
	shape := kernel.Shape{Numbers: 1, NumberNames: []string{"x"}}
	const kept = 40
	b := &kernel.Block{Rows: kept, Numbers: [][]float32{make([]float32, kept)}, Labels: make([]float32, kept)}
	for i := range b.Labels {
		b.Labels[i] = float32(i)
		b.Numbers[0][i] = float32(1 - 2*(i%2)) // one as far to the left as the other to the right
	}
	m := knnOf(t, Number, shape, 3, kept)
	params := make([]float32, m.Size())
	m.Remember(m.NewWorkspace(), params, 0, b)
	out := make([]float32, 1)
	m.Predict(m.NewWorkspace(), params, &kernel.Block{Rows: 1, Numbers: [][]float32{{0}}}, out)
	if out[0] != 1 { // of rows 0, 1 and 2
		t.Errorf("the mean of the nearest is %v", out[0])
	}
	// Lists are numbers.
	lists := kernel.Shape{Lists: [][]int{{2}}, ListNames: []string{"l"}}
	m = knnOf(t, Number, lists, 1, 2)
	params = make([]float32, m.Size())
	m.Remember(m.NewWorkspace(), params, 0, &kernel.Block{Rows: 2, Lists: [][]float32{{1, 2, 3, 4}}, Labels: []float32{5, 6}})
	if m.Predict(m.NewWorkspace(), params, &kernel.Block{Rows: 1, Lists: [][]float32{{2, 4}}}, out); out[0] != 6 {
		t.Errorf("the label of the nearest list is %v", out[0])
	}
}

func TestNeighboursThatCannotBeAreRefused(t *testing.T) {
	numbers := kernel.Shape{Numbers: 3, NumberNames: []string{"a", "b", "c"}}
	for says, try := range map[string]func() (*Model, error){
		"2 training rows have no 5 neighbours":  func() (*Model, error) { return knn(Binary, numbers, 5, 2) },
		"at most 1048560 training rows":         func() (*Model, error) { return knn(Binary, numbers, 5, maxKept/4) },
		`terms such as those of "t"`:            func() (*Model, error) { return knn(Binary, everySlot, 5, 20) },
		"0 training rows have no":               func() (*Model, error) { return (&KNN{Neighbours: 5}).New(new(CrossEntropy), numbers) },
		"neighbours cannot minimise loss hinge": func() (*Model, error) { return (&KNN{Neighbours: 1}).Keeping(9).New(&hinge{}, numbers) },
	} {
		if _, err := try(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
	for label, wrong := range map[string]float32{Binary: 0.5, Category: 3, Number: -7} {
		m := knnOf(t, label, numbers, 1, 2)
		params := make([]float32, m.Size())
		params[m.Size()-1] = wrong
		if err := m.CheckParams(params); (err == nil) != (label == Number) {
			t.Errorf("%s: label %v: %v", label, wrong, err)
		}
	}
}

func BenchmarkNeighbours(b *testing.B) {
	shape := kernel.Shape{Numbers: 32}
	for i := range 32 {
		shape.NumberNames = append(shape.NumberNames, fmt.Sprint("x", i))
	}
	m, err := knn(Binary, shape, 5, 10_000)
	if err != nil {
		b.Fatal(err)
	}
	params := make([]float32, m.Size())
	m.Remember(m.NewWorkspace(), params, 0, sample(shape, Binary, 10_000))
	query, out, w := sample(shape, Binary, 512), make([]float32, 512), m.NewPredictor()
	for b.Loop() {
		m.Predict(w, params, query, out)
	}
	b.ReportMetric(512*10_000*float64(b.N)/b.Elapsed().Seconds(), "distances/s")
}
