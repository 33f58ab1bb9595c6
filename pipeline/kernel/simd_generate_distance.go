//go:build ignore

package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// distances are loops over the columns of a panel of 16 rows.
func distances() {
	panelLoop("squaredAVX2", func(query, value, sum VecVirtual) {
		VSUBPD(value, query, value)
		VMULPD(value, value, value)
		VADDPD(value, sum, sum)
	})
	two := everyLane(4, math.Float64bits(2))
	panelLoop("unequalAVX2", func(query, value, sum VecVirtual) {
		VCMPPD(Imm(4), value, query, value) // not equal
		VANDPD(two, value, value)
		VADDPD(value, sum, sum)
	})
}

// panelLoop is a function that adds to the sums of 16 rows what each column makes of a query's
// value and theirs.
func panelLoop(name string, add func(query, value, sum VecVirtual)) {
	begin(name, "dst *[16]float64, query, panel []float32)")
	dst, query, n, panel := Load(Param("dst"), GP64()), base("query"), length("query"), base("panel")
	var sums [4]VecVirtual
	for k := range sums {
		sums[k] = YMM()
		VMOVUPD(Mem{Base: dst, Disp: 32 * k}, sums[k])
	}
	loop(n, 1, func(i Register) {
		single, q := XMM(), YMM()
		VBROADCASTSS(at(query, i, 4, 0), single)
		VCVTPS2PD(single, q)
		for k := range sums {
			v := YMM()
			VCVTPS2PD(Mem{Base: panel, Disp: 16 * k}, v)
			add(q, v, sums[k])
		}
		ADDQ(Imm(64), panel)
	})
	for k := range sums {
		VMOVUPD(sums[k], Mem{Base: dst, Disp: 32 * k})
	}
	end()
}
