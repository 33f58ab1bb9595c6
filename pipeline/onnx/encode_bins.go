package onnx

import (
	"strconv"

	"github.com/twmb/murmur3"
)

// encodeBins is a number in bins: a value's id is 1 and how many cuts are below it.
func encodeBins(x *exporter, e encoding) error {
	b := e.data.Bins
	v, missing := x.number(e.from)
	c := category{cuts: b.Cuts}
	if b.Fill != nil {
		c.number = x.op("Where", missing, x.double(*b.Fill), v)
	} else {
		c.number = x.op("Where", missing, x.double(notANumber), v)
	}
	scope := x.scope
	c.fit = func() value {
		defer func(now string) { x.scope = now }(x.scope)
		x.scope = scope
		id := x.int(1)
		if len(b.Cuts) > 0 {
			above := x.op("Greater", x.column(c.number), x.doubles("cuts", b.Cuts))
			id = x.op("Add", x.sum(x.cast(above, int64Type)), id)
		}
		if b.Fill == nil || len(b.Cuts) == 0 {
			other := x.int(0)
			if b.Fill != nil {
				other = x.int(1)
			}
			id = x.op("Where", missing, other, id)
		}
		return id
	}
	x.slots.categories = append(x.slots.categories, c)
	at := len(x.slots.categories) - 1
	x.members[e.index] = func() value {
		hashes := make([]int64, len(b.Cuts)+2)
		for id := range hashes {
			hashes[id] = int64(murmur3.StringSum32(strconv.Itoa(id)))
		}
		return x.gather(x.ints("hashes", hashes...), x.slots.categories[at].id())
	}
	x.unknown(e, missing, "")
	return nil
}
