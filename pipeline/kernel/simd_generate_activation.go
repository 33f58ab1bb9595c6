//go:build ignore

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// activations are loops over the values of layers, and over rows of tables.
func activations() {
	begin("reluAVX2", "dst, z []float32)")
	dst, n, z, zero := base("dst"), length("dst"), base("z"), YMM()
	VXORPS(zero, zero, zero)
	loop(n, 8, func(i Register) {
		v := YMM()
		VMOVUPS(at(z, i, 4, 0), v)
		VMAXPS(zero, v, v) // zero where v is NaN
		VMOVUPS(v, at(dst, i, 4, 0))
	})
	end()

	begin("reluSlopeAVX2", "dst, d, z []float32)")
	dst, n, z, zero = base("dst"), length("dst"), base("z"), YMM()
	d := base("d")
	VXORPS(zero, zero, zero)
	loop(n, 8, func(i Register) {
		above := YMM()
		VCMPPS(Imm(1), at(z, i, 4, 0), zero, above) // 0 < z
		VANDPS(at(d, i, 4, 0), above, above)
		VMOVUPS(above, at(dst, i, 4, 0))
	})
	end()

	begin("multiplyAVX2", "dst, x, y []float32)")
	dst, n, x, y := base("dst"), length("dst"), base("x"), base("y")
	loop(n, 8, func(i Register) {
		v := YMM()
		VMOVUPS(at(x, i, 4, 0), v)
		VMULPS(at(y, i, 4, 0), v, v)
		VMOVUPS(v, at(dst, i, 4, 0))
	})
	end()

	begin("addAVX2", "z, x []float32)")
	z, n, x = base("z"), length("z"), base("x")
	loop(n, 8, func(i Register) {
		v := YMM()
		VMOVUPS(at(z, i, 4, 0), v)
		VADDPS(at(x, i, 4, 0), v, v)
		VMOVUPS(v, at(z, i, 4, 0))
	})
	end()
}
