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
}

// gemm is a tile, and those below it, of so many columns in registers of so many lanes.
// It fuses, as Gemm says.
func gemm(rows, columns, lanes int) {
	vector, name := YMM, "AVX2"
	if lanes == 16 {
		vector, name = ZMM, "AVX512"
	}
	begin(fmt.Sprintf("gemm%dx%d%s", rows, columns, name), "c *float32, ldc int, a *float32, row, column int, b *float32, ldb, depth, tiles int)")
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
	at := GP64()
	MOVQ(c, at)
	for r := range rows {
		var line []VecVirtual
		for k := 0; k < columns; k += lanes {
			v := vector()
			VMOVUPS(Mem{Base: at, Disp: 4 * k}, v)
			line = append(line, v)
		}
		tile = append(tile, line)
		if r+1 < rows {
			ADDQ(ldc, at)
		}
	}
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
