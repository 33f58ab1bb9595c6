//go:build ignore

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// dropStep is by how much the numbers that Drop mixes grow with 16 elements, each mod 2^64.
const dropStep = (0x9e3779b97f4a7c15>>2 | 1) << 4 & (1<<64 - 1)

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

	// 16 elements at a time, of which each four are the parts of one number: lanes are what Mix
	// mixes next.
	begin("dropAVX2", "mask []float32, lanes *[4]uint64, most uint16, scale float32)")
	mask, n, number := base("mask"), length("mask"), YMM()
	VMOVDQU(Mem{Base: Load(Param("lanes"), GP64())}, number)
	most, scale, step := everywhere("most"), everywhere("scale"), register(everyLane(4, dropStep))
	const first, second = 0xbf58476d1ce4e5b9, 0x94d049bb133111eb // of Mix
	factors := map[uint64][2]VecVirtual{}
	for _, m := range []uint64{first, second} {
		factors[m] = [2]VecVirtual{register(everyLane(4, m)), register(everyLane(4, m>>32))}
	}
	shifted := func(x VecVirtual, by uint64) { // x ^= x>>by
		s := YMM()
		VPSRLQ(Imm(by), x, s)
		VPXOR(s, x, x)
	}
	times := func(x VecVirtual, m uint64) { // by parts of 32 bits
		high, cross := YMM(), YMM()
		VPSRLQ(Imm(32), x, high)
		VPMULUDQ(factors[m][0], high, high)
		VPMULUDQ(factors[m][1], x, cross)
		VPADDQ(cross, high, high)
		VPSLLQ(Imm(32), high, high)
		VPMULUDQ(factors[m][0], x, x)
		VPADDQ(high, x, x)
	}
	loop(n, 16, func(i Register) {
		bits, least := YMM(), YMM()
		VMOVDQA(number, bits)
		VPADDQ(step, number, number)
		shifted(bits, 30)
		times(bits, first)
		shifted(bits, 27)
		times(bits, second)
		shifted(bits, 31)
		VPMINUW(most, bits, least)
		VPCMPEQW(bits, least, bits) // bits <= most
		low, high, half := YMM(), YMM(), XMM()
		VPMOVSXWD(bits.AsX(), low)
		VEXTRACTI128(Imm(1), bits, half)
		VPMOVSXWD(half, high)
		VANDPS(scale, low, low)
		VANDPS(scale, high, high)
		VMOVUPS(low, at(mask, i, 4, 0))
		VMOVUPS(high, at(mask, i, 4, 8))
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
