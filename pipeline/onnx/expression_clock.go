package onnx

import "github.com/thalweg/thalweg/pipeline/expression"

// Lengths in microseconds, the unit of timestamps.
const (
	usSecond = 1_000_000
	usMinute = 60 * usSecond
	usHour   = 60 * usMinute
	usDay    = 24 * usHour
)

// clockParts are the functions of a timestamp in UTC.
func clockParts() map[string]operation {
	cyclic := func(offset, cycle, part int64) operation {
		return func(x *exporter, _ *expression.Tree, args []operand) operand {
			rest := x.op("Mod", args[0].v, x.int(cycle)) // from 0 on
			if offset > 0 {
				rest = x.op("Mod", x.op("Add", rest, x.int(offset)), x.int(cycle))
			}
			return operand{v: x.op("Div", rest, x.int(part)), null: args[0].null}
		}
	}
	calendar := func(part func(x *exporter, days value) value) operation {
		return func(x *exporter, _ *expression.Tree, args []operand) operand {
			return operand{v: part(x, x.floorDiv(args[0].v, usDay)), null: args[0].null}
		}
	}
	return map[string]operation{
		"weekday": cyclic(3*usDay, 7*usDay, usDay), // 1970 began with a Thursday
		"hour":    cyclic(0, usDay, usHour),
		"minute":  cyclic(0, usHour, usMinute),
		"second":  cyclic(0, usMinute, usSecond),
		"year":    calendar(func(x *exporter, days value) value { y, _, _ := x.civil(days); return y }),
		"month":   calendar(func(x *exporter, days value) value { _, m, _ := x.civil(days); return m }),
		"day":     calendar(func(x *exporter, days value) value { _, _, d := x.civil(days); return d }),
	}
}

// floorDiv divides toward negative infinity.
func (x *exporter) floorDiv(v value, by int64) value {
	inexact := x.op("Greater", x.op("Mod", v, x.int(by)), x.int(0))
	below := x.cast(x.op("And", inexact, x.op("Less", v, x.int(0))), int64Type)
	return x.op("Sub", x.op("Div", v, x.int(by)), below)
}

// civil returns the date of a day since 1970, as package expression does.
func (x *exporter) civil(days value) (year, month, day value) {
	add := func(a value, b int64) value { return x.op("Add", a, x.int(b)) }
	mul := func(a value, b int64) value { return x.op("Mul", a, x.int(b)) }
	div := func(a value, b int64) value { return x.op("Div", a, x.int(b)) }
	sub := func(a, b value) value { return x.op("Sub", a, b) }
	days = add(days, 719468)
	era := x.floorDiv(days, 146097)
	doe := sub(days, mul(era, 146097))
	yoe := div(sub(x.op("Add", sub(doe, div(doe, 1460)), div(doe, 36524)), div(doe, 146096)), 365)
	doy := sub(doe, sub(x.op("Add", mul(yoe, 365), div(yoe, 4)), div(yoe, 100)))
	m := div(add(mul(doy, 5), 2), 153)
	day = add(sub(doy, div(add(mul(m, 153), 2), 5)), 1)
	late := x.cast(x.op("Greater", m, x.int(9)), int64Type) // January and February
	year = x.op("Add", x.op("Add", yoe, mul(era, 400)), late)
	return year, sub(add(m, 3), mul(late, 12)), day
}

// secondsBetween is how many seconds the second timestamp is after the first.
func secondsBetween(x *exporter, _ *expression.Tree, args []operand) operand {
	from, to := args[0], args[1]
	d := addInts(x, &expression.Tree{Op: "-"}, []operand{to, from})
	null := x.eitherNull(from, to)
	wide := x.op("Sub", x.cast(to.v, float64Type), x.cast(from.v, float64Type))
	us := x.op("Where", d.null, wide, x.cast(d.v, float64Type))
	return operand{v: x.op("Div", us, x.double(usSecond)), null: null}
}
