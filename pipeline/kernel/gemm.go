package kernel

import "math"

// Strided is a matrix in a slice: the element in row i and column p is at [i*Row+p*Column].
type Strided struct {
	Values      []float32
	Row, Column int
}

const (
	// gemmDepth is how many products of an element are added before the next elements' turn:
	// so many rows of 32 columns of b stay in the first-level cache.
	gemmDepth = 256
	gemmWide  = 32 // the columns of a panel with AVX-512; with AVX2 half
)

// Gemm adds to each element (i, j) of c, which has m rows of n and begins a row every ldc
// elements, the products of row i of a, which has depth columns, and column j of b, which
// has depth rows of n and begins one every ldb elements:
//
//	for i, j, p: c[i*ldc+j] = fma(a(i, p), b[p*ldb+j], c[i*ldc+j]), by ascending p
//
// A product is not rounded before it is added: one instruction of AVX2 and AVX-512 does
// both, and fma the same where there is none. An element's bits depend neither on m, n and
// the other elements nor on how many are computed side by side.
func Gemm(c []float32, ldc int, a Strided, b []float32, ldb, m, n, depth int) {
	if m <= 0 || n <= 0 || depth <= 0 {
		return
	}
	if ldc < n || ldb < n || a.Row < 0 || a.Column < 0 || len(c) < (m-1)*ldc+n || len(b) < (depth-1)*ldb+n ||
		len(a.Values) <= (m-1)*a.Row+(depth-1)*a.Column {
		panic(lengthPanic)
	}
	wide := gemmWide
	switch {
	case !avx2 || !fused:
		gemmPlain(c, ldc, a, b, ldb, m, n, depth)
		return
	case !avx512:
		wide /= 2
	}
	for from := 0; from < depth; from += gemmDepth {
		part := Strided{a.Values[from*a.Column:], a.Row, a.Column}
		steps := min(gemmDepth, depth-from)
		j := 0
		for ; j+wide <= n; j += wide {
			gemmRows(c[j:], ldc, part, b[from*ldb+j:], ldb, m, steps, wide)
		}
		if j < n {
			gemmEdge(c[j:], ldc, part, b[from*ldb+j:], ldb, m, n-j, steps)
		}
	}
}

// gemmRows does the rows of a panel of so many columns, as many at a time as there are
// registers for.
func gemmRows(c []float32, ldc int, a Strided, b []float32, ldb, m, depth, wide int) {
	for i := 0; i < m; {
		c, v := &c[i*ldc], &a.Values[i*a.Row]
		i += gemmTile(c, ldc, v, a.Row, a.Column, &b[0], ldb, m-i, depth, wide)
	}
}

// gemmTile does the first of m rows of a panel, and returns how many.
func gemmTile(c *float32, ldc int, a *float32, row, column int, b *float32, ldb, m, depth, wide int) int {
	switch {
	case wide == 32 && m >= 12:
		n := m / 12
		gemm12x32AVX512(c, ldc, a, row, column, b, ldb, depth, n)
		return 12 * n
	case wide == 32 && m >= 4:
		gemm4x32AVX512(c, ldc, a, row, column, b, ldb, depth, 1)
		return 4
	case wide == 32:
		gemm1x32AVX512(c, ldc, a, row, column, b, ldb, depth, m)
		return m
	case avx512 && m >= 12:
		n := m / 12
		gemm12x16AVX512(c, ldc, a, row, column, b, ldb, depth, n)
		return 12 * n
	case m >= 6:
		n := m / 6
		gemm6x16AVX2(c, ldc, a, row, column, b, ldb, depth, n)
		return 6 * n
	}
	gemm1x16AVX2(c, ldc, a, row, column, b, ldb, depth, m)
	return m
}

// edgeRows is how many rows of a panel that is not full are copied at a time.
const edgeRows = 48

// gemmEdge does columns that are no whole panel: copies of b and c that are one.
func gemmEdge(c []float32, ldc int, a Strided, b []float32, ldb, m, n, depth int) {
	var panel [gemmDepth * gemmWide]float32
	var tile [edgeRows * gemmWide]float32
	wide := 16
	if n > wide {
		wide = gemmWide // with AVX-512 only
	}
	for p := range depth {
		copy(panel[p*wide:], b[p*ldb:][:n])
	}
	for i := 0; i < m; i += edgeRows {
		rows := min(edgeRows, m-i)
		for r := range rows {
			copy(tile[r*wide:], c[(i+r)*ldc:][:n])
		}
		part := Strided{a.Values[i*a.Row:], a.Row, a.Column}
		gemmRows(tile[:], wide, part, panel[:], wide, rows, depth, wide)
		for r := range rows {
			copy(c[(i+r)*ldc:][:n], tile[r*wide:])
		}
	}
}

// gemmPlain is Gemm in Go.
func gemmPlain(c []float32, ldc int, a Strided, b []float32, ldb, m, n, depth int) {
	for i := range m {
		row := c[i*ldc:][:n]
		for p := range depth {
			x := a.Values[i*a.Row+p*a.Column]
			for j, y := range b[p*ldb:][:n] {
				row[j] = fma(x, y, row[j])
			}
		}
	}
}

// fma is a*b + c, rounded once. The product has no error in a float64, and the sum one
// that matters where it is in the middle of two float32s, or beside the least of them.
func fma(a, b, c float32) float32 {
	s := float64(float64(a)*float64(b)) + float64(c)
	const below, middle, least = 1<<29 - 1, 1 << 28, 0x381 << 52 // 2^-126
	if bits := math.Float64bits(s); bits&below == middle || bits&^(1<<63) < least {
		return roundOdd(a, b, c)
	}
	return float32(s)
}

// roundOdd is fma where the sum's own rounding could change that to a float32: a sum that
// is not exact is rounded to the odd one of its neighbours, which is in the middle of no
// two float32s (Boldo and Melquiond 2008).
func roundOdd(a, b, c float32) float32 {
	p, d := float64(float64(a)*float64(b)), float64(c)
	s := p + d
	q := s - p
	e := (p - (s - q)) + (d - q) // what s lacks (Knuth)
	if bits := math.Float64bits(s); e != 0 && bits&1 == 0 {
		if (e > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}
