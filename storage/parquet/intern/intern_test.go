package intern

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestNumbersFollowFirstAppearance(t *testing.T) {
	var s Set
	for round := range 3 {
		s.Reset()
		rng := rand.New(rand.NewPCG(uint64(round), 1))
		model := make(map[string]int)
		for range 5000 {
			v := fmt.Sprint(rng.IntN(1 << rng.IntN(14)))
			if rng.IntN(50) == 0 {
				v = ""
			}
			want, ok := model[v]
			if !ok {
				want = len(model)
				model[v] = want
			}
			if got := s.Index([]byte(v)); got != want {
				t.Fatalf("%q is %d, not %d", v, got, want)
			}
		}
		if s.Len() != len(model) {
			t.Fatalf("%d entries instead of %d", s.Len(), len(model))
		}
		size := 0
		for v, i := range model {
			size += len(v)
			if string(s.Value(i)) != v {
				t.Fatalf("entry %d is %q, not %q", i, s.Value(i), v)
			}
		}
		values, offsets := s.Values()
		if len(values) != size || s.Bytes() != size || len(offsets) != len(model)+1 {
			t.Fatalf("%d bytes instead of %d", len(values), size)
		}
	}
}
