package kernel

// The functions of this file are the loops of a linear layer over a Block:
// forward adds a slot's share to every row's sum, backward collects a slot's
// gradient from every row's residual. Each row's arithmetic is done in the
// order of the calls and never mixed with another row's, so a row's result has
// the same bits in whatever block it comes. Products are converted before they
// are added, which forbids fused multiply-add and makes the bits the same on
// every machine.

const lengthPanic = "kernel: slices of unequal length"

func checkLen(want, have int) {
	if want != have {
		panic(lengthPanic)
	}
}

// Fill sets z[i] = v.
func Fill(z []float32, v float32) {
	for i := range z {
		z[i] = v
	}
}

// Affine sets z[i] = v + w*x[i]: Fill and AddScaled in one pass, with the same
// bits.
func Affine(z, x []float32, w, v float32) {
	checkLen(len(z), len(x))
	x = x[:len(z)]
	for i := range z {
		z[i] = v + float32(w*x[i])
	}
}

// AddScaled does z[i] += w * x[i].
func AddScaled(z, x []float32, w float32) {
	checkLen(len(z), len(x))
	x = x[:len(z)]
	for i := range z {
		z[i] += float32(w * x[i])
	}
}

// Gather does z[i] += t[ids[i]].
func Gather(z, t []float32, ids []uint32) {
	checkLen(len(z), len(ids))
	ids = ids[:len(z)]
	for i := range z {
		z[i] += t[ids[i]]
	}
}

// Gather2 does z[i] = (z[i] + s[a[i]]) + t[b[i]]: two calls of Gather in one
// pass, with the same bits.
func Gather2(z, s []float32, a []uint32, t []float32, b []uint32) {
	checkLen(len(z), len(a))
	checkLen(len(z), len(b))
	a, b = a[:len(z)], b[:len(z)]
	for i := range z {
		z[i] = z[i] + s[a[i]] + t[b[i]]
	}
}

// Scatter does g[ids[i]] += d[i].
func Scatter(g []float32, ids []uint32, d []float32) {
	checkLen(len(d), len(ids))
	ids = ids[:len(d)]
	for i, v := range d {
		g[ids[i]] += v
	}
}

// Scatter2 does g[a[i]] += d[i] and h[b[i]] += d[i]; g and h must not overlap.
func Scatter2(g []float32, a []uint32, h []float32, b []uint32, d []float32) {
	checkLen(len(d), len(a))
	checkLen(len(d), len(b))
	a, b = a[:len(d)], b[:len(d)]
	for i, v := range d {
		g[a[i]] += v
		h[b[i]] += v
	}
}

// Dot returns the sum of d[i]*x[i], in four interleaved partial sums.
func Dot(d, x []float32) float32 {
	checkLen(len(d), len(x))
	x = x[:len(d)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(d); i += 4 {
		s0 += float32(d[i] * x[i])
		s1 += float32(d[i+1] * x[i+1])
		s2 += float32(d[i+2] * x[i+2])
		s3 += float32(d[i+3] * x[i+3])
	}
	for ; i < len(d); i++ {
		s0 += float32(d[i] * x[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// Sum returns the sum of d, in four interleaved partial sums.
func Sum(d []float32) float32 {
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(d); i += 4 {
		s0 += d[i]
		s1 += d[i+1]
		s2 += d[i+2]
		s3 += d[i+3]
	}
	for ; i < len(d); i++ {
		s0 += d[i]
	}
	return (s0 + s1) + (s2 + s3)
}
