package kernel

import "math"

// Log1p returns the natural logarithm of 1+x for x at least 0, the same bits on every
// machine, with a relative error of a few units in the last place: what the sum 1+x lost
// is made up for by the factor (Kahan).
func Log1p(x float64) float64 {
	u := 1 + x
	if u == 1 {
		return x
	}
	if math.IsInf(u, 1) {
		return Log(x)
	}
	return float64(Log(u) * (x / (u - 1)))
}

// Expm1 returns e^x - 1 as exactly as Log1p its logarithm.
func Expm1(x float64) float64 {
	u := Exp64(x)
	switch d := u - 1; {
	case u == 1:
		return x
	case d == -1 || math.IsInf(u, 1):
		return d
	default:
		return float64(d * (x / Log(u)))
	}
}

// Exp64 returns e^x, the same bits on every machine: FreeBSD's e_exp.c like math.Exp, with every product rounded by itself.
func Exp64(x float64) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
		log2e = 1.44269504088896338700e+00
		p1    = 1.66666666666666657415e-01
		p2    = -2.77777777770155933842e-03
		p3    = 6.61375632143793436117e-05
		p4    = -1.65339022054652515390e-06
		p5    = 4.13813679705723846039e-08
	)
	switch {
	case x > 7.09782712893383973096e+02:
		return math.Inf(1)
	case x < -7.45133219101941108420e+02:
		return 0
	}
	k := math.Floor(float64(log2e*x) + 0.5)
	hi, lo := x-float64(k*ln2Hi), float64(k*ln2Lo)
	r := hi - lo
	t := float64(r * r)
	c := r - float64(t*(p1+float64(t*(p2+float64(t*(p3+float64(t*(p4+float64(t*p5)))))))))
	y := 1 - ((lo - float64(r*c)/(2-c)) - hi)
	return math.Ldexp(y, int(k))
}

// SinCos returns the sine and cosine of so many turns, of which only the fraction counts,
// the same bits on every machine: FreeBSD's k_sin.c and k_cos.c, with every product
// rounded by itself, of an angle within an eighth of a turn.
func SinCos(turns float64) (sin, cos float64) {
	const (
		s1 = -1.66666666666666324348e-01
		s2 = 8.33333333332248946124e-03
		s3 = -1.98412698298579493134e-04
		s4 = 2.75573137070700676789e-06
		s5 = -2.50507602534068634195e-08
		s6 = 1.58969099521155010221e-10
		c1 = 4.16666666666666019037e-02
		c2 = -1.38888888888741095749e-03
		c3 = 2.48015872894767294178e-05
		c4 = -2.75573143513906633035e-07
		c5 = 2.08757232129817482790e-09
		c6 = -1.13596475577881948265e-11
	)
	quarters := float64(4 * (turns - math.Trunc(turns)))
	whole := math.Floor(quarters + 0.5)
	x := float64((quarters - whole) * (math.Pi / 2))
	z := float64(x * x)
	sin = x + float64(float64(z*x)*(s1+float64(z*(s2+float64(z*(s3+float64(z*(s4+float64(z*(s5+float64(z*s6)))))))))))
	r := float64(z * (c1 + float64(z*(c2+float64(z*(c3+float64(z*(c4+float64(z*(c5+float64(z*c6)))))))))))
	half := float64(0.5 * z)
	one := 1 - half
	cos = one + (((1 - one) - half) + float64(z*r))
	switch int(whole) & 3 {
	case 1:
		return cos, -sin
	case 2:
		return -sin, -cos
	case 3:
		return -cos, sin
	}
	return sin, cos
}
