package monitor

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Which offsets are chosen does not depend on how they come and on what is missing between
// them, and it is one in so many.
func TestOneOffsetInSoManyIsChosenHoweverTheyCome(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &Config{OneIn: rapid.SampledFrom([]int64{1, 2, 5, 32}).Draw(t, "one in")}
		first, n := rapid.Int64Range(0, 1<<40).Draw(t, "first"), rapid.Int64Range(1, 500).Draw(t, "n")
		gaps := rapid.IntRange(1, 10).Draw(t, "gaps")
		var offsets, want, got []int64
		for o := first; o < first+n; o++ {
			if gaps == 10 || o*7%int64(gaps) < int64(gaps+1)/2 {
				offsets = append(offsets, o)
				if c.Chosen(o) {
					want = append(want, o)
				}
			}
		}
		for len(offsets) > 0 {
			k := rapid.IntRange(1, len(offsets)).Draw(t, "batch")
			for i := range c.Choose(offsets[:k]) {
				got = append(got, offsets[i])
			}
			offsets = offsets[k:]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d: chosen %v, want %v", c.OneIn, got, want)
		}
		if least := n/c.OneIn - 1; gaps == 10 && (int64(len(want)) < least || int64(len(want)) > least+3) {
			t.Fatalf("%d of %d are chosen, one in %d", len(want), n, c.OneIn)
		}
	})
}
