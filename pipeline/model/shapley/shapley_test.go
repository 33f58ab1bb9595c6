package shapley

import (
	"encoding/json"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// grown is a tree of splits by sets of ids.
type grown struct {
	splits []grownSplit
	values []float64
	covers []float64 // of splits
	leaves []float64 // covers of leaves
}

type grownSplit struct {
	slot, left, right int
	set               uint64
}

func (t *grown) Size() int { return len(t.splits) }
func (t *grown) Split(i int) (slot, left, right int) {
	s := t.splits[i]
	return s.slot, s.left, s.right
}
func (t *grown) Has(i, id int) bool     { return t.splits[i].set>>id&1 == 1 }
func (t *grown) Value(leaf int) float64 { return t.values[leaf] }

func (t *grown) Cover(node int) float64 {
	if node < 0 {
		return t.leaves[^node]
	}
	return t.covers[node]
}

// ids are those of the slots of random trees.
var ids = []int{5, 64, 2, 9, 33, 3, 17, 8, 4, 4, 6, 7, 12, 10, 3, 5}

// grow returns a random tree over the first slots. Some leaves have had no rows.
func grow(random *rand.Rand, slots, leaves int) *grown {
	t := &grown{values: []float64{random.NormFloat64()}}
	for len(t.values) < leaves {
		leaf, to := random.IntN(len(t.values)), len(t.splits)
		if random.IntN(3) == 0 {
			leaf = len(t.values) - 1 // some are deep
		}
		for i := range t.splits {
			s := &t.splits[i]
			if s.left == ^leaf {
				s.left = to
			} else if s.right == ^leaf {
				s.right = to
			}
		}
		t.splits = append(t.splits, grownSplit{slot: random.IntN(slots), left: ^leaf, right: ^len(t.values), set: random.Uint64()})
		t.values = append(t.values, random.NormFloat64())
	}
	for range t.values {
		t.leaves = append(t.leaves, float64(random.IntN(20)))
	}
	t.covers = make([]float64, len(t.splits))
	for i := len(t.splits) - 1; i >= 0; i-- { // children follow their parents
		t.covers[i] = t.Cover(t.splits[i].left) + t.Cover(t.splits[i].right)
	}
	return t
}

// expects returns the mean of a tree where the slots of a set are known.
func (t *grown) expects(node int, known uint, row []uint32) float64 {
	if node < 0 {
		return t.values[^node]
	}
	s := t.splits[node]
	if known>>s.slot&1 == 1 {
		if t.Has(node, int(row[s.slot])) {
			return t.expects(s.left, known, row)
		}
		return t.expects(s.right, known, row)
	}
	left, right := 0.5, 0.5
	if whole := t.covers[node]; whole > 0 {
		left, right = t.Cover(s.left)/whole, t.Cover(s.right)/whole
	}
	return left*t.expects(s.left, known, row) + right*t.expects(s.right, known, row)
}

func (t *grown) root() int {
	if len(t.splits) == 0 {
		return ^0
	}
	return 0
}

// shapley returns the Shapley value of a slot by its definition.
func (t *grown) shapley(slots, slot int, row []uint32) (sum float64) {
	factorial := func(n int) float64 { return math.Gamma(float64(n + 1)) }
	for set := range uint(1) << slots {
		if set>>slot&1 == 1 {
			continue
		}
		n := bits.OnesCount(set)
		weight := factorial(n) * factorial(slots-n-1) / factorial(slots)
		sum += weight * (t.expects(t.root(), set|1<<slot, row) - t.expects(t.root(), set, row))
	}
	return sum
}

func block(random *rand.Rand, slots, rows int) *kernel.Block {
	b := &kernel.Block{Rows: rows}
	for slot := range slots {
		column := make([]uint32, rows)
		for i := range column {
			column[i] = uint32(random.IntN(ids[slot]))
		}
		b.Categories = append(b.Categories, column)
	}
	return b
}

func rowOf(b *kernel.Block, i int) (row []uint32) {
	for _, column := range b.Categories {
		row = append(row, column[i])
	}
	return row
}

// explainAll returns what each slot brought to all rows of a block.
func explainAll(e *Explainer, b *kernel.Block) (out [][]float64) {
	var rows []int32
	for i := range b.Rows {
		rows = append(rows, int32(i))
	}
	for range b.Categories {
		out = append(out, make([]float64, b.Rows))
	}
	e.Add(new(Scratch), b, rows, out)
	return out
}

// cutBy returns the explainer of a tree whose groups have so many cells at most.
func cutBy(t Tree, slots, cells int) *Explainer {
	p := plan(t, ids[:slots])
	p.cut(cells)
	return &Explainer{trees: []compiled{p.compile()}, base: p.base, slots: slots, most: len(p.slots)}
}

func TestSlotsBringTheirShapleyValues(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		const slots = 5
		tree := grow(random, slots, 1+random.IntN(24))
		b := block(random, slots, 6)
		for _, cells := range []int{maxCells, 16, 3, 0} {
			e := cutBy(tree, slots, cells)
			got := explainAll(e, b)
			for i := range b.Rows {
				row := rowOf(b, i)
				for slot := range slots {
					want := tree.shapley(slots, slot, row)
					if have := got[slot][i]; math.Abs(have-want) > 1e-6 {
						t.Fatalf("%d leaves in groups of %d cells, row %v, slot %d: %v, want %v", len(tree.values), cells, row, slot, have, want)
					}
				}
				if want := tree.expects(tree.root(), 0, row); math.Abs(e.Base()-want) > 1e-9 {
					t.Fatalf("base %v, want %v", e.Base(), want)
				}
			}
		}
	}
}

func TestWhatSlotsBringAddsUpToTheSumOfTheTrees(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		slots := 1 + random.IntN(len(ids))
		var trees []Tree
		for range 1 + random.IntN(8) {
			trees = append(trees, grow(random, slots, 1+random.IntN(200)))
		}
		e := New(trees, ids[:slots])
		b := block(random, slots, 1+random.IntN(2*chunkRows))
		got := explainAll(e, b)
		for i := range b.Rows {
			row, want, have := rowOf(b, i), 0.0, e.Base()
			for _, tree := range trees {
				g := tree.(*grown)
				want += g.expects(g.root(), 1<<slots-1, row)
			}
			for slot := range got {
				have += got[slot][i]
			}
			if math.Abs(have-want) > 1e-5 {
				t.Fatalf("row %d of %d, %d trees of %d slots: %v, want %v", i, b.Rows, len(trees), slots, have, want)
			}
		}
	}
}

func TestPolynomialsAreIntegratedExactly(t *testing.T) {
	for degree := range 40 {
		q := quadratureOf(degree)
		for power := range degree + 1 {
			sum := 0.0
			for k, x := range q.points {
				sum += q.weights[k] * math.Pow(x, float64(power))
			}
			if want := 1 / float64(power+1); math.Abs(sum-want) > 1e-14 {
				t.Errorf("degree %d: x^%d is %v, want %v", degree, power, sum, want)
			}
		}
	}
}

// TestSlotsBringWhatTheShapPackageSays holds trees that scikit-learn grew against the values of
// testdata/reference.py.
func TestSlotsBringWhatTheShapPackageSays(t *testing.T) {
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var reference struct {
		IDs   []int
		Trees []struct {
			Slots, Below, Left, Right []int
			Values, Covers, Leaves    []float64
		}
		Rows   [][]uint32
		Base   float64
		Values [][]float64
	}
	if err := json.Unmarshal(data, &reference); err != nil {
		t.Fatal(err)
	}
	var trees []Tree
	for _, of := range reference.Trees {
		tree := &grown{values: of.Values, covers: of.Covers, leaves: of.Leaves}
		for i, slot := range of.Slots {
			tree.splits = append(tree.splits, grownSplit{slot: slot, left: of.Left[i], right: of.Right[i], set: 1<<of.Below[i] - 1})
		}
		trees = append(trees, tree)
	}
	b := &kernel.Block{Rows: len(reference.Rows)}
	for slot := range reference.IDs {
		var column []uint32
		for _, row := range reference.Rows {
			column = append(column, row[slot])
		}
		b.Categories = append(b.Categories, column)
	}
	e := New(trees, reference.IDs)
	if math.Abs(e.Base()-reference.Base) > 1e-6 {
		t.Errorf("base %v, want %v", e.Base(), reference.Base)
	}
	got := explainAll(e, b)
	if len(trees) != 6 || len(reference.Values) != 12 {
		t.Fatalf("%d trees, %d rows", len(trees), len(reference.Values))
	}
	for i, row := range reference.Values {
		for slot, want := range row {
			if have := got[slot][i]; math.Abs(have-want) > 1e-6 {
				t.Errorf("row %v, slot %d: %v, want %v", reference.Rows[i], slot, have, want)
			}
		}
	}
}
