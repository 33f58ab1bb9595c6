package kernel

// The functions of this file apply an activation to the values of a layer, and multiply the
// gradient by these with its slope. The bits are the same on every machine.

// Relu sets dst[i] = z[i] where that is above 0, else 0. dst may be z.
func Relu(dst, z []float32) {
	checkLen(len(z), len(dst))
	if n := groups(len(z), 8); n > 0 {
		reluAVX2(dst[:n], z[:n])
		dst, z = dst[n:], z[n:]
	}
	dst = dst[:len(z)]
	for i, v := range z {
		if !(v > 0) {
			v = 0
		}
		dst[i] = v
	}
}

// ReluSlope sets dst[i] = d[i] where z[i] is above 0, else 0. dst may be d.
func ReluSlope(dst, d, z []float32) {
	checkLen(len(z), len(dst))
	checkLen(len(z), len(d))
	if n := groups(len(z), 8); n > 0 {
		reluSlopeAVX2(dst[:n], d[:n], z[:n])
		dst, d, z = dst[n:], d[n:], z[n:]
	}
	dst, d = dst[:len(z)], d[:len(z)]
	for i, v := range z {
		x := d[i]
		if !(v > 0) {
			x = 0
		}
		dst[i] = x
	}
}

// SigmoidSlope sets dst[i] = d[i]*y[i]*(1-y[i]): y is of Sigmoid. dst may be d.
func SigmoidSlope(dst, d, y []float32) {
	checkLen(len(y), len(dst))
	checkLen(len(y), len(d))
	dst, d = dst[:len(y)], d[:len(y)]
	for i, v := range y {
		dst[i] = d[i] * float32(v*(1-v))
	}
}

// Tanh sets dst[i] = tanh(z[i]) = 2*sigmoid(2*z[i]) - 1, with an error below 2^-22. dst may
// be z.
func Tanh(dst, z []float32) {
	checkLen(len(z), len(dst))
	dst = dst[:len(z)]
	for i, v := range z {
		dst[i] = 2 * v
	}
	Sigmoid(dst, dst)
	for i, v := range dst {
		dst[i] = float32(2*v) - 1
	}
}

// TanhSlope sets dst[i] = d[i]*(1-y[i]*y[i]): y is of Tanh. dst may be d.
func TanhSlope(dst, d, y []float32) {
	checkLen(len(y), len(dst))
	checkLen(len(y), len(d))
	dst, d = dst[:len(y)], d[:len(y)]
	for i, v := range y {
		dst[i] = d[i] * (1 - float32(v*v))
	}
}

// Of Hendrycks and Gimpel's approximation of the GELU by tanh ("Gaussian Error Linear
// Units", 2016), z/2*(1 + tanh(u/2)) = z*sigmoid(u) with u = 2*sqrt(2/pi)*(z + 0.044715*z^3).
const (
	GELU1 = 1.5957691216057308
	GELU3 = 0.071354816272600 // GELU1*0.044715
)

// GELU sets dst[i] = z[i]*s[i], and s[i] to the share of z[i] that passes. None may be
// another.
func GELU(dst, z, s []float32) {
	checkLen(len(z), len(dst))
	checkLen(len(z), len(s))
	dst, s = dst[:len(z)], s[:len(z)]
	for i, v := range z {
		s[i] = v * (float32(GELU3*float32(v*v)) + GELU1)
	}
	Sigmoid(s, s)
	for i, v := range z {
		dst[i] = v * s[i]
	}
}

// GELUSlope sets dst[i] = d[i] times the slope of GELU at z[i], which made s. dst may be d.
func GELUSlope(dst, d, s, z []float32) {
	checkLen(len(z), len(dst))
	checkLen(len(z), len(s))
	checkLen(len(z), len(d))
	dst, d, s = dst[:len(z)], d[:len(z)], s[:len(z)]
	for i, v := range z {
		v = min(max(v, -16), 16)                                     // beyond, s is 0 or 1, and the cube may be infinite
		rise := float32(v * (float32(3*GELU3*float32(v*v)) + GELU1)) // z times the slope of u
		dst[i] = d[i] * (s[i] + float32(rise*float32(s[i]*(1-s[i]))))
	}
}

// Drop sets mask[i] to scale where a number of 16 bits that seed and from+i draw is below
// keep, else to 0: from is a multiple of four.
func Drop(mask []float32, seed, from uint64, keep uint32, scale float32) {
	const step = Golden>>2 | 1
	n := groups(len(mask), 16)
	if n > 0 && keep-1 < 1<<16 {
		var lanes [4]uint64
		for k := range lanes {
			lanes[k] = seed + (from+4*uint64(k))*step
		}
		dropAVX2(mask[:n], &lanes, uint16(keep-1), scale)
	} else {
		n = 0
	}
	for i := n; i < len(mask); i += 4 {
		bits := Mix(seed + (from+uint64(i))*step)
		for k := range mask[i:min(i+4, len(mask))] {
			v := float32(0)
			if uint32(bits>>(16*k))&0xffff < keep {
				v = scale
			}
			mask[i+k] = v
		}
	}
}

// Multiply sets dst[i] = x[i]*y[i]. dst may be either.
func Multiply(dst, x, y []float32) {
	checkLen(len(dst), len(x))
	checkLen(len(dst), len(y))
	if n := groups(len(dst), 8); n > 0 {
		multiplyAVX2(dst[:n], x[:n], y[:n])
		dst, x, y = dst[n:], x[n:], y[n:]
	}
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = x[i] * y[i]
	}
}

// leastColumns is from how many columns on AddColumns has a register that is full.
const leastColumns = 8

// AddColumns adds to g[k] the sum over the rows of value k of d, of which each row has as
// many as g has, one row after the other.
func AddColumns(g, d []float32) {
	if n := len(g); n >= leastColumns && avx2 && fused { // once each is a factor of 1, sums are rounded as they are
		one := [1]float32{1}
		Gemm(g, n, Strided{Values: one[:]}, d, n, 1, n, len(d)/n)
		return
	}
	for ; len(g) > 0 && len(d) >= len(g); d = d[len(g):] {
		addRow(g, d[:len(g)])
	}
}
