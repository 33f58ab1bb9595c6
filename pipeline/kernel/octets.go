package kernel

// Record is what histograms need of a row: the first and the second derivative of its
// loss by an output, in units of 1/NewtonUnit, and its ids of eight slots.
type Record struct {
	First, Second int32
	Octets        [8]uint8
}

const recordBytes = 16

// HistogramRows is how many rows may be added to a HistogramCell before its sums
// leave their bits.
const HistogramRows = 1 << 14

// rowShift is where a HistogramCell's count of rows begins.
const rowShift = 46

// HistogramCell is the sums of some rows, at most HistogramRows: of their first
// derivatives, and of their second ones and 2^46 for each row.
type HistogramCell struct{ First, Second int64 }

// Sums returns a cell's sums apart.
func (c HistogramCell) Sums() (first, second, rows int64) {
	second = c.Second << (64 - rowShift) >> (64 - rowShift)
	return c.First, second, (c.Second - second) >> rowShift
}

// AddRecords adds the derivatives of rows to the cells of their ids: cells[k] is of the
// k-th slot of a group of at most eight, whose ids are octets, or where that is nil
// the records' own.
//
//	for i, r := range records {
//		for k := range cells {
//			c := &cells[k][octets[i][k]]
//			c.First += r.First
//			c.Second += r.Second + 1<<46
//		}
//	}
func AddRecords(cells [][256]HistogramCell, records []Record, octets [][8]uint8) {
	if len(cells) > 8 || octets != nil && len(octets) != len(records) {
		panic("kernel: a group of slots has eight ids a row")
	}
	if len(cells) > 0 && len(records) > 0 {
		addRecords(cells, records, octets)
	}
}

// addRecordsPlain is addRecords where there is no faster one.
func addRecordsPlain(cells [][256]HistogramCell, records []Record, octets [][8]uint8) {
	for i := range records {
		r := &records[i]
		first, second, ids := int64(r.First), int64(r.Second)+1<<rowShift, &r.Octets
		if octets != nil {
			ids = &octets[i]
		}
		for k := range cells {
			c := &cells[k][ids[k&7]]
			c.First += first
			c.Second += second
		}
	}
}

// PartRecords puts the rows whose id is one that side has 1 for before the others, and
// returns how many they are. A row is a record and a number. The ids are ids, or where
// that is nil the records' own of a slot. side has nothing but 0 and 1.
func PartRecords(records []Record, rows []uint16, ids []uint8, slot int, side *[256]uint8) int {
	if len(rows) != len(records) || ids != nil && len(ids) != len(records) || slot < 0 || slot > 7 {
		panic("kernel: rows that are parted have a record, a number and an id each")
	}
	if len(records) == 0 {
		return 0
	}
	return partRecords(records, rows, ids, slot, side)
}

// partRecordsPlain is partRecords where there is no faster one.
func partRecordsPlain(records []Record, rows []uint16, ids []uint8, slot int, side *[256]uint8) int {
	first := 0
	for i := range records {
		id := records[i].Octets[slot]
		if ids != nil {
			id = ids[i]
		}
		records[i], records[first] = records[first], records[i]
		rows[i], rows[first] = rows[first], rows[i]
		first += int(side[id])
	}
	return first
}
