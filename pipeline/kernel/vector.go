package kernel

import (
	"math"
	"slices"
)

// Resized returns a slice of n elements, in the memory of s where that has room.
func Resized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// Finite returns the index of the first element of v that is NaN or infinite,
// or -1.
func Finite(v []float32) int {
	const exponent = 0x7f800000
	for i, x := range v {
		if math.Float32bits(x)&exponent == exponent {
			return i
		}
	}
	return -1
}

// Golden is 2^64 divided by the golden ratio, the increment of SplitMix64.
const Golden = 0x9e3779b97f4a7c15

// Mix is the finalizer of SplitMix64 (Steele, Lea and Flood 2014), a bijection
// in which every bit of the result depends on every bit of x.
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Sqrt is the float32 square root, correctly rounded: the compiler has one instruction for
// this form.
func Sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// Scale does v[i] *= factor.
func Scale(v []float32, factor float32) {
	for i := range v {
		v[i] *= factor
	}
}

// Accumulate does sum[i] += weight * v[i] in float64.
func Accumulate(sum []float64, v []float32, weight float64) {
	checkLen(len(sum), len(v))
	if n := groups(len(sum), 8); n > 0 {
		accumulateAVX2(sum[:n], v[:n], weight)
		sum, v = sum[n:], v[n:]
	}
	v = v[:len(sum)]
	for i := range sum {
		sum[i] += float64(weight * float64(v[i]))
	}
}

// Narrow sets dst[i] = sum[i] * factor, rounded to float32. With the factor
// 1/total it turns the sums of Accumulate into a weighted mean; the mean of one
// vector is that vector, bit for bit, because the float64 roundings are far below
// half a unit of a float32.
func Narrow(dst []float32, sum []float64, factor float64) {
	checkLen(len(dst), len(sum))
	if n := groups(len(dst), 8); n > 0 {
		narrowAVX2(dst[:n], sum[:n], factor)
		dst, sum = dst[n:], sum[n:]
	}
	sum = sum[:len(dst)]
	for i := range dst {
		dst[i] = float32(sum[i] * factor)
	}
}

// Mean sets dst to the weighted mean of parts, as Accumulate from zeros, part by part,
// and Narrow do. dst may be one of parts.
func Mean(dst []float32, parts [][]float32, weights []float64, factor float64) {
	checkLen(len(parts), len(weights))
	for _, part := range parts {
		checkLen(len(dst), len(part))
	}
	i := groups(len(dst), 32)
	if i > 0 && len(parts) > 0 {
		meanAVX2(dst[:i], parts, weights, factor)
	} else {
		i = 0
	}
	for ; i < len(dst); i++ {
		var sum float64
		for k, part := range parts {
			sum += float64(weights[k] * float64(part[i]))
		}
		dst[i] = float32(sum * factor)
	}
}

// Blend sets dst[i] = mean[i] + (x[i]-mean[i])*share, in float64, rounded to
// float32. With the share 1/k it takes the mean of k-1 vectors to that of k. dst
// may be mean.
func Blend(dst, mean, x []float32, share float64) {
	checkLen(len(dst), len(mean))
	checkLen(len(dst), len(x))
	if n := groups(len(dst), 4); n > 0 {
		blendAVX2(dst[:n], mean[:n], x[:n], share)
		dst, mean, x = dst[n:], mean[n:], x[n:]
	}
	mean, x = mean[:len(dst)], x[:len(dst)]
	for i := range dst {
		m := float64(mean[i])
		dst[i] = float32(m + float64((float64(x[i])-m)*share))
	}
}
