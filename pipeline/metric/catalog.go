package metric

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/pipeline"
)

// Measure is the options of a metric: what a validation_metric can name.
type Measure struct {
	// Output is the type of answer that it is for: that of
	// pipeline.Answer.
	Output string
	// HigherIsBetter is its direction.
	HigherIsBetter bool
	// Value returns it for sums of at least one row; ok is false where it is
	// undefined for them.
	Value func(sums Accumulator) (value float64, ok bool)
}

// For implements pipeline.Typed.
func (m *Measure) For() string { return m.Output }

// Catalog lists the metrics; the first of an output is its default. To add one
// is a line here.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		measure("binary", LogLoss, false, func(a *binarySums) (float64, bool) { return -a.loss.Value() / float64(a.Count), true }),
		measure("binary", ROCAUC, true, (*binarySums).auc),
		measure("binary", Accuracy, true, func(a *binarySums) (float64, bool) { return float64(a.Correct) / float64(a.Count), true }),
		measure("category", LogLoss, false, func(a *classSums) (float64, bool) { return -a.loss.Value() / float64(a.Count), true }),
		measure("category", Accuracy, true, func(a *classSums) (float64, bool) { return float64(a.Correct) / float64(a.Count), true }),
		measure("margin", HingeLoss, false, func(a *marginSums) (float64, bool) { return a.Hinge / float64(a.Count), true }),
		measure("margin", ROCAUC, true, func(a *marginSums) (float64, bool) { return a.auc() }),
		measure("margin", Accuracy, true, func(a *marginSums) (float64, bool) { return float64(a.Correct) / float64(a.Count), true }),
		measure("count", PoissonDeviance, false, func(a *numberSums) (float64, bool) { return a.Loss / float64(a.Count), true }),
		measure("count", MAE, false, func(a *numberSums) (float64, bool) { return a.Absolute / float64(a.Count), true }),
		measure("count", MSE, false, func(a *numberSums) (float64, bool) { return a.Squared / float64(a.Count), true }),
		measure("count", RMSE, false, func(a *numberSums) (float64, bool) { return math.Sqrt(a.Squared / float64(a.Count)), true }),
		measure("quantiles", Pinball, false, func(a *numberSums) (float64, bool) { return a.Loss / float64(a.Count), true }),
		measure("quantiles", MAE, false, func(a *numberSums) (float64, bool) { return a.Absolute / float64(a.Count), true }),
		measure("number", MSE, false, func(a *numberSums) (float64, bool) { return a.Squared / float64(a.Count), true }),
		measure("number", RMSE, false, func(a *numberSums) (float64, bool) { return math.Sqrt(a.Squared / float64(a.Count)), true }),
		measure("number", MAE, false, func(a *numberSums) (float64, bool) { return a.Absolute / float64(a.Count), true }),
		measure("number", R2, true, func(a *numberSums) (float64, bool) { return 1 - a.Squared/a.Labels.Squares, a.Labels.Squares > 0 }),
	}
}

func measure[Sums Accumulator](output, name string, higher bool, value func(Sums) (float64, bool)) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: &Measure{output, higher, func(a Accumulator) (float64, bool) { return value(a.(Sums)) }}}
}

// measures returns the metrics of a type of output by name.
func measures(catalog []pipeline.Entry, output string) map[string]*Measure {
	of := make(map[string]*Measure)
	for _, e := range catalog {
		if m, ok := e.Options.(*Measure); ok && m.Output == output {
			of[e.Name] = m
		}
	}
	return of
}

// values adds the metrics that are defined for sums.
func values(of map[string]*Measure, sums Accumulator) map[string]float64 {
	out := map[string]float64{Rows: float64(sums.Rows())}
	for name, m := range of {
		if sums.Rows() == 0 {
			break
		}
		if v, ok := m.Value(sums); ok {
			out[name] = v
		}
	}
	return out
}

// HigherIsBetter reports the direction of a metric of a catalog; ok is false
// where the catalog has none of that name for the type of output.
func HigherIsBetter(catalog []pipeline.Entry, output, name string) (higher, ok bool) {
	m, ok := measures(catalog, output)[name]
	return ok && m.HigherIsBetter, ok
}

// Names returns the metrics of a type of output, for messages.
func Names(catalog []pipeline.Entry, output string) string {
	return strings.Join(slices.Sorted(maps.Keys(measures(catalog, output))), ", ")
}
