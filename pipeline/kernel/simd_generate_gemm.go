//go:build ignore

package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// gemms are the tiles of a product of matrices: rows by columns of it are in registers,
// while the products of one element after the other are added to all of them.
func gemms() {
	for _, rows := range []int{12, 4, 1} {
		gemm(rows, 32, 16)
	}
	gemm(12, 16, 16)
	gemm(6, 16, 8)
	gemm(1, 16, 8)
	gemm(1, 128, 16)
	gemm(1, 64, 8)
	transpose()
}

// gemm is a tile, and those below it, of so many columns in registers of so many lanes.
// It fuses, as Gemm says.
func gemm(rows, columns, lanes int) {
	vector, name := YMM, "AVX2"
	if lanes == 16 {
		vector, name = ZMM, "AVX512"
	}
	begin(fmt.Sprintf("gemm%dx%d%s", rows, columns, name), "c *float32, ldc int, start *float32, lds int, a *float32, row, column int, b *float32, ldb, depth, tiles int)")
	stride := func(param string) Register { // in bytes
		r := Load(Param(param), GP64())
		SHLQ(Imm(2), r)
		return r
	}
	c, ldc, a, row, column := Load(Param("c"), GP64()), stride("ldc"), Load(Param("a"), GP64()), stride("row"), stride("column")
	b, ldb := Load(Param("b"), GP64()), stride("ldb")
	times := func(n int, r Register) Register {
		p := GP64()
		IMUL3Q(Imm(uint64(n)), r, p)
		return p
	}
	var row3, row5 Register
	if rows > 3 {
		row3 = times(3, row)
	}
	if rows > 5 {
		row5 = times(5, row)
	}
	label := func(s string) string { return s }
	Label(label("tile"))
	// The registers of the tile.
	var tile [][]VecVirtual
	at, lds := Load(Param("start"), GP64()), stride("lds")
	for range rows {
		var line []VecVirtual
		for k := 0; k < columns; k += lanes {
			v := vector()
			VMOVUPS(Mem{Base: at, Disp: 4 * k}, v)
			line = append(line, v)
		}
		tile = append(tile, line)
		ADDQ(lds, at)
	}
	MOVQ(at, resolved("start").Addr) // of the next tile
	low, high, from, left := GP64(), GP64(), GP64(), Load(Param("depth"), GP64())
	MOVQ(a, low)
	if rows > 6 {
		LEAQ(Mem{Base: a, Index: row3, Scale: 2}, high)
	}
	MOVQ(b, from)
	Label(label("depth"))
	var line []VecVirtual
	for k := 0; k < columns; k += lanes {
		v := vector()
		VMOVUPS(Mem{Base: from, Disp: 4 * k}, v)
		line = append(line, v)
	}
	for r := range rows {
		base := low
		if r >= 6 {
			base = high
		}
		m := []Mem{{Base: base}, {Base: base, Index: row, Scale: 1}, {Base: base, Index: row, Scale: 2},
			{Base: base, Index: row3, Scale: 1}, {Base: base, Index: row, Scale: 4}, {Base: base, Index: row5, Scale: 1}}[r%6]
		x := vector()
		VBROADCASTSS(m, x)
		for k, v := range line {
			VFMADD231PS(v, x, tile[r][k])
		}
	}
	ADDQ(ldb, from)
	ADDQ(column, low)
	if rows > 6 {
		ADDQ(column, high)
	}
	DECQ(left)
	JNE(LabelRef(label("depth")))
	MOVQ(c, at)
	for r := range rows {
		for k, v := range tile[r] {
			VMOVUPS(v, Mem{Base: at, Disp: 4 * k * lanes})
		}
		if r+1 < rows {
			ADDQ(ldc, at)
		}
	}
	// The next tile.
	LEAQ(Mem{Base: at, Index: ldc, Scale: 1}, c)
	switch rows {
	case 1:
		ADDQ(row, a)
	case 4:
		LEAQ(Mem{Base: a, Index: row, Scale: 4}, a)
	case 6:
		LEAQ(Mem{Base: a, Index: row3, Scale: 2}, a)
	case 12:
		LEAQ(Mem{Base: a, Index: row3, Scale: 4}, a)
	}
	tiles := resolved("tiles").Addr
	DECQ(tiles)
	JNE(LabelRef(label("tile")))
	end()
}

// transpose is of eight rows, eight columns at a time.
func transpose() {
	begin("transposeAVX2", "dst *float32, ldd int, src *float32, lds, blocks int)")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	ldd, lds := Load(Param("ldd"), GP64()), Load(Param("lds"), GP64())
	SHLQ(Imm(2), ldd)
	SHLQ(Imm(2), lds)
	blocks := resolved("blocks").Addr
	Label("block")
	var v [8]VecVirtual
	at := GP64()
	MOVQ(src, at)
	for r := range v {
		v[r] = YMM()
		VMOVUPS(Mem{Base: at}, v[r])
		ADDQ(lds, at)
	}
	// Pairs of elements of rows r and r+1, then fours of r to r+3, in the halves of a register.
	pair := func(a, b VecVirtual, high bool) VecVirtual {
		x := YMM()
		if high {
			VUNPCKHPS(b, a, x)
		} else {
			VUNPCKLPS(b, a, x)
		}
		return x
	}
	four := func(a, b VecVirtual, high bool) VecVirtual {
		x := YMM()
		if high {
			VUNPCKHPD(b, a, x)
		} else {
			VUNPCKLPD(b, a, x)
		}
		return x
	}
	var fours [2][4]VecVirtual // of rows 0 to 3 and 4 to 7: columns k and 4+k
	for half := range fours {
		rows := v[4*half:][:4]
		for k := range 2 {
			a, b := pair(rows[0], rows[1], k == 1), pair(rows[2], rows[3], k == 1)
			fours[half][2*k], fours[half][2*k+1] = four(a, b, false), four(a, b, true)
		}
	}
	MOVQ(dst, at)
	for column := range 8 {
		x := YMM()
		low, high := fours[0][column%4], fours[1][column%4]
		if column < 4 {
			VPERM2F128(Imm(0x20), high, low, x)
		} else {
			VPERM2F128(Imm(0x31), high, low, x)
		}
		VMOVUPS(x, Mem{Base: at})
		ADDQ(ldd, at)
	}
	MOVQ(at, dst)
	ADDQ(Imm(32), src)
	DECQ(blocks)
	JNE(LabelRef("block"))
	end()
}
