package shapley

import "github.com/thalweg/thalweg/pipeline/kernel"

// quadrature is the points and weights of Gauss and Legendre on [0, 1], by which a sum of
// polynomials is integrated exactly. All weights are positive, so that nothing cancels.
type quadrature struct{ points, weights []float64 }

// quadratureOf returns the one that is exact for polynomials of a degree.
func quadratureOf(degree int) quadrature {
	n := degree/2 + 1
	q := quadrature{make([]float64, n), make([]float64, n)}
	for i := range n {
		_, x := kernel.SinCos((float64(i) + 0.75) / (float64(n) + 0.5) / 2)
		for range 8 { // Newton's method doubles the digits each time
			value, slope := legendre(n, x)
			x -= value / slope
		}
		_, slope := legendre(n, x)
		q.points[i] = (1 - x) / 2
		q.weights[i] = 1 / float64(float64(1-float64(x*x))*float64(slope*slope))
	}
	return q
}

// legendre returns the value and the slope of Legendre's polynomial of a degree.
func legendre(n int, x float64) (value, slope float64) {
	before, value := 1.0, x
	for k := 2; k <= n; k++ {
		before, value = value, (float64(float64(2*k-1)*float64(x*value))-float64(float64(k-1)*before))/float64(k)
	}
	return value, float64(n) * (float64(x*value) - before) / (float64(x*x) - 1)
}
