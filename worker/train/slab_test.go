package train

import "testing"

func TestBlocksOfASlabAreApart(t *testing.T) {
	const blocks = 7
	s := newSlab(blocks * (slabBytes / 3))
	var all [blocks][]byte
	for i := range all {
		floats, small := s.block(slabBytes/16, slabBytes/12+i)
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
	if floats, small := newSlab(100).block(3, 5); len(floats) != 3 || len(small) != 5 {
		t.Error("a small matrix has other blocks")
	}
}
