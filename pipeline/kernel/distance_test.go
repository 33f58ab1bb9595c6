package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestDistancesAreTheSumsOfTheirFormulaOnEveryPath(t *testing.T) {
	have := avx2
	defer func() { avx2 = have }()
	random := rand.New(rand.NewPCG(1, 2))
	for _, columns := range [][2]int{{0, 1}, {1, 0}, {3, 2}, {37, 0}, {0, 9}, {64, 5}} {
		numbers, all := columns[0], columns[0]+columns[1]
		query, panel := make([]float32, all), make([]float32, PanelRows*all)
		for p := range query {
			value := func() float32 { return float32(random.NormFloat64() * 1e3) }
			if p >= numbers {
				value = func() float32 { return float32(random.IntN(3) + 1<<20) }
			}
			query[p] = value()
			for j := range PanelRows {
				panel[p*PanelRows+j] = value()
			}
		}
		for _, avx2 = range []bool{have, false} {
			got := [PanelRows]float64{99}
			Distances(&got, query, panel, numbers)
			for j, d := range got {
				want := 0.0
				for p, q := range query {
					switch v := panel[p*PanelRows+j]; {
					case p < numbers:
						want += float64((float64(q) - float64(v)) * (float64(q) - float64(v)))
					case q != v:
						want += 2
					}
				}
				if math.Float64bits(d) != math.Float64bits(want) {
					t.Errorf("%d numbers, %d ids, AVX2 %v: row %d is %v away, want %v", numbers, columns[1], avx2, j, d, want)
				}
			}
		}
	}
}
