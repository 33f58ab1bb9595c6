package model

import "github.com/thalweg/thalweg/pipeline/kernel"

// linearExplained explains a linear model: what an input brings is its weight times how
// far it is from the reference.
type linearExplained struct {
	layer  *linear
	params []float32
	inputs Inputs
	to     Reference
	bases  []float64
	// categories are by slot and output what the reference has.
	categories [][]float64
}

func explainLinear(l *linear, params []float32, inputs Inputs, to Reference) way {
	e := &linearExplained{layer: l, params: params, inputs: inputs, to: to}
	n := l.outputs
	for _, b := range params[len(params)-n:] {
		e.bases = append(e.bases, float64(b))
	}
	for k, x := range to.Numbers {
		for o := range n {
			e.bases[o] += float64(float64(params[k*n+o]) * float64(x))
		}
	}
	for j, shares := range to.Categories {
		table, means := l.table(params, j), make([]float64, n)
		for id, share := range shares {
			for o := range n {
				means[o] += float64(float64(table[id*n+o]) * share)
			}
		}
		for o, mean := range means {
			e.bases[o] += mean
		}
		e.categories = append(e.categories, means)
	}
	for i, list := range to.Lists {
		w := l.array(params, i)
		for at, x := range list {
			for o := range n {
				e.bases[o] += float64(float64(w[at*n+o]) * float64(x))
			}
		}
	}
	return e
}

func (e *linearExplained) base(output int) float64 { return e.bases[output] }

func (e *linearExplained) add(_ *Explaining, b *kernel.Block, rows []int32, output int, out [][]float64) {
	n := e.layer.outputs
	for k, column := range b.Numbers {
		w, x, sum := float64(e.params[k*n+output]), float64(e.to.Numbers[k]), out[e.inputs.Numbers[k]]
		for r, i := range rows {
			sum[r] += float64(w * (float64(column[i]) - x))
		}
	}
	for j, ids := range b.Categories {
		table, mean, sum := e.layer.table(e.params, j), e.categories[j][output], out[e.inputs.Categories[j]]
		for r, i := range rows {
			sum[r] += float64(table[int(ids[i])*n+output]) - mean
		}
	}
	for t, column := range b.Terms {
		w, sum := e.layer.terms(e.params, t), out[e.inputs.Terms[t]]
		for r, i := range rows {
			for _, term := range column[i] {
				sum[r] += float64(float64(term.Weight) * float64(w[int(term.ID)*n+output]))
			}
		}
	}
	for l, column := range b.Lists {
		w, to, sum := e.layer.array(e.params, l), e.to.Lists[l], out[e.inputs.Lists[l]]
		for r, i := range rows {
			for at, x := range column[int(i)*len(to) : (int(i)+1)*len(to)] {
				sum[r] += float64(float64(w[at*n+output]) * (float64(x) - float64(to[at])))
			}
		}
	}
}
