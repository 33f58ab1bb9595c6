package expression

import (
	"time"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Lengths in microseconds, the unit of timestamps.
const (
	usSecond = 1_000_000
	usMinute = 60 * usSecond
	usHour   = 60 * usMinute
	usDay    = 24 * usHour
)

const daySeconds = 24 * 3600

// clockParts are the functions of a timestamp: what a calendar and a clock
// show at a second since 1970 of local time.
var clockParts = map[string]func(second int64) int64{
	"year":    func(s int64) int64 { y, _, _ := civil(table.FloorDiv(s, daySeconds)); return y },
	"month":   func(s int64) int64 { _, m, _ := civil(table.FloorDiv(s, daySeconds)); return m },
	"day":     func(s int64) int64 { _, _, d := civil(table.FloorDiv(s, daySeconds)); return d },
	"weekday": func(s int64) int64 { return weekday(table.FloorDiv(s, daySeconds)) },
	"hour":    func(s int64) int64 { return floorMod(s, daySeconds) / 3600 },
	"minute":  func(s int64) int64 { return floorMod(s, 3600) / 60 },
	"second":  func(s int64) int64 { return floorMod(s, 60) },
}

// cycles are those of clockParts that come again and again, in UTC: as kernel.CyclePart
// takes them. 1970 began with a Thursday.
var cycles = map[string]struct{ offset, cycle, part int64 }{
	"weekday": {3 * usDay, 7 * usDay, usDay},
	"hour":    {0, usDay, usHour},
	"minute":  {0, usHour, usMinute},
	"second":  {0, usMinute, usSecond},
}

// clock is a function of a timestamp in a zone.
func clock(part string, zone *time.Location, arg node) node {
	of := clockParts[part]
	c, cyclic := cycles[part]
	return apply(table.Int64, func(f *frame, args []vector) vector {
		v := args[0]
		out := vector{t: table.Int64, ints: make([]int64, f.rows), valid: v.valid}
		switch {
		case zone != time.UTC:
			inZone(out.ints, v.ints, zone, of)
		case cyclic:
			kernel.CyclePart(out.ints, v.ints, c.offset, c.cycle, c.part)
		default:
			for i, us := range v.ints {
				out.ints[i] = of(table.FloorDiv(us, usSecond))
			}
		}
		return out
	}, arg)
}

// secondsBetween is how many seconds one timestamp is after another. What int64 cannot
// hold is taken as float64, which is exact to the microsecond for 285 years.
func secondsBetween(from, to node) node {
	return apply(table.Float64, func(f *frame, args []vector) vector {
		a, b := &args[0], &args[1]
		out := vector{t: table.Float64, floats: make([]float64, f.rows), valid: both(a.valid, b.valid)}
		chunks(f.rows, func(start, end int) {
			x, y := a.intsAt(start, end), b.intsAt(start, end)
			for i := range x {
				us := y[i] - x[i]
				if (y[i]^x[i])&(y[i]^us) < 0 {
					out.floats[start+i] = (float64(y[i]) - float64(x[i])) / usSecond
				} else {
					out.floats[start+i] = float64(us) / usSecond
				}
			}
		})
		return out
	}, from, to)
}

// inZone writes what of shows in zone at each timestamp.
func inZone(dst, us []int64, zone *time.Location, of func(second int64) int64) {
	dst = dst[:len(us)]
	offsets := table.NewOffsets(zone)
	for i, t := range us {
		s := table.FloorDiv(t, usSecond)
		dst[i] = of(s + offsets.At(s))
	}
}

// weekday returns Monday 0 … Sunday 6 of a day since 1970, which began with a
// Thursday.
func weekday(day int64) int64 {
	d := (day + 3) % 7
	return d + d>>63&7
}

// civil returns the date of a day since 1970 in the proleptic Gregorian
// calendar (civil_from_days of H. Hinnant, "chrono-Compatible Low-Level Date
// Algorithms"): years begin in March, so that the leap day is their last, and
// eras of 400 years all have the same days.
func civil(days int64) (year, month, dayOfMonth int64) {
	const toMarch0, eraDays = 719468, 146097
	days += toMarch0
	era := table.FloorDiv(days, eraDays)
	doe := days - era*eraDays
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	m := (5*doy + 2) / 153
	year, month, dayOfMonth = yoe+era*400, m+3, doy-(153*m+2)/5+1
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, dayOfMonth
}

// floorMod is what table.FloorDiv leaves: in [0, by).
func floorMod(a, by int64) int64 {
	m := a % by
	return m + m>>63&by
}
