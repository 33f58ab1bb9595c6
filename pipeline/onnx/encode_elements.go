package onnx

// encodeElements is a list of fixed length, each element of it a number by itself.
func encodeElements(x *exporter, e encoding) error {
	missing := x.op("Or", e.from.null, x.op("IsInf", e.from.v))
	slot, err := x.scaled(e.from.v, missing, e, e.data.List.Elements, true)
	if err != nil {
		return err
	}
	x.slots.lists = append(x.slots.lists, slot)
	x.unknown(e, x.op("Greater", x.sum(x.cast(missing, int64Type)), x.int(0)), "")
	return nil
}
