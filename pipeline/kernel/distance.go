package kernel

// PanelRows is how many rows Distances compares with at once.
const PanelRows = 16

// Distances sets dst[j] to the squared distance of a row, the query, from row j of a panel,
// whose values lie column by column: value p of row j is at [p*PanelRows+j]. Of the first
// columns, numbers in number, it adds the squares of the differences; each other one, which is
// an id, adds 2 where it is another, as its two one-hot columns do:
//
//	for p, j: d = float64(query[p]) - float64(panel[p*PanelRows+j]); dst[j] += d*d
//
// by ascending p. A row's bits do not depend on the others of the panel.
func Distances(dst *[PanelRows]float64, query, panel []float32, numbers int) {
	checkLen(len(panel), PanelRows*len(query))
	*dst = [PanelRows]float64{}
	ids := query[numbers:]
	query, panel, others := query[:numbers], panel[:PanelRows*numbers], panel[PanelRows*numbers:]
	if avx2 {
		if len(query) > 0 {
			squaredAVX2(dst, query, panel)
		}
		if len(ids) > 0 {
			unequalAVX2(dst, ids, others)
		}
		return
	}
	for p, q := range query {
		for j, v := range panel[p*PanelRows:][:PanelRows] {
			d := float64(q) - float64(v)
			dst[j] += float64(d * d)
		}
	}
	for p, q := range ids {
		for j, v := range others[p*PanelRows:][:PanelRows] {
			if q != v {
				dst[j] += 2
			}
		}
	}
}
