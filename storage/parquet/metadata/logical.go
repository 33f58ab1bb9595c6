package metadata

// logical reads the LogicalType union: one field, whose number is the type.
func (d *decoder) logical() Logical {
	var l Logical
	d.fields(func(id int16, wire byte) bool {
		if wire != wireStruct {
			return false
		}
		switch id {
		case 1:
			l.Annotation = String
		case 2:
			l.Annotation = Map
		case 3:
			l.Annotation = List
		case 4:
			l.Annotation = Enum
		case 5:
			l.Annotation = Decimal
			d.fields(func(id int16, wire byte) bool {
				switch {
				case id == 1 && wire == wireI32:
					l.Scale = d.i32()
				case id == 2 && wire == wireI32:
					l.Precision = d.i32()
				default:
					return false
				}
				return true
			})
			return true
		case 6:
			l.Annotation = Date
		case 7, 8:
			l.Annotation = Time
			if id == 8 {
				l.Annotation = Timestamp
			}
			d.unit(&l)
			return true
		case 10:
			l.Annotation = Integer
			d.fields(func(id int16, wire byte) bool {
				switch {
				case id == 1 && wire == wireByte:
					l.Bits = d.byte()
					return true
				case id == 2:
					l.Signed = wire == wireTrue
				}
				return false
			})
			return true
		case 11:
			l.Annotation = Null
		case 12:
			l.Annotation = JSON
		case 13:
			l.Annotation = BSON
		case 14:
			l.Annotation = UUID
		case 15:
			l.Annotation = Float16
		default:
			l.Annotation = Other
		}
		return false
	})
	return l
}

// unit reads TimeType or TimestampType: {isAdjustedToUTC, unit}.
func (d *decoder) unit(l *Logical) {
	d.fields(func(id int16, wire byte) bool {
		if id == 1 {
			l.UTC = wire == wireTrue
			return false
		}
		if id != 2 || wire != wireStruct {
			return false
		}
		d.fields(func(id int16, _ byte) bool {
			l.Unit = Unit(min(max(id, 0), 4))
			return false
		})
		return true
	})
}

// fromConverted gives the meaning of a ConvertedType, the annotation of older
// files. Times are UTC there by definition.
func fromConverted(c, precision, scale int32) Logical {
	integer := func(bits uint8, signed bool) Logical {
		return Logical{Annotation: Integer, Bits: bits, Signed: signed}
	}
	switch c {
	case 0:
		return Logical{Annotation: String}
	case 1, 2:
		return Logical{Annotation: Map}
	case 3:
		return Logical{Annotation: List}
	case 4:
		return Logical{Annotation: Enum}
	case 5:
		return Logical{Annotation: Decimal, Precision: precision, Scale: scale}
	case 6:
		return Logical{Annotation: Date}
	case 7:
		return Logical{Annotation: Time, Unit: Millis, UTC: true}
	case 8:
		return Logical{Annotation: Time, Unit: Micros, UTC: true}
	case 9:
		return Logical{Annotation: Timestamp, Unit: Millis, UTC: true}
	case 10:
		return Logical{Annotation: Timestamp, Unit: Micros, UTC: true}
	case 11:
		return integer(8, false)
	case 12:
		return integer(16, false)
	case 13:
		return integer(32, false)
	case 14:
		return integer(64, false)
	case 15:
		return integer(8, true)
	case 16:
		return integer(16, true)
	case 17:
		return integer(32, true)
	case 18:
		return integer(64, true)
	case 19:
		return Logical{Annotation: JSON}
	case 20:
		return Logical{Annotation: BSON}
	case 21:
		return Logical{Annotation: Interval}
	}
	return Logical{}
}
