package layer

// Additive is a first layer whose values are sums: of its biases, and of what each slot of
// a row brings by itself. Each method adds that of one slot to sums, one for each of the layer's
// outputs: of a number that is x, of an element, id or term times x.
type Additive interface {
	Layer
	AddBias(params []float32, sums []float64)
	AddNumber(params []float32, slot int, x float64, sums []float64)
	AddCategory(params []float32, slot, id int, x float64, sums []float64)
	AddTerm(params []float32, slot, id int, x float64, sums []float64)
	AddElement(params []float32, slot, element int, x float64, sums []float64)
}

// AddBias implements Additive.
func (l *input) AddBias(params []float32, sums []float64) { addRow(params[l.bias:], 1, sums) }

// AddNumber implements Additive.
func (l *input) AddNumber(params []float32, slot int, x float64, sums []float64) {
	addRow(params[slot*l.outputs:], x, sums)
	l.addWaves(params, slot, x, sums)
}

// AddElement implements Additive.
func (l *input) AddElement(params []float32, slot, element int, x float64, sums []float64) {
	addRow(params[l.lists[slot]+element*l.outputs:], x, sums)
}

// AddCategory implements Additive.
func (l *input) AddCategory(params []float32, slot, id int, x float64, sums []float64) {
	t := l.tables[slot]
	row := t.of(params)[id*t.width:][:t.width]
	if !t.embeds {
		addRow(row, x, sums)
		return
	}
	for k, v := range row {
		addRow(params[t.weights+k*l.outputs:], float64(float64(v)*x), sums)
	}
}

// AddTerm implements Additive.
func (l *input) AddTerm(params []float32, slot, id int, x float64, sums []float64) {
	addRow(l.tables[len(l.shape.Cardinalities)+slot].of(params)[id*l.outputs:], x, sums)
}

// addRow adds x times the weights of one input to sums.
func addRow(weights []float32, x float64, sums []float64) {
	for h, w := range weights[:len(sums)] {
		sums[h] += float64(float64(w) * x)
	}
}

var _ Additive = (*input)(nil)
