package split

import (
	"math"
	"slices"
)

// Bounds of a sketch. One point is 16 bytes in memory and about as many in
// JSON.
const (
	// maxPoints is what one shard remembers of its times.
	maxPoints = 1 << 16
	// maxMerged is what the merged shards are thinned to when there are twice as
	// many.
	maxMerged = 1 << 19
)

// point stands for count values, the last of which is at time.
type point struct{ time, count int64 }

// sketch is a bounded summary of many times: points in order, exact until there
// are more than the limit. A thinning joins neighbours and moves the rank of a
// value by less than 1/limit of the values so far; a shard of n rows has at
// most n/maxPoints + 1 of them. It depends on the values and their order, not on the
// batches that they came in.
type sketch struct {
	buffer []int64 // values that are not in points yet, at most maxPoints
	points []point
	// spare and fresh are memory for the next merge.
	spare, fresh []point
}

// close moves all into at most maxPoints points.
func (s *sketch) close() {
	s.flush()
	if len(s.points) > maxPoints {
		s.points = thin(s.points, maxPoints)
	}
}

// add takes up values.
func (s *sketch) add(values []int64) {
	for len(values) > 0 {
		if s.buffer == nil {
			s.buffer = make([]int64, 0, maxPoints)
		}
		n := min(len(values), cap(s.buffer)-len(s.buffer))
		s.buffer = append(s.buffer, values[:n]...)
		values = values[n:]
		if len(s.buffer) == cap(s.buffer) {
			s.flush()
		}
	}
}

// flush moves the buffer into the points, at most 2*maxPoints of them.
func (s *sketch) flush() {
	sortTimes(s.buffer)
	fresh := s.fresh[:0]
	for _, t := range s.buffer {
		if n := len(fresh); n > 0 && fresh[n-1].time == t {
			fresh[n-1].count++
		} else {
			fresh = append(fresh, point{t, 1})
		}
	}
	s.fresh, s.buffer = fresh, s.buffer[:0]
	s.merge(fresh)
	if len(s.points) > 2*maxPoints {
		s.points = thin(s.points, maxPoints)
	}
}

// merge adds other points, which are in order.
func (s *sketch) merge(other []point) {
	mine := s.points
	out := slices.Grow(s.spare[:0], len(mine)+len(other))
	for len(mine) > 0 || len(other) > 0 {
		switch {
		case len(other) == 0 || len(mine) > 0 && mine[0].time < other[0].time:
			out, mine = append(out, mine[0]), mine[1:]
		case len(mine) == 0 || other[0].time < mine[0].time:
			out, other = append(out, other[0]), other[1:]
		default:
			out = append(out, point{mine[0].time, mine[0].count + other[0].count})
			mine, other = mine[1:], other[1:]
		}
	}
	s.points, s.spare = out, s.points[:0]
}

// thin joins neighbours in place until at most limit points are left, each of
// about the same weight.
func thin(points []point, limit int) []point {
	var total, seen, open int64
	for _, p := range points {
		total += p.count
	}
	step := max((total+int64(limit)-1)/int64(limit), 1)
	next := step
	out := points[:0]
	for _, p := range points {
		seen += p.count
		open += p.count
		// A joined point ends where the count reaches a multiple of the step.
		if seen >= next {
			out = append(out, point{p.time, open})
			open = 0
			next += (seen - next + step) / step * step
		}
	}
	if open > 0 {
		out = append(out, point{points[len(points)-1].time, open})
	}
	return out
}

// total counts the values.
func (s *sketch) total() int64 {
	n := int64(len(s.buffer))
	for _, p := range s.points {
		n += p.count
	}
	return n
}

// before returns the time before which the share of the values lies, as nearly
// as equal times, which stay together, allow. There is at least one value.
func (s *sketch) before(share float64) int64 {
	s.flush()
	want := float64(share * float64(s.total()))
	var seen int64
	for _, p := range s.points {
		next := seen + p.count
		if float64(next) > want {
			// The cut is before this point or behind it, whichever is nearer.
			if want-float64(seen) <= float64(next)-want {
				return p.time
			}
			return after(p.time)
		}
		seen = next
	}
	return after(s.points[len(s.points)-1].time)
}

// after is the next time, where there is one.
func after(t int64) int64 {
	if t == math.MaxInt64 {
		return t
	}
	return t + 1
}

// sortTimes sorts in place: by the bytes that differ, least significant first,
// five times as fast on times in no order as a sort by comparison.
func sortTimes(v []int64) {
	if slices.IsSorted(v) {
		return
	}
	var differ uint64
	for _, t := range v {
		differ |= uint64(t ^ v[0])
	}
	from, to := v, make([]int64, len(v))
	for shift := 0; shift < 64; shift += 8 {
		if differ>>shift&0xff == 0 {
			continue
		}
		// The sign bit turned round sorts negative times first.
		var ends [256]int
		for _, t := range from {
			ends[digit(t, shift)]++
		}
		sum := 0
		for d, n := range ends {
			ends[d] = sum
			sum += n
		}
		for _, t := range from {
			d := digit(t, shift)
			to[ends[d]] = t
			ends[d]++
		}
		from, to = to, from
	}
	if &from[0] != &v[0] {
		copy(v, from)
	}
}

func digit(t int64, shift int) uint8 { return uint8((uint64(t) ^ 1<<63) >> shift) }
