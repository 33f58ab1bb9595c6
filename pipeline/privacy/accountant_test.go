package privacy

import (
	"math"
	"testing"
)

// The values are those of Google's dp-accounting 0.6.0, RdpAccountant with its own orders.
func TestEpsilonIsThatOfDPAccounting(t *testing.T) {
	for _, test := range []struct {
		rate, noise   float64
		steps         int64
		epsilon, best float64
	}{
		{256.0 / 60000, 1.1, 14_062, 2.5966, 8.1},
		{0.01, 4, 10_000, 1.0355, 17},
		{0.01, 1, 1_000, 2.1014, 7.8},
		{0.04, 1, 100, 3.2850, 5.2},
	} {
		m := Mechanism{test.rate, test.noise}
		epsilon, order := m.Epsilon(test.steps, 1e-5)
		t.Logf("%+v, %d steps: epsilon %.4f by order %v; dp-accounting %.4f by %v", m, test.steps, epsilon, order, test.epsilon, test.best)
		if math.Abs(epsilon-test.epsilon) > 5e-5 || order != test.best {
			t.Errorf("%v, %d steps: %.5f by order %v, want %v by %v", m, test.steps, epsilon, order, test.epsilon, test.best)
		}
		if n := m.Steps(epsilon, 1e-5, 1<<40); n != test.steps {
			t.Errorf("%v: %d steps spend %v, not %d", m, n, epsilon, test.steps)
		}
	}
}

func TestDivergencesAreThoseOfDPAccounting(t *testing.T) {
	m := Mechanism{0.01, 2.5}
	for order, want := range map[float64]float64{1.5: 6.70579741e-4, 2.5: 1.08548710e-3, 5: 2.18075656e-3, 50: 2.38460375e-2, 100: 1.67416308e+2} {
		if got := 50 * m.Divergence(order); math.Abs(got/want-1) > 1e-7 {
			t.Errorf("order %v: %v, want %v", order, got, want)
		}
	}
}

func TestADivergenceIsBoundedByThoseOfWholeOrdersAround(t *testing.T) {
	for _, m := range []Mechanism{{0.001, 0.6}, {0.01, 1}, {0.3, 2}, {0.5, 1}, {0.9, 5}, {1, 1}} {
		for _, order := range orders[:99] {
			got, above := m.Divergence(order), m.Divergence(math.Ceil(order))
			if !(got > 0) || order > 3 && got > 1.001*above {
				t.Errorf("%v: %v at order %v, %v at the next whole one", m, got, order, above)
			}
		}
	}
}

func TestNothingIsSpentWithoutSteps(t *testing.T) {
	if e, _ := (Mechanism{0.01, 1}).Epsilon(0, 1e-5); e != 0 {
		t.Error(e)
	}
	if n := (Mechanism{1, 0.5}).Steps(0.1, 1e-9, 1000); n != 0 {
		t.Errorf("%d steps", n)
	}
	for _, m := range []Mechanism{{0, 1}, {1.1, 1}, {0.5, 0}, {math.NaN(), 1}, {0.5, math.Inf(1)}} {
		if m.Validate() == nil {
			t.Errorf("%v is valid", m)
		}
	}
}
