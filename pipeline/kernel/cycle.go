package kernel

// CyclePart sets dst[i] to the part of a cycle that t[i] is in: the parts are as long
// as part, the first one of a cycle began at -offset, and cycle is a multiple of part.
// 0 <= offset < cycle <= 2^40. So the hour of the day is CyclePart(dst, t, 0, day, hour).
// dst may be t.
func CyclePart(dst, t []int64, offset, cycle, part int64) {
	checkLen(len(t), len(dst))
	if n := groups(len(t), 4); n > 0 && cyclePartAVX2(dst[:n], t[:n], offset, float64(cycle), 1/float64(cycle), 1/float64(part)) {
		dst, t = dst[n:], t[n:]
	}
	dst = dst[:len(t)]
	for i, v := range t {
		m := v % cycle
		m += m>>63&cycle + offset
		if m >= cycle {
			m -= cycle
		}
		dst[i] = m / part
	}
}
