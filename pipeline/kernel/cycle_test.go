package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPartsOfCyclesAreThoseOfFlooredDivision, with and without AVX2, at the edges of parts
// and beyond what a float64 holds.
func TestPartsOfCyclesAreThoseOfFlooredDivision(t *testing.T) {
	have := avx2
	defer func() { avx2 = have }()
	const minute, hour, day = 60e6, 3600e6, 24 * 3600e6
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ offset, cycle, part int64 }{{0, day, hour}, {3 * day, 7 * day, day}, {0, hour, minute}, {0, minute, 1e6}, {4, 7, 1}, {0, 1, 1}, {5, 1 << 40, 1 << 20}, {0, 1 << 40, 1}} {
		var near, all []int64
		for range 5000 {
			edge := (random.Int64N(1<<50/c.part) - 1<<49/c.part) * c.part
			near = append(near, edge-1, edge, edge+1, random.Int64N(1<<51)-1<<50)
		}
		all = append(all, math.MinInt64, math.MaxInt64, 1<<51, -1<<51, 1<<51-1-c.offset, 1<<51-c.offset, -1<<51-c.offset, -1<<51-c.offset-1)
		for range 1000 {
			all = append(all, int64(random.Uint64())>>random.IntN(40))
		}
		for _, times := range [][]int64{near, all, all[4:6], near[:1], nil} {
			want := make([]int64, len(times))
			for i, v := range times {
				left := (v%c.cycle + c.cycle + c.offset) % c.cycle
				want[i] = left / c.part
			}
			for _, avx2 = range []bool{false, have} {
				got := slices.Clone(times) // in place
				if CyclePart(got, got, c.offset, c.cycle, c.part); !slices.Equal(got, want) {
					t.Fatalf("AVX2 %v, %+v: differs", avx2, c)
				}
			}
		}
		// One beyond in a group must not spoil the others, and all groups are done alike.
		for i := range 8 {
			times := slices.Clone(near[:9])
			times[i] = math.MaxInt64
			got, want := make([]int64, 9), make([]int64, 9)
			avx2 = have
			CyclePart(got, times, c.offset, c.cycle, c.part)
			avx2 = false
			if CyclePart(want, times, c.offset, c.cycle, c.part); !slices.Equal(got, want) {
				t.Fatalf("%+v: one beyond at %d", c, i)
			}
		}
	}
}
