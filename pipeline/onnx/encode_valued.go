package onnx

// encodeValued is a category that enters as a number: that of its id.
func encodeValued(x *exporter, e encoding) error {
	v := e.data.Valued
	ids := x.ids(e.from, &v.Category)
	numbers := make([]float32, len(v.Numbers))
	for id, n := range v.Numbers {
		numbers[id] = float32(clip((n - v.Shift) * v.Scale))
	}
	x.slots.numbers = append(x.slots.numbers, x.gather(x.floats("numbers", numbers, len(numbers)), ids))
	x.members[e.index] = func() value { return x.hash(e.from, v.Fill) }
	x.unknown(e, e.from.null, ids)
	return nil
}
