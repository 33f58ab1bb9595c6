package onnx

import (
	"github.com/twmb/murmur3"

	"github.com/thalweg/thalweg/pipeline/table"
)

// encodeHash is a category by the buckets of its hashes.
func encodeHash(x *exporter, e encoding) error {
	h := e.data.Hashed
	hash := x.hash(e.from, h.Fill)
	x.slots.categories = append(x.slots.categories, category{ids: x.op("Mod", hash, x.int(int64(h.Buckets)))})
	x.members[e.index] = func() value { return hash }
	x.unknown(e, e.from.null, "")
	return nil
}

// hash returns the hashes of values as they are counted, as int64s; fill is what a missing
// one counts as.
func (x *exporter) hash(from operand, fill *string) value {
	of := func(text string) value { return x.int(int64(murmur3.StringSum32(text))) }
	var hash value
	switch from.of {
	case table.Bool:
		hash = x.op("Where", x.op("Equal", from.v, x.int(1)), of("true"), of("false"))
	case table.Int64:
		hash = x.murmur(x.cast(from.v, stringType))
	default:
		hash = x.murmur(from.v)
	}
	text := NullText
	if fill != nil {
		text = *fill
	}
	return x.op("Where", from.null, of(text), hash)
}

// murmur returns MurmurHash3 x86-32 of texts, or of the bytes of int64s.
func (x *exporter) murmur(v value) value {
	return x.cast(x.node(microsoftDomain, "MurmurHash3", []value{v}, 1)[0], int64Type)
}

// crosses makes the slots of combinations of values: the hash of two hashes is that of the
// integer which has the one in its upper half and the other in its lower.
func (x *exporter) crosses() error {
	hashes := map[int]value{}
	of := func(feature int) value {
		if _, ok := hashes[feature]; !ok {
			x.scope = x.plan.Features[feature].Name
			hashes[feature] = x.members[feature]()
		}
		return hashes[feature]
	}
	for _, c := range x.plan.Crosses {
		hash := of(c.Of[0])
		for _, other := range c.Of[1:] {
			b := of(other)
			x.scope = c.Name
			hash = x.murmur(x.op("Add", x.op("Mul", hash, x.int(1<<32)), b))
		}
		x.slots.categories = append(x.slots.categories, category{ids: x.op("Mod", hash, x.int(int64(c.Buckets)))})
	}
	return nil
}
