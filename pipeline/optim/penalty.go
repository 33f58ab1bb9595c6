package optim

// Penalizable is an Optimizer that says how far its steps go, which weight decay and
// l1 need.
type Penalizable interface {
	Optimizer
	// Rate is the learning rate.
	Rate() float64
	// Rates sets dst[i] to how far a steady gradient of one would move parameter from+i
	// of n in a step after the last, at a schedule's factor of one; to 0 for one that
	// has had no gradient.
	Rates(dst, state []float32, n, from int)
}

// lasso adds l1 to a rule, by cumulative penalties (Tsuruoka, Tsujii and Ananiadou
// 2009, "Stochastic Gradient Descent Training for L1-regularized Log-linear Models
// with Cumulative Penalty", with the rate of each weight): every step owes each weight
// l1 times its rate, towards zero from either side, which is paid as far as the weight
// is not zero. So what noise moves away from zero is brought back by what was owed
// before, and weights that the rows do not ask for stay at zero.
//
// The state is the rule's, then what is owed to weights above zero, then to those
// below; all are averaged. After an average, which has weights that are zero in some
// replicas only, what is owed is paid again.
type lasso struct {
	Penalizable
	l1      float32 // beside the mean loss
	weights [][2]int
}

// StateSize implements Optimizer.
func (l *lasso) StateSize(n int) int { return l.Penalizable.StateSize(n) + 2*n }

// Step implements Optimizer.
func (l *lasso) Step(params, grad, state []float32, scale float32) {
	n := len(params)
	inner := state[:len(state)-2*n]
	l.Penalizable.Step(params, grad, inner, scale)
	rates := make([]float32, min(n, 1024))
	l.owed(params, state, func(from int, above, below []float32) {
		for at := 0; at < len(above); at += len(rates) {
			part := rates[:min(len(rates), len(above)-at)]
			l.Rates(part, inner, n, from+at)
			for i, r := range part {
				due := float32(l.l1 * float32(scale*r))
				above[at+i] += due
				below[at+i] += due
			}
		}
	})
	l.Settle(params, state)
}

// Settle implements settler.
func (l *lasso) Settle(params, state []float32) {
	l.owed(params, state, func(from int, above, below []float32) {
		for i, w := range params[from : from+len(above)] {
			if w > 0 {
				paid := min(w, above[i])
				params[from+i], above[i], below[i] = w-paid, above[i]-paid, below[i]+paid
			} else if w < 0 {
				paid := min(-w, below[i])
				params[from+i], above[i], below[i] = w+paid, above[i]+paid, below[i]-paid
			}
		}
	})
}

// owed calls f for each run of weights, with what is owed to them.
func (l *lasso) owed(params, state []float32, f func(from int, above, below []float32)) {
	n := len(params)
	state = state[len(state)-2*n:]
	for _, w := range l.weights {
		f(w[0], state[w[0]:w[1]], state[n+w[0]:n+w[1]])
	}
}

// adaptive is Rates of a rule that divides by the root of squares of gradients.
func adaptive(dst, squares []float32, rate, epsilon float32) {
	for i, v := range squares[:len(dst)] {
		if dst[i] = 0; v > 0 {
			dst[i] = rate / (sqrt(v) + epsilon)
		}
	}
}
