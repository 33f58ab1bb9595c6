package effort

import "testing"

func TestFullEffortTakesEverySeedAndEveryCase(t *testing.T) {
	t.Setenv("EFFORT", "full")
	if n := Seeds(20, 20_000); n != 20_000 {
		t.Errorf("%d seeds", n)
	}
	for n := range 10 {
		if !Takes(n, 9) {
			t.Errorf("case %d is left out", n)
		}
	}
}

func TestASampleIsTakenOtherwise(t *testing.T) {
	t.Setenv("EFFORT", "")
	if n := Seeds(3, 20_000); n != 3 {
		t.Errorf("%d seeds", n)
	}
	if !Takes(0, 9) || Takes(1, 9) || !Takes(9, 9) {
		t.Error("not one case of nine")
	}
}
