package train

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// store keeps packed blocks. Its methods may be called concurrently.
type store struct {
	layout *layout
	space
}

// block is some rows, packed column by column: in floats and small, or on disk.
type block struct {
	rows   int
	set    RowSet // of the rows' hashes
	floats []float32
	small  []byte
	at     piece // empty in memory
	memo   memo
}

// maxPrefetch is how many bytes fit into the second-level cache beside what else is there,
// fewFloats how many floats memory brings at once.
const (
	maxPrefetch = 128 << 10
	fewFloats   = 4 << 10
)

// prefetch asks for a block in memory while the processor works on the one before: blocks come
// in no order that it could guess. Floats that are too many to ask for at once it returns, for
// loops to prefetch as they go (kernel.Block.Ahead).
func (b *block) prefetch() (ahead []float32) {
	few := b.floats
	if len(few) > fewFloats {
		few, ahead = nil, few
	}
	if 4*len(few)+len(b.small) <= maxPrefetch {
		kernel.Prefetch(kernel.Vector{Float32: few}.Bytes())
		kernel.Prefetch(b.small)
	}
	return ahead
}

// put stores the rows of a packer, which is empty afterwards.
func (s *store) put(p *packer) (b block, err error) {
	b = block{rows: p.rows, set: p.set}
	terms := p.termBytes()
	if floats, small, ok := p.slab.block(&s.space, p.rows*s.layout.floats, p.rows*s.layout.small+terms); ok {
		b.floats, b.small = p.columns(floats[:0], small[:0])
	} else {
		p.packedFloats, p.packedSmall = p.columns(p.packedFloats[:0], p.packedSmall[:0])
		p.bytes = append(kernel.AppendFloats(p.bytes[:0], p.packedFloats), p.packedSmall...)
		b.at, err = s.write(p.bytes)
	}
	p.rows, p.set = 0, RowSet{}
	for t := range p.terms {
		p.terms[t].counts, p.terms[t].terms = p.terms[t].counts[:0], p.terms[t].terms[:0]
	}
	return b, err
}

// open makes sc the rows of a block, without labels.
func (s *store) open(b *block, sc *scratch) error {
	if b.at.size == 0 {
		s.layout.open(sc, b.rows, b.floats, b.small)
		return nil
	}
	sc.bytes = slices.Grow(sc.bytes[:0], b.at.size)[:b.at.size]
	if err := s.read(b.at, sc.bytes); err != nil {
		return err
	}
	n := b.rows * s.layout.floats
	sc.floats = slices.Grow(sc.floats[:0], n)[:n]
	kernel.DecodeFloats(sc.floats, sc.bytes)
	s.layout.open(sc, b.rows, sc.floats, sc.bytes[4*n:])
	return nil
}

// packer collects records as columns until they make a block.
type packer struct {
	layout   *layout
	capacity int // rows
	rows     int
	set      RowSet
	floats   []float32 // scalar k is [k*capacity, (k+1)*capacity); the lists follow, row after row
	small    []byte    // likewise, each column times its width
	terms    []termColumn
	slab     *slab // of the blocks; nil: each has its own

	// Memory of spilled blocks on their way.
	packedFloats []float32
	packedSmall  []byte
	bytes        []byte
}

// termColumn is the terms of a slot: how many each row has, and all of them.
type termColumn struct{ counts, terms []byte }

// termBytes is how many bytes the terms take.
func (p *packer) termBytes() (n int) {
	for _, c := range p.terms {
		n += len(c.counts) + len(c.terms)
	}
	return n
}

func newPacker(l *layout, capacity int) *packer {
	return &packer{layout: l, capacity: capacity, floats: make([]float32, capacity*l.floats), small: make([]byte, capacity*l.small), terms: make([]termColumn, len(l.shape.Terms))}
}

// each takes records, which lie at the given places, and calls full whenever they
// make a whole block, after which the packer must be empty.
func (p *packer) each(records []byte, places []int, full func() error) error {
	for len(places) > 0 {
		n := min(len(places), p.capacity-p.rows)
		p.add(records, places[:n])
		places = places[n:]
		if p.rows == p.capacity {
			if err := full(); err != nil {
				return err
			}
		}
	}
	return nil
}

// add takes records, which lie at the given places; the packer must have room.
func (p *packer) add(records []byte, places []int) {
	l, n := p.layout, len(places)
	if n == 0 {
		return
	}
	digest := uint64(0)
	for _, at := range places {
		digest += binary.LittleEndian.Uint64(records[at:])
	}
	p.set.Add(RowSet{Rows: int64(n), Digest: Digest(digest)})
	from, to := l.head, p.rows
	for range l.scalars {
		dst, field := p.floats[to:][:n], records[from:]
		for i, at := range places {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(field[at:]))
		}
		from += 4
		to += p.capacity
	}
	to = p.capacity * l.scalars
	for _, width := range l.lists {
		for i, at := range places {
			kernel.DecodeFloats(p.floats[to+(p.rows+i)*width:][:width], records[at+from:])
		}
		from += 4 * width
		to += width * p.capacity
	}
	small := p.small
	for columns := l.columns; len(columns) > 0; {
		c := columns[0]
		dst, field := small[p.rows*c.width:], records[c.from:]
		took := 1
		switch {
		case len(columns) >= 4 && c.width == 1 && columns[3].width == 1 && columns[3].from == c.from+3:
			took = 4
			d0 := dst[:n]
			d1, d2, d3 := dst[p.capacity:][:len(d0)], dst[2*p.capacity:][:len(d0)], dst[3*p.capacity:][:len(d0)]
			for i, at := range places[:len(d0)] {
				v := binary.LittleEndian.Uint32(field[at:])
				d0[i], d1[i], d2[i], d3[i] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
			}
		case c.width == 1:
			dst := dst[:n]
			for i, at := range places {
				dst[i] = field[at]
			}
		case c.width == 2:
			for i, at := range places {
				binary.LittleEndian.PutUint16(dst[2*i:], binary.LittleEndian.Uint16(field[at:]))
			}
		case c.width == 4 && c.stored == 4:
			for i, at := range places {
				binary.LittleEndian.PutUint32(dst[4*i:], binary.LittleEndian.Uint32(field[at:]))
			}
		case c.stored == 8:
			for i, at := range places {
				binary.LittleEndian.PutUint64(dst[8*i:], binary.LittleEndian.Uint64(field[at:]))
			}
		default:
			for i, at := range places {
				copy(dst[i*c.width:][:c.stored], field[at:])
			}
		}
		small, columns = small[p.capacity*c.width*took:], columns[took:]
	}
	if len(p.terms) == 0 {
		places = nil
	}
	for _, at := range places {
		tail := records[at+l.record:]
		for t := range p.terms {
			size := int(binary.LittleEndian.Uint32(tail)) * kernel.TermBytes
			p.terms[t].counts = append(p.terms[t].counts, tail[:countBytes]...)
			p.terms[t].terms = append(p.terms[t].terms, tail[countBytes:][:size]...)
			tail = tail[countBytes+size:]
		}
	}
	p.rows += n
}

// columns appends the columns without the room between them.
func (p *packer) columns(floats []float32, small []byte) ([]float32, []byte) {
	for k := range p.layout.scalars {
		floats = append(floats, p.floats[k*p.capacity:][:p.rows]...)
	}
	lists := p.floats[p.layout.scalars*p.capacity:]
	for _, n := range p.layout.lists {
		floats = append(floats, lists[:p.rows*n]...)
		lists = lists[p.capacity*n:]
	}
	for _, c := range p.terms {
		small = append(append(small, c.counts...), c.terms...)
	}
	left := p.small
	for _, c := range p.layout.columns {
		small = append(small, left[:p.rows*c.width]...)
		left = left[p.capacity*c.width:]
	}
	return floats, small
}
