package model_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

func newLinear(t *testing.T, label string, shape kernel.Shape) *model.Model {
	t.Helper()
	m, err := model.New(pipeline.Choice{Name: "linear", Options: new(model.Linear)}, lossOf(label), shape)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wave returns n parameters that are neither equal nor large.
func wave(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(math.Sin(float64(i)*1.7)) * 0.5
	}
	return v
}

// shapes are blocks with none, one, and odd and even counts of each slot.
var shapes = []kernel.Shape{
	{Numbers: 1, NumberNames: []string{"a"}},
	{Cardinalities: []int{3}, CategoryNames: []string{"c"}},
	{Numbers: 2, NumberNames: []string{"a", "b"}, Cardinalities: []int{3, 1}, CategoryNames: []string{"c", "d"}},
	{Lists: [][]int{{2, 3}}, ListNames: []string{"l"}},
	{Numbers: 1, NumberNames: []string{"a"}, Cardinalities: []int{4}, CategoryNames: []string{"c"}, Lists: [][]int{{5}, {2, 2, 2}}, ListNames: []string{"l", "m"}},
	{Numbers: 3, NumberNames: []string{"a", "b", "x"}, Cardinalities: []int{5, 2, 7}, CategoryNames: []string{"c", "d", "e"}},
	{Terms: []int{3}, TermNames: []string{"t"}},
	{Cardinalities: []int{4}, CategoryNames: []string{"c"}, Terms: []int{9, 2}, TermNames: []string{"t", "u"}, Lists: [][]int{{2}}, ListNames: []string{"l"}},
	flightShape(),
}

// reference is the loss of a linear model in float64, and its prediction of
// each row.
func reference(m *model.Model, params []float64, b *kernel.Block) (loss float64, predictions []float64) {
	shape := m.Shape()
	for i := range b.Rows {
		z := params[len(params)-1]
		at := 0
		for k := range shape.Numbers {
			z += params[at] * float64(b.Numbers[k][i])
			at++
		}
		for j, n := range shape.Cardinalities {
			z += params[at+int(b.Categories[j][i])]
			at += n
		}
		for t, n := range shape.Terms {
			for _, term := range b.Terms[t][i] {
				z += params[at+int(term.ID)] * float64(term.Weight)
			}
			at += n
		}
		for l, dimensions := range shape.Lists {
			n := kernel.Elements(dimensions)
			for _, x := range b.Lists[l][i*n : (i+1)*n] {
				z += params[at] * float64(x)
				at++
			}
		}
		y := float64(b.Labels[i])
		if m.Loss().For() == model.Binary {
			loss += math.Log1p(math.Exp(z)) - y*z
			z = 1 / (1 + math.Exp(-z))
		} else {
			loss += (z - y) * (z - y) / 2
		}
		predictions = append(predictions, z)
	}
	return loss, predictions
}

// TestLinearModelIsItsFormula compares with the formula in float64: the loss,
// its slope at each parameter, and the predictions.
func TestLinearModelIsItsFormula(t *testing.T) {
	for _, label := range []string{"binary", "number"} {
		for _, shape := range shapes {
			m := newLinear(t, label, shape)
			b, w := randomBlock(shape, 600, 7), m.NewWorkspace()
			params := wave(m.Size())
			grad := make([]float32, m.Size())
			loss := m.Gradient(w, params, b, 0, grad)

			exact := make([]float64, len(params))
			for i, w := range params {
				exact[i] = float64(w)
			}
			want, predictions := reference(m, exact, b)
			if math.Abs(loss/want-1) > 1e-5 {
				t.Errorf("%s, %d parameters: loss %v, want %v", label, m.Size(), loss, want)
			}
			const h = 1e-5
			for i := range exact {
				w := exact[i]
				exact[i] = w + h
				up, _ := reference(m, exact, b)
				exact[i] = w - h
				down, _ := reference(m, exact, b)
				exact[i] = w
				if slope := (up - down) / (2 * h) / float64(b.Rows); math.Abs(slope-float64(grad[i])) > 5e-6*(1+math.Abs(slope)) {
					t.Errorf("%s, %d parameters: gradient %d is %v, slope %v", label, m.Size(), i, grad[i], slope)
				}
			}
			out := make([]float32, b.Rows)
			m.Predict(w, params, b, out)
			for i := range out {
				if math.Abs(float64(out[i])-predictions[i]) > 1e-5 {
					t.Fatalf("%s: prediction %d is %v, want %v", label, i, out[i], predictions[i])
				}
			}
		}
	}
}

func TestViewsCoverTheVectorOnce(t *testing.T) {
	m := newLinear(t, "binary", flightShape())
	var names []string
	next := 0
	for _, v := range m.Views() {
		if v.Offset != next {
			t.Errorf("view %s begins at %d, not %d", v.Name, v.Offset, next)
		}
		next += v.Size()
		names = append(names, v.Name)
		if v.Bias != (v.Name == "bias") {
			t.Errorf("view %s: bias is %v", v.Name, v.Bias)
		}
	}
	if next != m.Size() {
		t.Errorf("the views hold %d of %d parameters", next, m.Size())
	}
	want := []string{"number.distance.weight", "category.origin.weight", "category.destination.weight",
		"category.hour.weight", "category.weekday.weight", "bias"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	params := wave(m.Size())
	if v, ok := model.Find(m, "category.weekday.weight"); !ok || len(v.Of(params)) != 8 || &v.Of(params)[0] != &params[v.Offset] {
		t.Errorf("view %+v does not alias its part", v)
	}
	if _, ok := model.Find(m, "nothing"); ok {
		t.Error("found a view that is not there")
	}
}

func TestRescaledModelPredictsTheLabelsUnits(t *testing.T) {
	shape := shapes[3]
	m := newLinear(t, "number", shape)
	b := randomBlock(shape, 100, 9)
	params := wave(m.Size())
	before, after := make([]float32, b.Rows), make([]float32, b.Rows)
	w := m.NewWorkspace()
	m.Predict(w, params, b, before)
	m.Rescale(params, m.Loss().Scale(250, 40))
	m.Predict(w, params, b, after)
	for i := range before {
		if want := float64(before[i])*40 + 250; math.Abs(float64(after[i])-want) > 1e-3 {
			t.Fatalf("row %d: %v, want %v", i, after[i], want)
		}
	}
}

func TestNewRefusesWhatItCannotBuild(t *testing.T) {
	shape := flightShape()
	huge := flightShape()
	huge.Cardinalities[0] = model.MaxSize
	unnamed := flightShape()
	unnamed.NumberNames = nil
	for _, test := range []struct {
		model any
		label string
		shape kernel.Shape
		kind  thalweg.Kind
		says  string
	}{
		{nil, "binary", shape, thalweg.Unsupported, `"chosen"`},
		{new(model.Linear), "category", shape, thalweg.Unsupported, `"category"`},
		{new(model.Linear), "binary", kernel.Shape{}, thalweg.Invalid, "no input slots"},
		{new(model.Linear), "binary", huge, thalweg.Invalid, `"origin"`},
		{new(model.Linear), "binary", unnamed, thalweg.Invalid, "0 of 1"},
		{new(model.Linear), "binary", kernel.Shape{Lists: [][]int{{1 << 20, 1 << 20}}, ListNames: []string{"l"}}, thalweg.Invalid, `"l" has dimensions`},
		{new(model.Linear), "binary", kernel.Shape{Terms: []int{0}, TermNames: []string{"t"}}, thalweg.Invalid, `terms "t" have 0 ids`},
		{new(model.Linear), "binary", kernel.Shape{Terms: []int{3}}, thalweg.Invalid, `names 0 of 1 term slots`},
		{new(model.Linear), "binary", kernel.Shape{Cardinalities: []int{0}, CategoryNames: []string{"c"}}, thalweg.Invalid, `"c" has 0 ids`},
	} {
		_, err := model.New(pipeline.Choice{Name: "chosen", Options: test.model}, lossOf(test.label), test.shape)
		if !thalweg.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%T, %s: error %v, want %v saying %s", test.model, test.label, err, test.kind, test.says)
		}
	}
}

func TestWrongShapesPanic(t *testing.T) {
	m := newLinear(t, "binary", flightShape())
	b, w := randomBlock(flightShape(), 4, 1), m.NewWorkspace()
	params := wave(m.Size())
	unlabelled := *b
	unlabelled.Labels = nil
	for name, f := range map[string]func(){
		"short params":        func() { m.Predict(w, params[1:], b, make([]float32, 4)) },
		"short grad":          func() { m.Gradient(w, params, b, 0, params[1:]) },
		"short output":        func() { m.Predict(w, params, b, make([]float32, 3)) },
		"no labels":           func() { m.Gradient(w, params, &unlabelled, 0, wave(m.Size())) },
		"other block":         func() { m.Predict(w, params, randomBlock(shapes[0], 4, 1), make([]float32, 4)) },
		"rescaled logistic":   func() { m.Rescale(params, model.Scale{Deviation: 1}) },
		"id beyond its table": func() { b.Categories[3][0] = 99; m.Predict(w, params, b, make([]float32, 4)) },
		"other's workspace":   func() { m.Predict(newLinear(t, "binary", flightShape()).NewWorkspace(), params, b, make([]float32, 4)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
