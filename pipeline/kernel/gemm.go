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
	// gemmChains is how many panels of a single row are done side by side, since each sum waits
	// for the one before.
	gemmChains = 4
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
	if m > 0 && n > 0 && depth > 0 {
		gemm(c, ldc, c, ldc, a, b, ldb, m, n, depth)
	}
}

// GemmFrom sets c to what Gemm makes of rows that all are start, of n elements; nil: of zeros.
func GemmFrom(c []float32, ldc int, start []float32, a Strided, b []float32, ldb, m, n, depth int) {
	switch {
	case m <= 0 || n <= 0:
	case depth > 0:
		gemm(c, ldc, start, 0, a, b, ldb, m, n, depth)
	case ldc < n || start != nil && len(start) < n || len(c) < (m-1)*ldc+n:
		panic(lengthPanic)
	default:
		gemmStart(c, ldc, start, m, n)
	}
}

// gemmStart sets rows to start.
func gemmStart(c []float32, ldc int, start []float32, m, n int) {
	for i := range m {
		clear(c[i*ldc:][copy(c[i*ldc:][:n], start):n])
	}
}

// gemm sets c to what Gemm makes of start, of which row i begins at i*lds; nil: of zeros.
func gemm(c []float32, ldc int, start []float32, lds int, a Strided, b []float32, ldb, m, n, depth int) {
	if ldc < n || ldb < n || a.Row < 0 || a.Column < 0 || len(c) < (m-1)*ldc+n || start != nil && len(start) < (m-1)*lds+n || len(b) < (depth-1)*ldb+n ||
		len(a.Values) <= (m-1)*a.Row+(depth-1)*a.Column {
		panic(lengthPanic)
	}
	wide := gemmWide
	switch {
	case !avx2 || !fused:
		if lds == 0 {
			gemmStart(c, ldc, start, m, n)
		}
		gemmPlain(c, ldc, a, b, ldb, m, n, depth)
		return
	case !avx512:
		wide /= 2
	}
	if n == 1 && m > 1 && gemmColumn(c, ldc, start, lds, a, b, ldb, m, depth) {
		return
	}
	var zeros [gemmChains * gemmWide]float32
	for from := 0; from < depth; from += gemmDepth {
		part := Strided{a.Values[from*a.Column:], a.Row, a.Column}
		steps := min(gemmDepth, depth-from)
		for j := 0; j < n; {
			columns := wide
			if m == 1 && n-j >= gemmChains*wide {
				columns *= gemmChains
			}
			first := zeros[:]
			if start != nil {
				first = start[j:]
			}
			if n-j < columns {
				gemmEdge(c[j:], ldc, first, lds, part, b[from*ldb+j:], ldb, m, n-j, steps)
			} else {
				gemmRows(c[j:], ldc, first, lds, part, b[from*ldb+j:], ldb, m, steps, columns)
			}
			j += columns
		}
		start, lds = c, ldc
	}
}

// gemmRows does the rows of a panel of so many columns, as many at a time as there are
// registers for.
func gemmRows(c []float32, ldc int, start []float32, lds int, a Strided, b []float32, ldb, m, depth, wide int) {
	for i := 0; i < m; {
		c, s, v := &c[i*ldc], &start[i*lds], &a.Values[i*a.Row]
		i += gemmTile(c, ldc, s, lds, v, a.Row, a.Column, &b[0], ldb, m-i, depth, wide)
	}
}

// gemmTile does the first of m rows of a panel, and returns how many.
func gemmTile(c *float32, ldc int, start *float32, lds int, a *float32, row, column int, b *float32, ldb, m, depth, wide int) int {
	switch {
	case wide == gemmChains*32:
		gemm1x128AVX512(c, ldc, start, lds, a, row, column, b, ldb, depth, m)
		return m
	case wide == gemmChains*16:
		gemm1x64AVX2(c, ldc, start, lds, a, row, column, b, ldb, depth, m)
		return m
	case wide == 32 && m >= 12:
		n := m / 12
		gemm12x32AVX512(c, ldc, start, lds, a, row, column, b, ldb, depth, n)
		return 12 * n
	case wide == 32 && m >= 4:
		gemm4x32AVX512(c, ldc, start, lds, a, row, column, b, ldb, depth, 1)
		return 4
	case wide == 32:
		gemm1x32AVX512(c, ldc, start, lds, a, row, column, b, ldb, depth, m)
		return m
	case avx512 && m >= 12:
		n := m / 12
		gemm12x16AVX512(c, ldc, start, lds, a, row, column, b, ldb, depth, n)
		return 12 * n
	case m >= 6:
		n := m / 6
		gemm6x16AVX2(c, ldc, start, lds, a, row, column, b, ldb, depth, n)
		return 6 * n
	}
	gemm1x16AVX2(c, ldc, start, lds, a, row, column, b, ldb, depth, m)
	return m
}

// edgeRows is how many rows of a panel that is not full are copied at a time.
const edgeRows = 48

// gemmEdge does columns that are no whole panel: copies of b and c that are one.
func gemmEdge(c []float32, ldc int, start []float32, lds int, a Strided, b []float32, ldb, m, n, depth int) {
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
			copy(tile[r*wide:], start[(i+r)*lds:][:n])
		}
		part := Strided{a.Values[i*a.Row:], a.Row, a.Column}
		gemmRows(tile[:], wide, tile[:], wide, part, panel[:], wide, rows, depth, wide)
		for r := range rows {
			copy(c[(i+r)*ldc:][:n], tile[r*wide:])
		}
	}
}

// columnRows and columnDepth are the part of a matrix that gemmColumn transposes at a time.
const columnRows, columnDepth = 128, 32

// gemmColumn does a result of one column, if it may: as a row, by the matrix on the left transposed,
// since a panel of columns would have one that is not empty.
func gemmColumn(c []float32, ldc int, start []float32, lds int, a Strided, b []float32, ldb, m, depth int) bool {
	byRows := a.Row == 1 && a.Column >= m
	if ldc != 1 || lds > 1 || !byRows && a.Column != 1 {
		return false
	}
	if lds == 0 {
		var first float32
		if start != nil {
			first = start[0]
		}
		Fill(c[:m], first)
	}
	if byRows {
		gemm(c, m, c, m, Strided{b, 0, ldb}, a.Values, a.Column, 1, m, depth)
		return true
	}
	var panel [columnRows * columnDepth]float32
	for i := 0; i < m; i += columnRows {
		rows := min(columnRows, m-i)
		for p := 0; p < depth; p += columnDepth {
			steps := min(columnDepth, depth-p)
			Transpose(panel[:], rows, a.Values[i*a.Row+p:], a.Row, rows, steps)
			gemm(c[i:], rows, c[i:], rows, Strided{b[p*ldb:], 0, ldb}, panel[:], rows, 1, rows, steps)
		}
	}
	return true
}

// Transpose sets dst[j*ldd+i] = src[i*lds+j], of so many rows i and columns j.
func Transpose(dst []float32, ldd int, src []float32, lds, rows, columns int) {
	if rows <= 0 || columns <= 0 {
		return
	}
	if ldd < rows || lds < columns || len(dst) < (columns-1)*ldd+rows || len(src) < (rows-1)*lds+columns {
		panic(lengthPanic)
	}
	whole, i := groups(columns, 8), 0
	for ; whole > 0 && i+8 <= rows; i += 8 {
		transposeAVX2(&dst[i], ldd, &src[i*lds], lds, whole/8)
		if whole < columns {
			transposePlain(dst[whole*ldd+i:], ldd, src[i*lds+whole:], lds, 8, columns-whole)
		}
	}
	if i < rows {
		transposePlain(dst[i:], ldd, src[i*lds:], lds, rows-i, columns)
	}
}

func transposePlain(dst []float32, ldd int, src []float32, lds, rows, columns int) {
	for i := range rows {
		for j, v := range src[i*lds:][:columns] {
			dst[j*ldd+i] = v
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
