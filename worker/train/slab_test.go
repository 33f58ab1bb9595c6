package train

import "testing"

func TestBlocksOfASlabAreApart(t *testing.T) {
	const blocks = 7
	in := &space{memory: &memory{limit: 1 << 30}}
	s := newSlab(blocks * (slabBytes / 3))
	var all [blocks][]byte
	for i := range all {
		floats, small, _ := s.block(in, slabBytes/16, slabBytes/12+i)
		if len(floats) != slabBytes/16 || len(small) != slabBytes/12+i {
			t.Fatalf("block %d has %d floats and %d bytes", i, len(floats), len(small))
		}
		for k := range floats {
			floats[k] = float32(i)
		}
		for k := range small {
			small[k] = byte(i)
		}
		for _, v := range floats[:8] {
			if v != float32(i) {
				t.Fatalf("block %d overlaps itself", i)
			}
		}
		all[i] = small
	}
	s.filled()
	for i, small := range all {
		for _, v := range small {
			if v != byte(i) {
				t.Fatalf("block %d was written over", i)
			}
		}
	}
	if floats, small, ok := newSlab(100).block(in, 3, 5); !ok || len(floats) != 3 || len(small) != 5 {
		t.Error("a small matrix has other blocks")
	}
}

func TestSlabsAreWithinTheMemoryBound(t *testing.T) {
	const limit, size = 48 << 20, 3 << 18
	m := &memory{limit: limit}
	slabs := make([]*slab, 4)
	for i := range slabs {
		slabs[i] = newSlab(100 << 20)
	}
	in, given, own := &space{memory: m}, 0, 0
	for range 100 << 20 / size {
		for _, s := range slabs {
			before := len(s.free)
			if _, _, ok := s.block(in, size/4, 0); ok {
				given += size
				if len(s.free) == before {
					own += size
				}
			}
		}
	}
	allocated := own
	for i, s := range slabs {
		for _, whole := range s.taken {
			allocated += len(whole) + hugePage
		}
		if s.expected > size {
			t.Errorf("slab %d still expects %d bytes", i, s.expected)
		}
	}
	if int64(allocated) != m.used.Load() || allocated > limit {
		t.Errorf("%d bytes were allocated and %d reserved, of %d", allocated, m.used.Load(), limit)
	}
	if given < limit*3/4 {
		t.Errorf("blocks have %d bytes of %d", given, limit)
	}
}
