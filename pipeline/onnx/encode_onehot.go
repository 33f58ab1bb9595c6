package onnx

import (
	"strconv"

	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/table"
)

// encodeOneHot is a category by the ids of its values.
func encodeOneHot(x *exporter, e encoding) error {
	ids := x.ids(e.from, e.data.Category)
	x.slots.categories = append(x.slots.categories, category{ids: ids})
	x.members[e.index] = func() value { return x.hash(e.from, e.data.Category.Fill) }
	x.unknown(e, e.from.null, ids)
	return nil
}

// ids returns those of values: 0 of one that is not known.
func (x *exporter) ids(from operand, c *feature.Category) value {
	of := make(map[string]int64, len(c.Values))
	for i, v := range c.Values {
		of[v] = int64(i + 1)
	}
	var ids value
	switch from.of {
	case table.Bool:
		ids = x.op("Where", x.op("Equal", from.v, x.int(1)), x.int(of["true"]), x.int(of["false"]))
	case table.Int64:
		var keys, values []int64
		for i, v := range c.Values {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil && strconv.FormatInt(n, 10) == v {
				keys, values = append(keys, n), append(values, int64(i+1))
			}
		}
		ids = x.encodeLabels(from, intsAttribute("keys_int64s", keys), values)
	default:
		values := make([]int64, len(c.Values))
		for i := range values {
			values[i] = int64(i + 1)
		}
		ids = x.encodeLabels(from, textsAttribute("keys_strings", c.Values), values)
	}
	fill := int64(0)
	if c.Fill != nil {
		fill = of[*c.Fill]
	}
	return x.op("Where", from.null, x.int(fill), ids)
}

// encodeLabels returns the value of each key, 0 of what is none.
func (x *exporter) encodeLabels(from operand, keys attribute, values []int64) value {
	if len(values) == 0 {
		return x.int(0)
	}
	return x.node(mlDomain, "LabelEncoder", []value{from.v}, 1, keys, intsAttribute("values_int64s", values), intAttribute("default_int64", 0))[0]
}
