package boosting

import (
	"cmp"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// rowSeed returns what a tree's rows are sampled by: the same for the trees of a turn.
func (b *boosting) rowSeed(tree int) uint64 {
	return kernel.Mix(b.seed + uint64(tree/b.outputs+1)*kernel.Golden)
}

// sample leaves a share of the rows in the root, those of the least hashes of their keys.
func (p *part) sample(keys []uint32, seed uint64, share float64) {
	most := uint64(math.MaxUint64)
	if share < 1 {
		most = uint64(math.Ldexp(share, 64))
	}
	n := 0
	for i, row := range p.order {
		if kernel.Mix(seed^uint64(keys[row])) < most {
			p.records[i], p.records[n] = p.records[n], p.records[i]
			p.order[i], p.order[n] = p.order[n], p.order[i]
			n++
		}
	}
	p.spans[0].to = int32(n)
}

// slots returns which slots a tree may split, of a forest one of its nodes; nil: all.
func (b *boosting) slots(tree, node int) []bool {
	share, n := b.options.ColumnSample, len(b.shape.Cardinalities)
	if share == 0 || share >= 1 {
		return nil
	}
	seed := kernel.Mix(b.seed + uint64(tree+1)*kernel.Golden)
	if b.forest.Averages() {
		seed = kernel.Mix(seed + uint64(node+1))
	}
	hash := func(slot int) uint64 { return kernel.Mix(seed ^ uint64(slot+1)<<32) }
	order := make([]int, n)
	for slot := range order {
		order[slot] = slot
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Or(cmp.Compare(hash(x), hash(y)), cmp.Compare(x, y)) })
	allowed := make([]bool, n)
	for _, slot := range order[:int(math.Ceil(share*float64(n)))] {
		allowed[slot] = true
	}
	return allowed
}
