package kernel

import "math"

// Losses that are seldom chosen: in double precision, row by row.

// logistic returns the probability p that an output stands for, 1-p, and the logarithms of
// both, each as exactly as it can be told. The output is cut to ±LogitBound.
func logistic(z float32) (p, q, logP, logQ float64) {
	v := min(max(float64(z), -LogitBound), LogitBound)
	e := Exp64(-math.Abs(v))
	large, small, log := 1/(1+e), e/(1+e), Log1p(e)
	if v < 0 {
		return small, large, v - log, -log
	}
	return large, small, -log, -v - log
}

// Power returns x^y of x in [0, 1] and y from 0 on, the same bits on every machine.
func Power(x, y float64) float64 {
	switch {
	case y == 0:
		return 1
	case y == 1 || x == 0:
		return x
	case y == 2:
		return x * x
	}
	return Exp64(y * Log(x))
}

// SmoothedLogistic overwrites z with the gradient, times scale, of the log loss of labels
// that are 0 or 1, each moved by half of smoothing towards the other:
//
//	t = y*(1-smoothing) + smoothing/2
//	loss = -weight[y]*(t*log(p) + (1-t)*log(1-p)), p = sigmoid(z)
//
// It returns the sum of the losses.
func SmoothedLogistic(z, y []float32, smoothing float64, weight [2]float64, scale float32) (loss float64) {
	checkLen(len(z), len(y))
	y = y[:len(z)]
	for i, v := range z {
		w, t, p, one := smoothed(v, y[i], smoothing, weight)
		loss += one
		z[i] = float32(float64(w*(p-t)) * float64(scale))
	}
	return loss
}

func smoothed(z, y float32, smoothing float64, weight [2]float64) (w, t, p, loss float64) {
	p, _, logP, logQ := logistic(z)
	w, t = weight[0], smoothing/2
	if y != 0 {
		w, t = weight[1], 1-float64(smoothing/2)
	}
	return w, t, p, -float64(w * (float64(t*logP) + float64((1-t)*logQ)))
}

// SmoothedLogisticNewton is LogisticNewton of the same loss, derivatives times unit.
func SmoothedLogisticNewton(z, y []float32, smoothing float64, weight [2]float64, unit float64, first, second []int32) (loss float64) {
	checkLen(len(z), len(y))
	first, second, y = first[:len(z)], second[:len(z)], y[:len(z)]
	for i, v := range z {
		w, t, p, one := smoothed(v, y[i], smoothing, weight)
		loss += one
		w *= unit
		first[i] = fixed(float64(w * (p - t)))
		second[i] = fixed(float64(w * float64(p*(1-p))))
	}
	return loss
}

// focal returns the loss of a row whose label has the probability p, 1-p being q,
//
//	-q^gamma * log(p)
//
// and what the gradient of the log loss is multiplied by to be that of this one:
// q^gamma - gamma*p*q^(gamma-1)*log(p).
func focal(p, q, logP, gamma float64) (loss, factor float64) {
	if q == 0 {
		return 0, Power(q, gamma)
	}
	least := Power(q, gamma)
	return -float64(least * logP), least - float64(gamma*float64(p*float64(least*(logP/q))))
}

// FocalLogistic overwrites z with the gradient, times scale, of the focal loss (Lin et al.
// 2017) of labels that are 0 or 1:
//
//	loss = -alpha[y] * (1-p)^gamma * log(p), p being the label's probability
//
// It returns the sum of the losses.
func FocalLogistic(z, y []float32, gamma float64, alpha [2]float64, scale float32) (loss float64) {
	checkLen(len(z), len(y))
	y = y[:len(z)]
	for i, v := range z {
		a, sign := alpha[0], float32(-1)
		if y[i] != 0 {
			a, sign = alpha[1], 1
		}
		p, q, logP, _ := logistic(sign * v)
		one, factor := focal(p, q, logP, gamma)
		loss += float64(a * one)
		z[i] = -sign * float32(float64(a*float64(factor*q))*float64(scale))
	}
	return loss
}

// FocalLogisticNewton is LogisticNewton of the same loss. The second derivative is that of a
// log loss which counts as much as the first one says (Gauss and Newton's): the loss's own
// is negative where a label is very unlikely.
func FocalLogisticNewton(z, y []float32, gamma float64, alpha [2]float64, first, second []int32) (loss float64) {
	checkLen(len(z), len(y))
	first, second, y = first[:len(z)], second[:len(z)], y[:len(z)]
	for i, v := range z {
		a, sign := alpha[0], -1.0
		if y[i] != 0 {
			a, sign = alpha[1], 1
		}
		p, q, logP, _ := logistic(float32(sign) * v)
		one, factor := focal(p, q, logP, gamma)
		loss += float64(a * one)
		factor *= a
		first[i] = fixed(-sign * float64(factor*q))
		second[i] = fixed(float64(factor * float64(p*q)))
	}
	return loss
}

// Classes is a log loss of several classes: each label moved by smoothing towards all
// classes alike, or with gamma the focal loss, and times the weight of its class, nil being
// 1. Smoothing and gamma exclude each other.
//
//	t[k] = (1-smoothing)*(k = y) + smoothing/classes
//	loss = -weights[y] * (1-p[y])^gamma * sum of t[k]*log(p[k]), p = softmax(z)
type Classes struct {
	Count            int
	Smoothing, Gamma float64
	Weights          []float64
}

// row sets probabilities to those of a row's values, and returns its loss, what the gradient
// of the log loss is multiplied by, and the rest of the label's probability, 1-p.
func (c *Classes) row(z []float32, y int, probabilities []float64) (loss, factor, q float64) {
	probabilities = probabilities[:len(z)]
	largest := z[0]
	for _, v := range z {
		largest = max(largest, v)
	}
	sum := 0.0
	for k, v := range z {
		probabilities[k] = Exp64(float64(v) - float64(largest))
		sum += probabilities[k]
	}
	log := Log(sum)
	w := 1.0
	if c.Weights != nil {
		w = c.Weights[y]
	}
	for k := range probabilities {
		if probabilities[k] /= sum; k != y {
			q += probabilities[k]
		}
		if c.Smoothing > 0 {
			loss -= float64(float64(c.Smoothing/float64(c.Count)) * (float64(z[k]) - float64(largest) - log))
		}
	}
	logP := float64(z[y]) - float64(largest) - log
	if factor = 1; c.Gamma > 0 {
		loss, factor = focal(probabilities[y], q, logP, c.Gamma)
	} else {
		loss -= float64((1 - c.Smoothing) * logP)
	}
	return float64(w * loss), float64(w * factor), q
}

// slope is the first derivative of the log loss of a row of label y by its value of class k.
func (c *Classes) slope(k, y int, p, q float64) float64 {
	even := c.Smoothing / float64(c.Count)
	if k == y {
		return c.Smoothing - q - even
	}
	return p - even
}

// maxClasses is of how many classes probabilities are on the stack.
const maxClasses = 64

// Residual overwrites z with the gradient of the rows' losses, times scale, and returns
// their sum.
func (c *Classes) Residual(z, labels []float32, scale float32) (loss float64) {
	checkLen(len(z), len(labels)*c.Count)
	var memory [maxClasses]float64
	p := memory[:]
	if c.Count > maxClasses {
		p = make([]float64, c.Count)
	}
	for _, label := range labels {
		y, row := int(label), z[:c.Count]
		one, factor, q := c.row(row, y, p)
		loss += one
		for k := range row {
			row[k] = float32(float64(factor*c.slope(k, y, p[k], q)) * float64(scale))
		}
		z = z[c.Count:]
	}
	return loss
}

// Newton is SoftmaxNewton of the loss, derivatives times unit. Of gamma the second
// derivative is as in FocalLogisticNewton.
func (c *Classes) Newton(z, labels []float32, unit float64, first, second []int32) (loss float64) {
	checkLen(len(z), len(labels)*c.Count)
	rows, together := len(labels), float64(c.Count)/float64(max(c.Count-1, 1))
	p := make([]float64, c.Count)
	for i, label := range labels {
		y := int(label)
		one, factor, q := c.row(z[i*c.Count:(i+1)*c.Count], y, p)
		loss += one
		factor *= unit
		for k, of := range p {
			first[k*rows+i] = fixed(float64(factor * c.slope(k, y, of, q)))
			second[k*rows+i] = fixed(float64(factor * float64(float64(of*(1-of))*together)))
		}
	}
	return loss
}
