package layer

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// mixed returns rows of a shape with slots of each kind.
func mixed() (kernel.Shape, *kernel.Block) {
	shape := kernel.Shape{Numbers: 2, NumberNames: []string{"a", "b"}, Cardinalities: []int{3, 4}, CategoryNames: []string{"c", "d"},
		Lists: [][]int{{3}, {2}}, ListNames: []string{"l", "m"}, Terms: []int{5}, TermNames: []string{"t"}}
	random := rand.New(rand.NewPCG(4, 4))
	b := &kernel.Block{Rows: layerRows, Numbers: [][]float32{values(layerRows), values(layerRows + 1)[:layerRows]},
		Bytes: make([][]uint8, 2), Shorts: make([][]uint16, 2), Lists: [][]float32{values(3 * layerRows), values(2 * layerRows)}, Terms: make([][][]kernel.Term, 1)}
	for range layerRows {
		b.Bytes[0] = append(b.Bytes[0], uint8(random.IntN(3)))
		b.Shorts[1] = append(b.Shorts[1], uint16(random.IntN(4)))
		var terms []kernel.Term
		for id := range uint32(5) {
			if random.IntN(2) == 0 {
				terms = append(terms, kernel.Term{ID: id, Weight: random.Float32()})
			}
		}
		b.Terms[0] = append(b.Terms[0], terms)
	}
	return shape, b
}

func TestFactorsHaveTheSlopesOfTheirValues(t *testing.T) {
	shape, b := mixed()
	for _, outputs := range []int{1, 3} {
		check(t, NewFactors(shape, outputs, 2), b, nil)
	}
}

// The value of a row is that of all its pairs, one by one.
func TestFactorsSayWhatEachTwoThingsSayTogether(t *testing.T) {
	shape, b := mixed()
	const outputs, count = 2, 3
	l := NewFactors(shape, outputs, count)
	size := 0
	for _, v := range l.Views() {
		size += v.Size()
	}
	params, random := make([]float32, size), rand.New(rand.NewPCG(5, 5))
	for i := range params {
		params[i] = float32(random.NormFloat64())
	}
	view := func(name string) []float32 {
		for _, v := range l.Views() {
			if v.Name == name {
				return v.Of(params)
			}
		}
		t.Fatalf("no view is called %s", name)
		return nil
	}
	type thing struct {
		name  string
		at    int
		value float64
	}
	out := make([]float32, layerRows*outputs)
	l.Forward(&Chunk{Block: b, To: layerRows, Scratch: make([]float32, layerRows*l.Scratch())}, params, out)
	for row := range layerRows {
		things := []thing{{"number.a.", 0, float64(b.Numbers[0][row])}, {"number.b.", 0, float64(b.Numbers[1][row])},
			{"category.c.", int(b.Bytes[0][row]), 1}, {"category.d.", int(b.Shorts[1][row]), 1}}
		for i, name := range []string{"list.l.", "list.m."} {
			n := shape.Lists[i][0]
			for e, x := range b.Lists[i][row*n:][:n] {
				things = append(things, thing{name, e, float64(x)})
			}
		}
		for _, term := range b.Terms[0][row] {
			things = append(things, thing{"terms.t.", int(term.ID), float64(term.Weight)})
		}
		for o := range outputs {
			want := float64(view("bias")[o])
			for i, a := range things {
				want += float64(view(a.name + "weight")[a.at*outputs+o]) * a.value
				for _, b := range things[:i] {
					for f := range count {
						want += float64(view(a.name + "factors")[(a.at*outputs+o)*count+f]) * float64(view(b.name + "factors")[(b.at*outputs+o)*count+f]) * a.value * b.value
					}
				}
			}
			if got := float64(out[row*outputs+o]); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
				t.Errorf("row %d, output %d: %v, the pairs say %v", row, o, got, want)
			}
		}
	}
}
