package boosting

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// memo is what is kept of a batch: outputs by the trees so far, and for each tree that
// grows which rows are in which of its nodes.
type memo struct {
	trees int // in out
	out   []float32
	loss  float64 // of out
	parts []part
}

// part is the rows of a batch, with their derivatives by one output and the ids of the
// first eight slots; those of node i are [spans[i].from, spans[i].to).
type part struct {
	records []kernel.Record
	order   []uint16
	spans   []span
}

// span is a node's rows, once they are parted from its sibling's; till then from is
// -1. left is its left child once its own are parted, which the right one follows.
type span struct{ from, to, left int32 }

const (
	partBytes = 16 + 2 // of a row, as in memory
	spanBytes = 12
)

// Bytes implements optim.Spillable.
func (m *memo) Bytes() int {
	n := 4 * len(m.out)
	for i := range m.parts {
		n += partBytes*len(m.parts[i].order) + spanBytes*len(m.parts[i].spans)
	}
	return n
}

// Spill implements optim.Spillable.
func (m *memo) Spill(dst []byte) []byte {
	put32, put64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	dst = slices.Grow(dst, 32+8*len(m.parts)+m.Bytes())
	dst = put64(dst, uint64(m.trees))
	dst = put64(dst, math.Float64bits(m.loss))
	dst = put64(dst, uint64(len(m.out)))
	dst = put64(dst, uint64(len(m.parts)))
	dst = kernel.AppendFloats(dst, m.out)
	for i := range m.parts {
		p := &m.parts[i]
		dst = put32(put32(dst, uint32(len(p.order))), uint32(len(p.spans)))
		for k := range p.records {
			r := &p.records[k]
			dst = append(put64(dst, uint64(uint32(r.First))|uint64(r.Second)<<32), r.Octets[:]...)
		}
		for _, row := range p.order {
			dst = binary.LittleEndian.AppendUint16(dst, row)
		}
		for _, s := range p.spans {
			dst = put32(put32(put32(dst, uint32(s.from)), uint32(s.to)), uint32(s.left))
		}
	}
	return dst
}

// Restore implements optim.Spillable.
func (m *memo) Restore(src []byte) {
	take := func(n int) (b []byte) {
		b, src = src[:n], src[n:]
		return b
	}
	get32, get64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	m.trees, m.loss = int(get64(take(8))), math.Float64frombits(get64(take(8)))
	m.out = kernel.Resized(m.out, int(get64(take(8))))
	m.parts = kernel.Resized(m.parts, int(get64(take(8))))
	kernel.DecodeFloats(m.out, take(4*len(m.out)))
	for i := range m.parts {
		p := &m.parts[i]
		n := int(get32(take(4)))
		p.records, p.order = kernel.Resized(p.records, n), kernel.Resized(p.order, n)
		p.spans = kernel.Resized(p.spans, int(get32(take(4))))
		records, order := take(16*n), take(2*n)
		for k := range p.records {
			b := records[16*k:][:16]
			p.records[k] = kernel.Record{First: int32(get32(b)), Second: int32(get32(b[4:])), Octets: [8]uint8(b[8:])}
		}
		for k := range p.order {
			p.order[k] = binary.LittleEndian.Uint16(order[2*k:])
		}
		for k := range p.spans {
			b := take(spanBytes)
			p.spans[k] = span{from: int32(get32(b)), to: int32(get32(b[4:])), left: int32(get32(b[8:]))}
		}
	}
}

var _ optim.Spillable = (*memo)(nil)
