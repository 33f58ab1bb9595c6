package metadata

// logicalTypes are the meanings of the fields of the LogicalType union.
var logicalTypes = [...]Annotation{1: String, 2: Other, 3: List, 4: String, 5: Decimal, 6: Date, 7: Time, 8: Timestamp, 9: Other, 10: Integer, 11: Null,
	12: String, 13: Other, 14: UUID, 15: Float16}

// logical reads the LogicalType union: one field, whose number is the type.
func (d *decoder) logical() (l Logical) {
	d.each(func(id int16, wire byte) bool {
		if wire != wireStruct {
			return false
		}
		l.Annotation = Other
		if id > 0 && int(id) < len(logicalTypes) {
			l.Annotation = logicalTypes[id]
		}
		switch l.Annotation {
		case Decimal:
			d.fields([]any{1: &l.Scale, 2: &l.Precision})
		case Time, Timestamp:
			d.fields([]any{1: &l.UTC, 2: structure(func() { l.Unit = d.unit() })})
		case Integer:
			d.fields([]any{1: &l.Bits, 2: &l.Signed})
		default:
			return false
		}
		return true
	})
	return l
}

// unit reads the TimeUnit union, whose field's number is the unit.
func (d *decoder) unit() (u Unit) {
	d.each(func(id int16, _ byte) bool {
		u = Unit(min(max(id, 0), 4))
		return false
	})
	return u
}

// convertedTypes are the meanings of ConvertedType, the annotation of older
// files. Times are UTC there by definition. MAP_KEY_VALUE (2) and MAP (1) say
// nothing of values; 21 is INTERVAL, 20 BSON.
var convertedTypes = [...]Logical{
	0:  {Annotation: String},
	1:  {Annotation: Other},
	2:  {Annotation: Other},
	3:  {Annotation: List},
	4:  {Annotation: String},
	5:  {Annotation: Decimal},
	6:  {Annotation: Date},
	7:  {Annotation: Time, Unit: Millis, UTC: true},
	8:  {Annotation: Time, Unit: Micros, UTC: true},
	9:  {Annotation: Timestamp, Unit: Millis, UTC: true},
	10: {Annotation: Timestamp, Unit: Micros, UTC: true},
	11: {Annotation: Integer, Bits: 8},
	12: {Annotation: Integer, Bits: 16},
	13: {Annotation: Integer, Bits: 32},
	14: {Annotation: Integer, Bits: 64},
	15: {Annotation: Integer, Bits: 8, Signed: true},
	16: {Annotation: Integer, Bits: 16, Signed: true},
	17: {Annotation: Integer, Bits: 32, Signed: true},
	18: {Annotation: Integer, Bits: 64, Signed: true},
	19: {Annotation: String},
}

// fromConverted gives the meaning of a ConvertedType.
func fromConverted(c, precision, scale int32) Logical {
	if c < 0 || int(c) >= len(convertedTypes) {
		return Logical{}
	}
	l := convertedTypes[c]
	if l.Annotation == Decimal {
		l.Precision, l.Scale = precision, scale
	}
	return l
}
