//go:build ignore

package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// sigmoid returns what makes sigmoids of the rows in a vector, overwriting them. The constants that
// constant does not put into registers are operands in memory: AVX2 has 16 registers, AVX-512 32.
func sigmoid(vector func() VecVirtual, constant func(Mem) Op) func(v VecVirtual) {
	low, high, one := broadcast(vector, single(-87)), broadcast(vector, single(87)), broadcast(vector, single(1))
	scale, magic, bias := constant(single(-math.Log2E)), broadcast(vector, single(12582912)), constant(everyLane(8, 127))
	var exp []Op
	for _, c := range []float64{6.931472028550421e-1, 2.402264791363012e-1, 5.550332471162809e-2, 9.618437357674640e-3, 1.339887440266574e-3, 1.535336188319500e-4} {
		exp = append(exp, constant(single(c)))
	}
	return func(v VecVirtual) {
		shifted, f, f2, p, q := vector(), vector(), vector(), vector(), vector()
		VMINPS(v, high, v) // NaN stays
		VMAXPS(v, low, v)
		VMULPS(scale, v, v)
		VADDPS(v, magic, shifted)
		VSUBPS(magic, shifted, f)
		VSUBPS(f, v, f)
		VMULPS(f, f, f2)
		VMULPS(exp[5], f2, p)
		VMULPS(exp[4], f, q)
		VADDPS(exp[3], q, q)
		VADDPS(q, p, p) // high
		VMULPS(f2, p, p)
		VMULPS(exp[2], f, q)
		VADDPS(exp[1], q, q)
		VADDPS(q, p, p) // high*f2 + mid
		VMULPS(f2, p, p)
		VMULPS(exp[0], f, q)
		VADDPS(one, q, q)
		VADDPS(q, p, p)
		VPADDD(bias, shifted, shifted)
		VPSLLD(Imm(23), shifted, shifted)
		VMULPS(shifted, p, p)
		VADDPS(one, p, p)
		VDIVPS(p, one, v)
	}
}

// broadcast has a float32 in memory in all lanes of a register.
func broadcast(vector func() VecVirtual, m Mem) VecVirtual {
	v := vector()
	VBROADCASTSS(m, v)
	return v
}

// logistic are the sigmoid, and the residual with the loss.
func logistic() {
	begin("sigmoidAVX2", "dst, z []float32)")
	dst, n, z := base("dst"), length("dst"), base("z")
	inMemory := func(m Mem) Op { return m }
	apply := sigmoid(YMM, inMemory)
	loop(n, 8, func(i Register) {
		v := YMM()
		VMOVUPS(at(z, i, 4, 0), v)
		apply(v)
		VMOVUPS(v, at(dst, i, 4, 0))
	})
	end()

	// Products of the labels' probabilities are of four lanes. It ends behind the
	// eight rows that bring one below small, and returns how many rows it did.
	begin("residualAVX2", "dst, z, y []float32, scale float32, products *[4]float64, small float64) (rows int)")
	dst, n, z = base("dst"), length("dst"), base("z")
	y, scale := base("y"), everywhere("scale")
	lanes := Load(Param("products"), GP64())
	product := YMM()
	VMOVUPD(Mem{Base: lanes}, product)
	least := everywhere("small")
	one, epsilon, sign := register(double(1)), double(1.0/(1<<23)), register(double(math.Copysign(0, -1)))
	apply = sigmoid(YMM, inMemory)
	i := GP64()
	XORQ(i, i)
	Label("rows")
	v := YMM()
	VMOVUPS(at(z, i, 4, 0), v)
	apply(v)
	VSUBPS(at(y, i, 4, 0), v, v)
	scaled := YMM()
	VMULPS(scale, v, scaled)
	VMOVUPS(scaled, at(dst, i, 4, 0))
	half := XMM()
	VEXTRACTF128(Imm(1), v, half)
	for _, h := range []VecVirtual{v.AsX().(VecVirtual), half} {
		q, bound := YMM(), YMM()
		VCVTPS2PD(h, q)
		VANDNPD(q, sign, q)
		VSUBPD(q, one, q)
		VMOVUPD(epsilon, bound)
		VMAXPD(q, bound, q) // NaN stays
		VMULPD(q, product, product)
	}
	ADDQ(Imm(8), i)
	below := YMM()
	VCMPPD(Imm(1), least, product, below)
	mask := GP32()
	VMOVMSKPD(below, mask)
	TESTL(mask, mask)
	JNE(LabelRef("stop"))
	CMPQ(i, n)
	JLT(LabelRef("rows"))
	Label("stop")
	VMOVUPD(product, Mem{Base: lanes})
	Store(i, ReturnIndex(0))
	end()
}

// logistic512 is the residual, 16 rows at a time. It too ends behind the eight rows that bring a
// product below small, which may be the first eight of 16.
func logistic512() {
	begin("residualAVX512", "dst, z, y []float32, scale float32, products *[4]float64, small float64) (rows int)")
	dst, n, z, y := base("dst"), length("dst"), base("z"), base("y")
	lanes := Load(Param("products"), GP64())
	product, least, scale := YMM(), everywhere("small"), broadcast(ZMM, resolved("scale").Addr)
	VMOVUPD(Mem{Base: lanes}, product)
	var doubles []VecVirtual
	for _, v := range []float64{1, 1.0 / (1 << 23), math.Copysign(0, -1)} {
		d := ZMM()
		VBROADCASTSD(double(v), d)
		doubles = append(doubles, d)
	}
	one, epsilon, sign := doubles[0], doubles[1], doubles[2]
	apply := sigmoid(ZMM, func(m Mem) Op { return broadcast(ZMM, m) })
	i := GP64()
	XORQ(i, i)
	Label("rows")
	v, scaled, half := ZMM(), ZMM(), YMM()
	VMOVUPS(at(z, i, 4, 0), v)
	apply(v)
	VSUBPS(at(y, i, 4, 0), v, v)
	VMULPS(scale, v, scaled)
	VEXTRACTF64X4(Imm(1), v, half)
	for k, eight := range []Op{v.AsY(), half} {
		q, four := ZMM(), YMM()
		VCVTPS2PD(eight, q)
		VPANDNQ(q, sign, q)
		VSUBPD(q, one, q)
		VMAXPD(q, epsilon, q) // NaN stays
		VMULPD(q.AsY(), product, product)
		VEXTRACTF64X4(Imm(1), q, four)
		VMULPD(four, product, product)
		mask := GP32()
		VCMPPD(Imm(1), least, product, Y15) // its AVX form has no register above this
		VMOVMSKPD(Y15, mask)
		if k == 1 {
			VMOVUPS(scaled, at(dst, i, 4, 0))
			ADDQ(Imm(16), i)
		}
		TESTL(mask, mask)
		JNE(LabelRef([]string{"half", "stop"}[k]))
	}
	CMPQ(i, n)
	JLT(LabelRef("rows"))
	JMP(LabelRef("stop"))
	Label("half")
	VMOVUPS(scaled.AsY(), at(dst, i, 4, 0))
	ADDQ(Imm(8), i)
	Label("stop")
	VMOVUPD(product, Mem{Base: lanes})
	Store(i, ReturnIndex(0))
	end()
}
