//go:build !amd64

package kernel

func addRecords(cells [][256]HistogramCell, records []Record, octets [][8]uint8) {
	addRecordsPlain(cells, records, octets)
}

func partRecords(records []Record, rows []uint16, ids []uint8, slot int, side *[256]uint8) int {
	return partRecordsPlain(records, rows, ids, slot, side)
}
