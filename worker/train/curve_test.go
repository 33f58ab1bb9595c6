package train

import "testing"

// A curve keeps every epoch of a short training and a bounded number of a long one,
// the first and the last among them, evenly spaced.
func TestACurveIsBounded(t *testing.T) {
	for epochs := range 3000 {
		if epochs%97 != 0 && epochs > 120 {
			continue
		}
		var p position
		for e := 1; e <= epochs; e++ {
			p.observe(Loss{Epoch: e}, e == epochs)
		}
		c := p.Curve
		if len(c) > maxLosses+1 || epochs <= maxLosses && len(c) != epochs {
			t.Fatalf("%d losses of %d epochs", len(c), epochs)
		}
		for i, l := range c {
			if last := i == len(c)-1; !last && l.Epoch != 1+i*p.Stride || last && l.Epoch != epochs {
				t.Fatalf("%d epochs: %v", epochs, c)
			}
		}
	}
	large := new(position)
	for e := 1; e <= 1<<20; e++ {
		large.observe(Loss{Epoch: e}, false)
	}
	if n := len(large.Curve); n > maxLosses || n < maxLosses/2 {
		t.Errorf("%d losses of a million epochs", n)
	}
}
