//go:build ignore

package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// cyclePart divides as float64: integers below 2^51 are exact in it, and so is what is
// left of a division whose quotient may be one too large or too small. It writes nothing
// and returns false where an integer is larger.
func cyclePart() {
	const exact = 1 << 51 // |t+offset| below it
	begin("cyclePartAVX2", "dst, t []int64, offset int64, cycle, perCycle, perPart float64) (done bool)")
	dst, n, t := base("dst"), length("dst"), base("t")
	offset, cycle, perCycle, perPart := everywhere("offset"), everywhere("cycle"), everywhere("perCycle"), everywhere("perPart")
	// The bits of 1.5 * 2^52 plus an integer are those of the float64 with this sum.
	magic, half, above := register(double(3<<51)), register(double(0.5)), register(everyLane(4, 0xfff<<52))
	shift := register(everyLane(4, exact))
	shifted := func(i Register) VecVirtual {
		x := YMM()
		VPADDQ(at(t, i, 8, 0), offset, x)
		return x
	}
	outside := YMM()
	VPXOR(outside, outside, outside)
	loop(n, 4, func(i Register) {
		x := shifted(i)
		VPADDQ(shift, x, x)
		VPOR(x, outside, outside)
	})
	done := GP8()
	VPTEST(outside, above)
	SETEQ(done)
	Store(done, ReturnIndex(0))
	JNE(LabelRef("end"))
	loop(n, 4, func(i Register) {
		x, q, other := shifted(i), YMM(), YMM()
		VPADDQ(magic, x, x)
		VSUBPD(magic, x, x)
		VMULPD(perCycle, x, q)
		VROUNDPD(Imm(1), q, q) // down
		VMULPD(cycle, q, q)
		VSUBPD(q, x, x)
		VADDPD(cycle, x, other)
		VBLENDVPD(x, other, x, x) // other where x is below 0
		VSUBPD(cycle, x, other)
		VBLENDVPD(other, x, other, x)
		VADDPD(half, x, x) // no part begins here, so that no rounding can lead to the one before
		VMULPD(perPart, x, x)
		VROUNDPD(Imm(1), x, x)
		VADDPD(magic, x, x)
		VPSUBQ(magic, x, x)
		VMOVUPS(x, at(dst, i, 8, 0))
	})
	Label("end")
	end()
}
