package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// recordsOf returns random rows of a group of eight slots, some of which have few ids,
// and the ids of another group.
func recordsOf(random *rand.Rand, n int) (records []Record, octets [][8]uint8) {
	for range n {
		r := Record{First: int32(random.Uint32()), Second: int32(random.Uint32())}
		var others [8]uint8
		for k := range 8 {
			r.Octets[k], others[k] = uint8(random.IntN(1<<(k+1))), uint8(random.IntN(256))
		}
		records, octets = append(records, r), append(octets, others)
	}
	return records, octets
}

// The cells have the sums of their rows, for any number of slots, whatever the signs,
// and up to the rows and the sizes that they are made for.
func TestHistogramsAddUpDerivativesAndRows(t *testing.T) {
	records, octets := recordsOf(rand.New(rand.NewPCG(1, 2)), HistogramRows)
	extreme := slices.Clone(records)
	for i := range extreme {
		extreme[i].First, extreme[i].Second = math.MinInt32, math.MaxInt32-int32(i&1)
		extreme[i].Octets = [8]uint8{}
	}
	for name, add := range map[string]func([][256]HistogramCell, []Record, [][8]uint8){"fast": AddRecords, "plain": addRecordsPlain} {
		for slots := range 9 {
			for _, rows := range [][]Record{nil, records[:7], records, extreme} {
				for _, ids := range [][][8]uint8{nil, octets[:len(rows)]} {
					cells := make([][256]HistogramCell, slots)
					add(cells, rows, ids)
					want := make([][256][3]int64, slots)
					for i, r := range rows {
						of := r.Octets
						if ids != nil {
							of = ids[i]
						}
						for k := range slots {
							c := &want[k][of[k]]
							c[0], c[1], c[2] = c[0]+int64(r.First), c[1]+int64(r.Second), c[2]+1
						}
					}
					for k := range cells {
						for id, c := range cells[k] {
							first, second, count := c.Sums()
							if got := [3]int64{first, second, count}; got != want[k][id] {
								t.Fatalf("%s, %d slots, %d rows: slot %d, id %d: %d, want %d", name, slots, len(rows), k, id, got, want[k][id])
							}
						}
					}
				}
			}
		}
	}
}

func TestPartedRecordsAreOnTheirSides(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for name, part := range map[string]func([]Record, []uint16, []uint8, int, *[256]uint8) int{"fast": PartRecords, "plain": partRecordsPlain} {
		for _, n := range []int{0, 1, 2, 3, 31, 3000} {
			for slot := range 8 {
				records, octets := recordsOf(random, n)
				before := slices.Clone(records)
				rows := make([]uint16, n)
				own, given := make([]uint8, n), make([]uint8, n)
				for i := range rows {
					rows[i], own[i], given[i] = uint16(i), records[i].Octets[slot], octets[i][slot]
				}
				var side [256]uint8
				for id := range side {
					side[id] = uint8(random.IntN(2))
				}
				for _, ids := range [][]uint8{nil, given} {
					of := own
					if ids != nil {
						// The rows have been parted before.
						for i, row := range rows {
							ids[i] = octets[row][slot]
						}
						for row := range of {
							of[row] = octets[row][slot]
						}
					}
					first := part(records, rows, ids, slot, &side)
					for i, row := range rows {
						if records[i] != before[row] || (side[of[row]] == 1) != (i < first) {
							t.Fatalf("%s, %d rows, slot %d: row %d of id %d is at %d, %d first", name, n, slot, row, of[row], i, first)
						}
					}
					if sorted := slices.Sorted(slices.Values(rows)); len(slices.Compact(sorted)) != n {
						t.Fatalf("%s: rows are lost", name)
					}
				}
			}
		}
	}
}

func BenchmarkAddRecords(b *testing.B) {
	const slots = 5
	records, _ := recordsOf(rand.New(rand.NewPCG(3, 4)), HistogramRows)
	for name, add := range map[string]func([][256]HistogramCell, []Record, [][8]uint8){"fast": AddRecords, "plain": addRecordsPlain} {
		b.Run(name, func(b *testing.B) {
			cells := make([][256]HistogramCell, slots)
			for b.Loop() {
				add(cells, records, nil)
			}
			b.ReportMetric(float64(b.N*len(records)*slots)/b.Elapsed().Seconds()/1e6, "Madds/s")
		})
	}
}

func BenchmarkPartRecords(b *testing.B) {
	records, _ := recordsOf(rand.New(rand.NewPCG(3, 4)), HistogramRows)
	rows := make([]uint16, len(records))
	for name, part := range map[string]func([]Record, []uint16, []uint8, int, *[256]uint8) int{"fast": PartRecords, "plain": partRecordsPlain} {
		b.Run(name, func(b *testing.B) {
			var side [256]uint8
			for n := 0; b.Loop(); n++ {
				for id := range side {
					side[id] = uint8((id >> (n % 4)) & 1)
				}
				part(records, rows, nil, 5, &side)
			}
			b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
