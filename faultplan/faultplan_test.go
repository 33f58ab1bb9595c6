package faultplan_test

import (
	"math"
	"testing"

	"github.com/thalweg/thalweg/faultplan"
)

func TestACallIsHitAsOftenAsItsRateSays(t *testing.T) {
	const calls = 100_000
	for _, rate := range []float64{0, 0.01, 0.3, 1} {
		hits, ones := 0, 0
		for n := range calls {
			hit, details := faultplan.Draw(7, rate, 0, 1, n, "key")
			if hit {
				hits++
				ones += int(details & 1)
			}
		}
		if bound := 5 * math.Sqrt(rate*(1-rate)*calls); math.Abs(float64(hits)-rate*calls) > bound {
			t.Errorf("%d of %d calls are hit, want %g of them", hits, calls, rate)
		}
		if bound := 5 * math.Sqrt(float64(hits)/4); math.Abs(float64(ones)-float64(hits)/2) > bound {
			t.Errorf("%d of %d details are odd", ones, hits)
		}
	}
}

func TestADrawFollowsFromSeedAndCallAlone(t *testing.T) {
	_, want := faultplan.Draw(7, 0.5, 1, 2, 12, "key")
	if _, again := faultplan.Draw(7, 1, 1, 2, 12, "key"); again != want {
		t.Error("the same call is drawn otherwise")
	}
	draws := map[uint64]bool{want: true}
	for _, draw := range []func() (bool, uint64){
		func() (bool, uint64) { return faultplan.Draw(8, 0.5, 1, 2, 12, "key") },
		func() (bool, uint64) { return faultplan.Draw(7, 0.5, 2, 2, 12, "key") },
		func() (bool, uint64) { return faultplan.Draw(7, 0.5, 1, 1, 12, "key") },
		func() (bool, uint64) { return faultplan.Draw(7, 0.5, 1, 2, 13, "key") },
		func() (bool, uint64) { return faultplan.Draw(7, 0.5, 1, 2, 12, "kez") },
	} {
		_, got := draw()
		draws[got] = true
	}
	if len(draws) != 6 {
		t.Errorf("%d draws of 6 calls that differ", len(draws))
	}
}

func TestASetIsNamedByItsMembers(t *testing.T) {
	names := []string{"get", "put", "list"}
	for set, want := range map[uint8]string{0: "", 1: "get", 5: "get|list", 7: "get|put|list"} {
		if got := faultplan.Members(set, names); got != want {
			t.Errorf("%03b: %q, want %q", set, got, want)
		}
	}
}
