package onnx

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/imported"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// buildTrees adds trees up as scoring does, to the bit.
func buildTrees(x *exporter, shape kernel.Shape) (value, error) {
	if x.plan.Imported != nil {
		return x.importedTrees(x.plan.Imported, shape)
	}
	m, params := x.artifact.Model, x.artifact.Params
	f, outputs := m.Forest(), m.Outputs()
	for _, v := range m.Views() {
		x.used[v.Name] = true
	}
	n := f.Count(params)
	if n%outputs != 0 {
		return "", fmt.Errorf("%d trees of %d outputs", n, outputs)
	}
	trees := make([]model.DecisionTree, n)
	for t := range trees {
		one := f.Tree(params, t)
		trees[t] = &one
	}
	bias := x.floats("bias", f.Bias(params), 1, outputs)
	start := bias
	if f.Averages() {
		start = x.floats("zeros", make([]float32, outputs), 1, outputs)
	}
	if n == 0 { // so that there is a row for each row
		zero := x.op("Mul", x.column(x.cast(x.blank, float32Type)), x.float(0))
		start = x.op("Add", start, zero)
	}
	sum := x.ensemble(trees, shape.Cardinalities, start, outputs, float32Type)
	if f.Averages() {
		sum = x.op("Add", bias, x.op("Div", sum, x.float(float32(max(1, n/outputs)))))
		var err error
		if sum, err = x.fromMeans(sum); err != nil {
			return "", err
		}
	}
	if outputs == 1 {
		sum = x.row(sum)
	}
	return sum, nil
}

// fromMeans makes outputs of the means of a forest, as the loss does.
func (x *exporter) fromMeans(means value) (value, error) {
	loss := x.artifact.Model.Loss()
	p := x.cast(means, float64Type)
	switch loss.For() + " " + loss.Type() {
	case model.Number + " squared":
		return means, nil
	case model.Binary + " cross_entropy":
		q := x.op("Clip", p, x.double(model.LeastShare), x.double(1-model.LeastShare))
		p = x.op("Log", x.op("Div", q, x.op("Sub", x.double(1), q)))
	case model.Category + " cross_entropy":
		p = x.op("Log", x.op("Max", p, x.double(model.LeastShare)))
	default:
		return "", refused("model trees", fmt.Errorf("a forest's means of loss %s have no form in ONNX", loss.Type()))
	}
	return x.cast(p, float32Type), nil
}

// importedTrees adds up the trees of another library as that does.
func (x *exporter) importedTrees(e *imported.Ensemble, shape kernel.Shape) (value, error) {
	x.used["bias"] = true
	all, err := model.ImportedTrees(e, shape)
	if err != nil {
		return "", err
	}
	trees := make([]model.DecisionTree, len(all))
	for t := range all {
		trees[t] = all[t]
	}
	of, base := float64Type, x.double
	if e.Single {
		of, base = float32Type, func(b float64) value { return x.float(float32(b)) }
	}
	sum := x.cast(x.ensemble(trees, shape.Cardinalities, base(e.Base), 1, of), float64Type)
	return x.row(x.cast(x.op("Mul", sum, x.double(e.Slope)), float32Type)), nil
}
