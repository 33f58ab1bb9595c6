package kernel

import "math"

// exp is e^v with the relative error of Sigmoid's, v cut to ±LogitBound: the same
// bits on every machine.
func exp(v float32) float32 {
	v = min(max(v, -LogitBound), LogitBound)
	t := float32(v * Log2E)
	shifted := t + RoundMagic
	f := t - (shifted - RoundMagic)
	f2 := float32(f * f)
	low := float32(f*Exp1) + 1
	mid := float32(f*Exp3) + Exp2
	high := float32(f2*Exp6) + (float32(f*Exp5) + Exp4)
	p := float32((float32(high*f2)+mid)*f2) + low
	return float32(p * math.Float32frombits((math.Float32bits(shifted)+127)<<23))
}

// Exp sets dst[i] = e^z[i], z cut to ±87. dst may be z.
func Exp(dst, z []float32) {
	checkLen(len(z), len(dst))
	for i, v := range z {
		dst[i] = exp(v)
	}
}

// Softmax overwrites the values of each row, of which there are as many as classes,
// with e to their power over the sum of these: probabilities that add up to 1.
func Softmax(z []float32, classes int) {
	for ; len(z) >= classes; z = z[classes:] {
		softmax(z[:classes])
	}
}

func softmax(z []float32) {
	largest := z[0]
	for _, v := range z {
		largest = max(largest, v)
	}
	var sum float32
	for k, v := range z {
		z[k] = exp(v - largest)
		sum += z[k]
	}
	for k := range z {
		z[k] /= sum
	}
}

// SoftmaxResidual overwrites the values of each row with (softmax - 1 at the label's
// class)*scale: the gradient of the log loss by them. It returns the sum of the
// rows' log losses, each probability clamped to [Epsilon, 1].
func SoftmaxResidual(z, labels []float32, classes int, scale float32) float64 {
	checkLen(len(z), len(labels)*classes)
	var loss LogSum
	for _, y := range labels {
		row := z[:classes]
		z = z[classes:]
		softmax(row)
		loss.Add(float64(row[int(y)]))
		row[int(y)]--
		for k := range row {
			row[k] = float32(row[k] * scale)
		}
	}
	return -loss.Value()
}

// PoissonResidual sets dst[i] = (e^z[i]-y[i])*scale: the gradient by the logarithm of
// the mean of half the Poisson deviance, the sum of which it returns. dst may be z.
func PoissonResidual(dst, z, y []float32, scale float32) float64 {
	checkLen(len(z), len(dst))
	checkLen(len(z), len(y))
	dst, y = dst[:len(z)], y[:len(z)]
	var loss float64
	for i, v := range z {
		mean := exp(v)
		loss += float64(HalfDeviance(float64(y[i]), float64(mean)))
		dst[i] = float32((mean - y[i]) * scale)
	}
	return loss
}

// HalfDeviance returns half the Poisson deviance of y, at least 0, from a positive
// mean: y*log(y/mean) - y + mean.
func HalfDeviance(y, mean float64) float64 {
	if y > 0 {
		mean += float64(y*Log(y/mean)) - y
	}
	return mean
}

// AddRows adds to the values of each row, of which there are as many as w has, w times
// the row's x.
func AddRows(z, x, w []float32) {
	checkLen(len(z), len(x)*len(w))
	for _, v := range x {
		row := z[:len(w)]
		for k, u := range w {
			row[k] += float32(u * v)
		}
		z = z[len(w):]
	}
}

// DotRows adds to g[k] the sum over the rows of x times value k of d, of which each
// row has as many as g has.
func DotRows(g, d, x []float32) {
	checkLen(len(d), len(x)*len(g))
	for _, v := range x {
		row := d[:len(g)]
		for k, u := range row {
			g[k] += float32(u * v)
		}
		d = d[len(g):]
	}
}

// GatherRows adds to the values of each row those that t has of its id; ScatterRows
// adds a row's values to those that g has of its id. Each row, and each id, has width
// of them, and a row begins every stride elements.
func GatherRows[I ID](z, t []float32, ids []I, width, stride int) {
	checkRows(z, len(ids), width, stride)
	for i, id := range ids {
		addRow(z[i*stride:][:width], t[int(id)*width:][:width])
	}
}

// ScatterRows is the backward of GatherRows.
func ScatterRows[I ID](g []float32, ids []I, d []float32, width, stride int) {
	checkRows(d, len(ids), width, stride)
	for i, id := range ids {
		addRow(g[int(id)*width:][:width], d[i*stride:][:width])
	}
}

// checkRows panics unless a slice has so many rows.
func checkRows(v []float32, rows, width, stride int) {
	if width < 1 || stride < width || rows > 0 && len(v) < (rows-1)*stride+width {
		panic(lengthPanic)
	}
}

// addRow does z[i] += x[i].
func addRow(z, x []float32) {
	if n := groups(len(z), 8); n > 0 {
		addAVX2(z[:n], x[:n])
		z, x = z[n:], x[n:]
	}
	x = x[:len(z)]
	for i := range z {
		z[i] += x[i]
	}
}
