package optim

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// narrowed is a batch with ids of its own: each slot's are numbered in the order in
// which they first come, so that a step of a wide model works on a few weights side
// by side. It is kept from epoch to epoch where there is memory for it; without, a step
// has the same bits.
type narrowed struct {
	model *model.Model // of as many ids
	at    []uint32     // of each id of its own, one slot after the other: the parameter
	ids   [][]uint16
}

// leastNarrowed is how many numbers parameters and optimizer's state must be. Of fewer,
// which caches hold, numbering takes longer than thirty epochs gain.
const leastNarrowed = 2_000_000

// maxNarrowed is how many rows a batch may have.
const maxNarrowed = 1 << 16

// narrow returns what is kept of a step's batch; nil: there is no memory, or rows have
// terms.
func (t *touched) narrow(m *model.Model, step Step) *narrowed {
	if step.Memo == nil || step.Reserve == nil || t.outputs > 1 || t.tables > t.categories || step.Rows > maxNarrowed {
		return nil
	}
	if *step.Memo == nil {
		n := &narrowed{}
		var counts []int
		for j := range t.tables {
			before := len(n.at)
			switch bytes, shorts, words := step.Slot(j); {
			case bytes != nil:
				renumber(t, n, j, bytes)
			case shorts != nil:
				renumber(t, n, j, shorts)
			default:
				renumber(t, n, j, words)
			}
			counts = append(counts, len(n.at)-before)
		}
		n.at = slices.Clip(n.at)
		if n.model = m.Narrow(counts); !step.Reserve(int64(4*cap(n.at) + 2*step.Rows*t.tables)) {
			n = nil
		}
		*step.Memo = n
	}
	return (*step.Memo).(*narrowed)
}

// renumber adds slot j to n.
func renumber[I kernel.ID](t *touched, n *narrowed, j int, ids []I) {
	from, before := uint32(t.offsets[j]), len(n.at)
	t.numbers = kernel.Resized(t.numbers, t.offsets[j+1]-t.offsets[j])
	numbers, own := t.numbers, make([]uint16, len(ids)) // numbers: 0 for an id that has none
	for i, id := range ids {
		if numbers[id] == 0 {
			n.at = append(n.at, from+uint32(id))
			numbers[id] = uint32(len(n.at) - before)
		}
		own[i] = uint16(numbers[id] - 1)
	}
	for _, at := range n.at[before:] {
		numbers[at-from] = 0
	}
	n.ids = append(n.ids, own)
}

// learn is AddGradient and take of a narrowed batch.
func (t *touched) learn(w *model.Workspace, n *narrowed, step Step) (loss float64, params, grad, state []float32) {
	dense, own, last := t.offsets[0], len(n.at), t.offsets[t.tables]
	size := n.model.Size()
	p := kernel.Resized(t.params, size)
	copy(p, t.whole[:dense])
	gather(p[dense:dense+own], t.whole[:t.size], n.at)
	copy(p[dense+own:], t.whole[last:t.size])
	g := kernel.Resized(t.grad, size)
	clear(g)
	t.block = *step.Block
	t.block.Categories, t.block.Bytes, t.block.Shorts = nil, nil, n.ids
	loss = n.model.AddGradient(w, p, &t.block, step.Seed, g)

	at := kernel.Resized(t.at, size)
	for i := range dense {
		at[i] = uint32(i)
	}
	to := dense
	for k, i := range n.at {
		x := g[dense+k]
		at[to], p[to], g[to] = i, p[dense+k], x
		to += some(x)
	}
	for k := range size - dense - own {
		at[to], p[to], g[to] = uint32(last+k), p[dense+own+k], g[dense+own+k]
		to++
	}
	t.at, t.params, t.grad = at[:to], p[:to], g[:to]
	return loss, t.params, t.grad, t.states()
}
