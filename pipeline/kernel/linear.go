package kernel

import (
	"math"
	"slices"
)

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

// groups returns how many of n rows are in whole groups of a power of two, for a loop
// with AVX2; without AVX2 none.
func groups(n, of int) int {
	if !avx2 {
		return 0
	}
	return n &^ (of - 1)
}

// Fill sets z[i] = v.
func Fill(z []float32, v float32) {
	for i := range z {
		z[i] = v
	}
}

// Affine sets z[i] = v + w[0]*columns[0][from+i] + w[1]*columns[1][from+i] + ..., added in this
// order. Meanwhile it prefetches ahead, which may be nil: one cache line for each two that it
// reads of the columns after the first, since memory drops requests that come faster.
func Affine(z []float32, columns [][]float32, from int, w []float32, v float32, ahead []float32) {
	checkLen(len(columns), len(w))
	if len(columns) == 0 {
		Fill(z, v)
		return
	}
	x := columns[0][from : from+len(z)]
	n := groups(len(z), 8)
	if n > 0 {
		affineAVX2(z[:n], x[:n], w[0], v)
	}
	for i := n; i < len(z); i++ {
		z[i] = v + float32(w[0]*x[i])
	}
	n = groups(len(z), 32)
	for k, column := range columns[1:] {
		x, done := column[from:from+len(z)], 0
		if n > 0 && len(ahead) >= n/2 {
			addScaledAheadAVX2(z[:n], x[:n], w[k+1], ahead)
			ahead, done = ahead[n/2:], n
		}
		AddScaled(z[done:], x[done:], w[k+1])
	}
}

// AddScaled does z[i] += w * x[i].
func AddScaled(z, x []float32, w float32) {
	checkLen(len(z), len(x))
	if n := groups(len(z), 8); n > 0 {
		addScaledAVX2(z[:n], x[:n], w)
		z, x = z[n:], x[n:]
	}
	x = x[:len(z)]
	for i := range z {
		z[i] += float32(w * x[i])
	}
}

// An ID is an id of a category in as many bytes as the largest of its slot takes.
type ID interface{ uint8 | uint16 | uint32 }

// Gather does z[i] += t[ids[i]].
func Gather[I ID](z, t []float32, ids []I) {
	checkLen(len(z), len(ids))
	n := groups(len(z), 8)
	if n > 0 && above(ids[:n], len(t)-1) {
		n = 0 // and the loop below panics
	}
	if n > 0 {
		switch ids := any(ids[:n]).(type) {
		case []uint8:
			gather8(z[:n], t, ids)
		case []uint16:
			gather16AVX2(z[:n], t, ids)
		case []uint32:
			gather32AVX2(z[:n], t, ids)
		}
		z, ids = z[n:], ids[n:]
	}
	ids = ids[:len(z)]
	for i := range z {
		z[i] += t[ids[i]]
	}
}

// gather8 is Gather of whole groups of ids below len(t), with AVX2.
func gather8(z, t []float32, ids []uint8) {
	switch {
	case len(t) <= 8:
		var few [8]float32
		copy(few[:], t)
		lookup8AVX2(z, &few, ids)
	case len(t) <= 32:
		var few [32]float32
		copy(few[:], t)
		lookup32AVX2(z, &few, ids)
	default:
		gather8AVX2(z, t, ids)
	}
}

// above tells whether an id is above a limit.
func above[I ID](ids []I, limit int) (found bool) {
	if limit < 0 {
		return len(ids) > 0
	}
	if largest := uint64(^I(0)); uint64(limit) >= largest {
		return false
	}
	switch ids := any(ids).(type) {
	case []uint8:
		n := groups(len(ids), 32)
		found = n > 0 && above8AVX2(ids[:n], uint8(limit))
		return found || slices.ContainsFunc(ids[n:], func(id uint8) bool { return int(id) > limit })
	case []uint16:
		n := groups(len(ids), 16)
		found = n > 0 && above16AVX2(ids[:n], uint16(limit))
		return found || slices.ContainsFunc(ids[n:], func(id uint16) bool { return int(id) > limit })
	case []uint32:
		n := groups(len(ids), 8)
		found = n > 0 && above32AVX2(ids[:n], uint32(limit))
		return found || slices.ContainsFunc(ids[n:], func(id uint32) bool { return int(id) > limit })
	}
	return true
}

// Scatter does g[ids[i]] += d[i].
func Scatter[I ID](g []float32, ids []I, d []float32) {
	checkLen(len(d), len(ids))
	ids = ids[:len(d)]
	for i, v := range d {
		g[ids[i]] += v
	}
}

// ScatterBytes is Scatter of several slots, at most four, whose tables must not
// overlap: in one pass, as a row must wait for those before it where ids are the same.
func ScatterBytes(tables [][]float32, ids [][]uint8, d []float32) {
	checkLen(len(tables), len(ids))
	n := groups(len(d), 4)
	few := -1 // a table that a register holds
	for k, g := range tables {
		checkLen(len(d), len(ids[k]))
		if above(ids[k][:n], len(g)-1) {
			n = 0
		}
		if len(g) <= 8 {
			few = k
		}
	}
	if n > 0 {
		n = scatter(tables, ids, d[:n], few)
	}
	for k, g := range tables {
		Scatter(g, ids[k][n:], d[n:])
	}
}

// scatter is ScatterBytes with AVX2, of ids that were checked. It returns how many rows it did: none
// of one slot.
func scatter(tables [][]float32, ids [][]uint8, d []float32, few int) int {
	var g [4][]float32 // those but few
	var i [4][]uint8
	slots := 0
	for k := range tables {
		if k != few {
			g[slots], i[slots] = tables[k], ids[k]
			slots++
		}
	}
	if few < 0 {
		switch slots {
		case 2:
			scatter2AVX2(g[0], i[0], g[1], i[1], d)
		case 3:
			scatter3AVX2(g[0], i[0], g[1], i[1], g[2], i[2], d)
		case 4:
			scatter4AVX2(g[0], i[0], g[1], i[1], g[2], i[2], g[3], i[3], d)
		default:
			return 0
		}
		return len(d)
	}
	var sums [8]float32
	copy(sums[:], tables[few])
	switch slots {
	case 1:
		scatter1FewAVX2(&sums, ids[few], g[0], i[0], d)
	case 2:
		scatter2FewAVX2(&sums, ids[few], g[0], i[0], g[1], i[1], d)
	case 3:
		scatter3FewAVX2(&sums, ids[few], g[0], i[0], g[1], i[1], g[2], i[2], d)
	default:
		return 0
	}
	copy(tables[few], sums[:])
	return len(d)
}

// Dot returns the sum of d[i]*x[i], in four interleaved partial sums.
func Dot(d, x []float32) float32 {
	checkLen(len(d), len(x))
	var s [8]float32
	n := groups(len(d), 8)
	if n > 0 {
		dot1AVX2(d[:n], x[:n], &s)
	}
	return dot(d[n:], x[n:], s[:4])
}

// dot goes on with four partial sums.
func dot(d, x, s []float32) float32 {
	x = x[:len(d)]
	s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
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

// DotColumns adds to g[k] the Dot of d and columns[k][from:], and returns the Sum of d.
func DotColumns(g, d []float32, columns [][]float32, from int) float32 {
	checkLen(len(g), len(columns))
	n := groups(len(d), 8)
	if n == 0 || len(g) == 0 {
		for k, column := range columns {
			g[k] += Dot(d, column[from:from+len(d)])
		}
		return Sum(d)
	}
	var s [36]float32
	last := 0 // how many columns had the sums that s has
	for len(g) > 0 {
		var c [8][]float32
		last = 1
		if len(g) >= 8 {
			last = 8
		} else if len(g) >= 4 {
			last = 4
		}
		for k, column := range columns[:last] {
			c[k] = column[from : from+len(d)]
		}
		switch d := d[:n]; last {
		case 8:
			dot8AVX2(d, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], &s)
		case 4:
			dot4AVX2(d, c[0], c[1], c[2], c[3], (*[20]float32)(s[:20]))
		default:
			dot1AVX2(d, c[0], (*[8]float32)(s[:8]))
		}
		for k, column := range c[:last] {
			g[k] += dot(d[n:], column[n:], s[4*k:])
		}
		columns, g = columns[last:], g[last:]
	}
	return sum(d[n:], s[4*last:])
}

// Sum returns the sum of d, in four interleaved partial sums.
func Sum(d []float32) float32 {
	var s [4]float32
	n := groups(len(d), 8)
	if n > 0 {
		dot0AVX2(d[:n], &s)
	}
	return sum(d[n:], s[:])
}

// sum goes on with four partial sums.
func sum(d, s []float32) float32 {
	s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
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

// Prefetch has memory brought into the cache that is about to be read.
func Prefetch(memory []byte) {
	if avx2 && len(memory) > 0 {
		prefetchAVX2(memory)
	}
}

// Floats sets dst[i] = src[i].
func Floats(dst []float32, src []uint8) {
	checkLen(len(dst), len(src))
	if n := groups(len(dst), 8); n > 0 {
		floatsAVX2(dst[:n], src[:n])
		dst, src = dst[n:], src[n:]
	}
	for i, v := range src {
		dst[i] = float32(v)
	}
}

// AdamStep is a step of the optimizer of that name: of weights w by their gradients
// g, with moving averages m and v.
//
//	m = beta1*m + new1*g
//	v = beta2*v + new2*(g*g)
//	w -= step*m / (sqrt(v) + bar)
func AdamStep(w, g, m, v []float32, beta1, new1, beta2, new2, step, bar float32) {
	checkLen(len(w), len(g))
	checkLen(len(w), len(m))
	checkLen(len(w), len(v))
	if n := groups(len(w), 8); n > 0 {
		adamAVX2(w[:n], g[:n], m[:n], v[:n], beta1, new1, beta2, new2, step, bar)
		w, g, m, v = w[n:], g[n:], m[n:], v[n:]
	}
	for i, x := range g {
		first := float32(beta1*m[i]) + float32(new1*x)
		second := float32(beta2*v[i]) + float32(new2*float32(x*x))
		m[i], v[i] = first, second
		w[i] -= float32(step*first) / (float32(math.Sqrt(float64(second))) + bar)
	}
}
