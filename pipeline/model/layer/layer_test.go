package layer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// layerRows is of how many rows layers are checked.
const layerRows = 21

// check holds a layer to its contract: the gradients by its parameters and its inputs are
// the slopes of a sum of its outputs, each times some weight, and it allocates nothing.
func check(t *testing.T, l Layer, block *kernel.Block, in []float32) {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 3))
	size := 0
	for _, v := range l.Views() {
		if v.Offset != size {
			t.Errorf("view %s begins at %d, not %d", v.Name, v.Offset, size)
		}
		size += v.Size()
	}
	params := make([]float32, size)
	l.Init(params, 7)
	again := make([]float32, size)
	if l.Init(again, 7); !slices.Equal(params, again) {
		t.Error("one seed gives two sets of parameters")
	}
	for i := range params {
		params[i] += float32(random.NormFloat64()) * 0.1
	}
	weights := make([]float32, layerRows*l.Outputs())
	for i := range weights {
		weights[i] = float32(random.NormFloat64())
	}
	var kept any
	c := &Chunk{Block: block, To: layerRows, In: in, Scratch: make([]float32, layerRows*l.Scratch()), Keep: &kept, Training: true, Seed: 9}
	out := make([]float32, layerRows*l.Outputs())
	sum := func() (s float64) {
		l.Forward(c, params, out)
		for i, v := range out {
			s += float64(v) * float64(weights[i])
		}
		return s
	}
	grad := make([]float32, size)
	if in != nil {
		c.InGrad = make([]float32, len(in))
	}
	step := func() {
		clear(grad)
		l.Forward(c, params, out)
		l.Backward(c, params, slices.Clone(weights), grad)
	}
	step()
	const h = 1.0 / 256
	for what, pair := range map[string][2][]float32{"parameter": {params, grad}, "input": {in, c.InGrad}} {
		for i, g := range slices.Clone(pair[1]) {
			v := pair[0][i]
			pair[0][i] = v + h
			up := sum()
			pair[0][i] = v - h
			down := sum()
			pair[0][i] = v
			if slope := (up - down) / (2 * h); math.Abs(slope-float64(g)) > 2e-3*(1+math.Abs(slope)) {
				t.Errorf("%s %d: gradient %v, slope %v", what, i, g, slope)
			}
		}
	}
	if p, ok := l.(InPlace); ok && p.InPlace() {
		for _, training := range []bool{true, false} {
			c.Training = training
			step()
			same, grads := *c, slices.Clone(weights)
			same.In, same.InGrad = slices.Clone(in), grads
			if l.Forward(&same, params, same.In); !slices.Equal(same.In, out) {
				t.Errorf("in place, training %v, its values are %v, not %v", training, same.In, out)
			}
			if l.Backward(&same, params, grads, grad); !slices.Equal(grads, c.InGrad) {
				t.Errorf("in place, training %v, its gradient is %v, not %v", training, grads, c.InGrad)
			}
		}
		c.Training = true
	}
	out2 := slices.Clone(weights)
	if n := testing.AllocsPerRun(3, func() {
		l.Forward(c, params, out)
		l.Backward(c, params, out2, grad)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// values are normal ones, away from corners at zero.
func values(n int) []float32 {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	v := make([]float32, n)
	for i := range v {
		x := random.NormFloat64() * 2
		v[i] = float32(x + math.Copysign(0.02, x))
	}
	return v
}

func TestEachActivationHasTheSlopeOfItsValues(t *testing.T) {
	for _, f := range Activations() {
		t.Run(f.Name, func(t *testing.T) { check(t, NewActivation(f, 5), nil, values(5*layerRows)) })
	}
}

func TestActivationsAreTheFunctionsOfTheirNames(t *testing.T) {
	in := append(values(999), 0, 30, -30, 100, -100, 1e-6, -1e-6)
	for name, of := range map[string]func(float64) float64{
		"relu":    func(x float64) float64 { return max(x, 0) },
		"sigmoid": func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		"tanh":    math.Tanh,
		"gelu":    func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) },
	} {
		f, ok := FindActivation(name)
		if !ok {
			t.Fatalf("no activation is called %s", name)
		}
		out, kept := make([]float32, len(in)), make([]float32, len(in))
		f.apply(out, in, kept)
		for i, x := range in {
			if want := of(float64(x)); math.Abs(float64(out[i])-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("%s of %v is %v, not %v", name, x, out[i], want)
			}
		}
	}
}

func TestDenseLayersHaveTheSlopesOfTheirValues(t *testing.T) {
	check(t, NewDense("d", 7, 3, 2), nil, values(7*layerRows))
	check(t, NewDense("d", 1, 40, 2), nil, values(layerRows))
}

func TestNormalizationsHaveTheSlopesOfTheirValues(t *testing.T) {
	check(t, NewLayerNorm("n", 6), nil, values(6*layerRows))
	check(t, NewBatchNorm("n", 6), nil, values(6*layerRows))
}

func TestLayerNormalizationIsOfARow(t *testing.T) {
	l, in, out := NewLayerNorm("n", 10), values(30), make([]float32, 30)
	params := make([]float32, 20)
	l.Init(params, 1)
	l.Forward(&Chunk{To: 3, In: in, Scratch: make([]float32, 33)}, params, out)
	for i := range 3 {
		if mean, deviation := moments(out[10*i : 10*i+10]); math.Abs(mean) > 1e-6 || math.Abs(deviation-1) > 1e-4 {
			t.Errorf("row %d has mean %v and deviation %v", i, mean, deviation)
		}
	}
}

func moments(v []float32) (mean, deviation float64) {
	for _, x := range v {
		mean += float64(x) / float64(len(v))
	}
	for _, x := range v {
		deviation += (float64(x) - mean) * (float64(x) - mean) / float64(len(v))
	}
	return mean, math.Sqrt(deviation)
}

// Predictions of a row do not depend on others: they go by the running means, which come
// near to those of the rows.
func TestBatchNormalizationPredictsByRunningMeans(t *testing.T) {
	const width = 3
	l, in, out := NewBatchNorm("n", width), values(width*layerRows), make([]float32, width*layerRows)
	for i := range in {
		in[i] += 5
	}
	params := make([]float32, 4*width)
	l.Init(params, 1)
	var kept any
	c := Chunk{To: layerRows, In: in, Scratch: make([]float32, width*layerRows), Keep: &kept, Training: true}
	for range 200 {
		l.Forward(&c, params, out)
		l.(Tracker).Track(&kept, params)
	}
	trained := slices.Clone(out)
	c.Training = false
	l.Forward(&c, params, out)
	for i, v := range out {
		if math.Abs(float64(v-trained[i])) > 0.05*(1+math.Abs(float64(v))) { // but for rows/(rows-1)
			t.Errorf("value %d is %v, in training %v", i, v, trained[i])
		}
	}
	single := make([]float32, width)
	l.Forward(&Chunk{To: 1, In: in[:width], Scratch: make([]float32, width), Keep: &kept, Training: true}, params, single)
	if !slices.Equal(single, out[:width]) {
		t.Errorf("a batch of one row has %v, its prediction is %v", single, out[:width])
	}
}

func TestTheFirstLayerReadsSlotsOfEachKind(t *testing.T) {
	shape := kernel.Shape{Numbers: 2, NumberNames: []string{"a", "b"}, Cardinalities: []int{3, 300}, CategoryNames: []string{"c", "d"},
		Lists: [][]int{{2, 2}}, ListNames: []string{"l"}, Terms: []int{6}, TermNames: []string{"t"}}
	random := rand.New(rand.NewPCG(5, 5))
	b := &kernel.Block{Rows: layerRows, Numbers: [][]float32{values(layerRows), values(layerRows)}, Lists: [][]float32{values(4 * layerRows)},
		Bytes: [][]uint8{make([]uint8, layerRows), nil}, Shorts: [][]uint16{nil, make([]uint16, layerRows)}, Terms: [][][]kernel.Term{make([][]kernel.Term, layerRows)}}
	for i := range layerRows {
		b.Bytes[0][i], b.Shorts[1][i] = uint8(random.IntN(3)), uint16(random.IntN(300))
		for id := range random.IntN(4) {
			b.Terms[0][i] = append(b.Terms[0][i], kernel.Term{ID: uint32(id), Weight: 0.5})
		}
	}
	check(t, NewInput(shape, 4, 2), b, nil)
	shape.Embeddings = []int{0, 3}
	check(t, NewInput(shape, 4, 2), b, nil)
	shape.Embeddings = []int{2, 9}
	check(t, NewInput(shape, 4, 2), b, nil)
	// Of large numbers a step of a frequency is no small part of a turn.
	near := *b
	near.Numbers = [][]float32{values(layerRows), values(layerRows)}
	for _, column := range near.Numbers {
		kernel.Scale(column, 0.1)
	}
	check(t, NewPeriodicInput(shape, 4, 2), &near, nil)
	shape.Embeddings = nil
	check(t, NewPeriodicInput(shape, 4, 2), &near, nil)
	wide := kernel.Shape{Lists: [][]int{{4}}, ListNames: []string{"l"}}
	check(t, NewInput(wide, 3, 2), &kernel.Block{Rows: layerRows, Lists: b.Lists}, nil)
}

// Numbers are read where they are if their columns lie side by side, with the same bits.
func TestNumbersSideBySideAreReadAsOthersAre(t *testing.T) {
	const numbers, outputs = 5, 4
	l := NewInput(kernel.Shape{Numbers: numbers, NumberNames: []string{"a", "b", "c", "d", "e"}}, outputs, 2)
	together := values(numbers * layerRows)
	blocks := make([]kernel.Block, 2)
	for k := range numbers {
		column := together[k*layerRows : (k+1)*layerRows]
		blocks[0].Numbers = append(blocks[0].Numbers, column)
		blocks[1].Numbers = append(blocks[1].Numbers, slices.Clone(column))
	}
	if !slices.Equal(kernel.Adjacent(blocks[0].Numbers), together) || kernel.Adjacent(blocks[1].Numbers) != nil || kernel.Adjacent(blocks[0].Numbers[1:][:2]) == nil {
		t.Error("whether columns lie side by side is not told")
	}
	if kernel.Adjacent([][]float32{together[:3], together[6:9]}) != nil || kernel.Adjacent([][]float32{together[:3], together[3:5]}) != nil || kernel.Adjacent([][]float32{nil, nil}) != nil || kernel.Adjacent(nil) != nil {
		t.Error("columns lie side by side that do not")
	}
	params := make([]float32, (numbers+1)*outputs)
	l.Init(params, 1)
	var results [2][]float32
	for i := range blocks {
		blocks[i].Rows = layerRows
		c := &Chunk{Block: &blocks[i], From: 3, To: layerRows - 1}
		rows := c.To - c.From
		c.Scratch = make([]float32, rows*l.Scratch())
		out, grad := make([]float32, rows*outputs), make([]float32, len(params))
		l.Forward(c, params, out)
		l.Backward(c, params, slices.Clone(out), grad)
		results[i] = append(out, grad...)
	}
	if !slices.Equal(results[0], results[1]) {
		t.Errorf("%v side by side, else %v", results[0], results[1])
	}
}

func TestDropoutKeepsItsShareAndTheMean(t *testing.T) {
	check(t, NewDropout(7, 0.3), nil, values(7*layerRows))
	const rows, width = 4000, 9
	l := NewDropout(width, 0.25)
	in, out := make([]float32, rows*width), make([]float32, rows*width)
	for i := range in {
		in[i] = 1
	}
	masks := make(map[uint64][]float32)
	for _, seed := range []uint64{1, 2} {
		c := &Chunk{To: rows, In: in, Scratch: make([]float32, rows*width), Training: true, Seed: seed}
		l.Forward(c, nil, out)
		var sum float64
		for _, v := range out {
			sum += float64(v) / (rows * width)
		}
		if math.Abs(sum-1) > 0.02 {
			t.Errorf("the mean is %v", sum)
		}
		masks[seed] = slices.Clone(out)
	}
	same := 0
	for i, v := range masks[1] {
		if v == masks[2][i] {
			same++
		}
	}
	if share := float64(same) / (rows * width); math.Abs(share-(0.75*0.75+0.25*0.25)) > 0.02 {
		t.Errorf("%v of two steps' masks are the same", share)
	}
	// A row's mask does not depend on the chunk that it is in.
	part := make([]float32, 10*width)
	l.Forward(&Chunk{From: 100, To: 110, In: in[:len(part)], Scratch: make([]float32, len(part)), Training: true, Seed: 1}, nil, part)
	if !slices.Equal(part, masks[1][100*width:110*width]) {
		t.Error("rows in another chunk have other masks")
	}
}
