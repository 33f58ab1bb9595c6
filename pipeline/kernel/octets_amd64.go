package kernel

// addOctets adds both sums of a cell by one instruction of SSE2, which each amd64
// processor has. It is twice as fast as plain Go. There must be a record.
//
//go:noescape
func addOctets(cells [][256]HistogramCell, records []Record, octets *[8]uint8, stride int)

// part is as fast again as plain Go. There must be a record.
//
//go:noescape
func part(records []Record, rows []uint16, ids *uint8, stride int, side *[256]uint8) (first int)

func addRecords(cells [][256]HistogramCell, records []Record, octets [][8]uint8) {
	if octets == nil {
		addOctets(cells, records, &records[0].Octets, recordBytes)
	} else {
		addOctets(cells, records, &octets[0], len(octets[0]))
	}
}

func partRecords(records []Record, rows []uint16, ids []uint8, slot int, side *[256]uint8) int {
	if ids == nil {
		return part(records, rows, &records[0].Octets[slot], recordBytes, side)
	}
	return part(records, rows, &ids[0], 1, side)
}
