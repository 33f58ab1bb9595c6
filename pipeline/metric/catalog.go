package metric

import (
	"cmp"
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
	// Least and Most are what it can be; both 0: anything.
	Least, Most float64
	// Share returns a metric that is a share of rows as the two counts. Nil: it is none.
	Share func(sums Accumulator) (part, of int64)
	// variation is about the coefficient of variation of the rows' values whose mean the
	// metric is; 0: 1, that of exponentially distributed values.
	variation float64
	// uncertain: it is of intervals or sets that not all answers have.
	uncertain bool
}

// StandardError is about that of a value over so many rows.
func (m *Measure) StandardError(value, rows float64) float64 {
	switch variation := cmp.Or(m.variation, 1); {
	case m.Least == 0 && m.Most == 1: // a share
		return math.Sqrt(value * (1 - value) / rows)
	case m.HigherIsBetter: // what it lacks to the most is a mean
		return variation * (m.Most - value) / math.Sqrt(rows)
	default:
		return variation * value / math.Sqrt(rows)
	}
}

// For implements pipeline.Typed.
func (m *Measure) For() string { return m.Output }

// Rises implements pipeline.Ordered.
func (m *Measure) Rises() bool { return m.HigherIsBetter }

// Catalog lists the metrics; the first of an output is its default. To add one
// is a line here.
func Catalog() []pipeline.Entry {
	inf := math.Inf(1)
	return slices.Concat([]pipeline.Entry{
		measure("binary", LogLoss, false, 0, inf, func(a *binarySums) (float64, bool) { return -a.loss.Value() / float64(a.Count), true }),
		measure("binary", ROCAUC, true, 0, 1, ranked.auc),
		share("binary", Accuracy, ranked.right),
		measure("binary", PRAUC, true, 0, 1, ranked.averagePrecision),
		measure("binary", Brier, false, 0, 1, func(a *binarySums) (float64, bool) { return a.Squared / float64(a.Count), true }),
		measure("binary", F1, true, 0, 1, ranked.f1),
		share("binary", Precision, ranked.precision),
		share("binary", Recall, ranked.recall),
		measure("binary", CalibrationError, false, 0, 1, (*binarySums).calibrationError),
		measure("category", LogLoss, false, 0, inf, func(a *classSums) (float64, bool) { return -a.loss.Value() / float64(a.Count), true }),
		share("category", Accuracy, (*classSums).right),
		measure("category", F1Macro, true, 0, 1, (*classSums).macroF1),
		share("category", F1Micro, (*classSums).right),
		measure("category", Brier, false, 0, 2, func(a *classSums) (float64, bool) { return a.Squared / float64(a.Count), true }),
		measure("category", CalibrationError, false, 0, 1, (*classSums).calibrationError),
		measure("margin", HingeLoss, false, 0, inf, func(a *marginSums) (float64, bool) { return a.Hinge / float64(a.Count), true }),
		measure("margin", ROCAUC, true, 0, 1, ranked.auc),
		share("margin", Accuracy, ranked.right),
		measure("margin", PRAUC, true, 0, 1, ranked.averagePrecision),
		measure("margin", F1, true, 0, 1, ranked.f1),
		share("margin", Precision, ranked.precision),
		share("margin", Recall, ranked.recall),
		measure("count", PoissonDeviance, false, 0, inf, (*numberSums).meanLoss),
		measure("count", MAE, false, 0, inf, (*numberSums).mae),
		varying(math.Sqrt2, measure("count", MSE, false, 0, inf, (*numberSums).mse)),
		varying(math.Sqrt2/2, measure("count", RMSE, false, 0, inf, (*numberSums).rmse)),
		measure("quantiles", Pinball, false, 0, inf, (*numberSums).meanLoss),
		measure("quantiles", MAE, false, 0, inf, (*numberSums).mae),
		varying(math.Sqrt2, measure("number", MSE, false, 0, inf, (*numberSums).mse)),
		varying(math.Sqrt2/2, measure("number", RMSE, false, 0, inf, (*numberSums).rmse)),
		measure("number", MAE, false, 0, inf, (*numberSums).mae),
		varying(math.Sqrt2, measure("number", R2, true, -inf, 1, (*numberSums).r2)),
	}, coverages("binary", SetSize), coverages("category", SetSize), coverages("count", IntervalWidth),
		coverages("quantiles", IntervalWidth), coverages("number", IntervalWidth))
}

func measure[Sums Accumulator](output, name string, higher bool, least, most float64, value func(Sums) (float64, bool)) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: &Measure{Output: output, HigherIsBetter: higher, Least: least, Most: most,
		Value: func(a Accumulator) (float64, bool) { return value(a.(Sums)) }}}
}

// varying is a metric of another variation than 1: squares of normal values have the square
// root of 2.
func varying(by float64, e pipeline.Entry) pipeline.Entry {
	e.Options.(*Measure).variation = by
	return e
}

// share is a metric that is a share of rows, undefined of none.
func share[Sums Accumulator](output, name string, counts func(Sums) (part, of int64)) pipeline.Entry {
	e := measure(output, name, true, 0, 1, func(a Sums) (float64, bool) {
		part, of := counts(a)
		return ratio(part, of), of > 0
	})
	e.Options.(*Measure).Share = func(a Accumulator) (part, of int64) { return counts(a.(Sums)) }
	return e
}

func ratio(part, of int64) float64 { return float64(part) / float64(of) }

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

// known is what an accumulator knows the metrics of its type of output by: there are many
// accumulators, most of which are merged and never asked for them.
type known struct {
	catalog []pipeline.Entry
	output  string
}

// values returns the metrics that are defined for sums.
func (k known) values(sums Accumulator) map[string]float64 {
	out := map[string]float64{Rows: float64(sums.Rows())}
	if sums.Rows() == 0 {
		return out
	}
	for name, m := range measures(k.catalog, k.output) {
		if v, ok := m.Value(sums); ok {
			out[name] = v
		}
	}
	return out
}

// Find returns a metric of a catalog, nil where the catalog has none of that name for the
// type of output.
func Find(catalog []pipeline.Entry, output, name string) *Measure {
	return measures(catalog, output)[name]
}

// Names returns the metrics of a type of output, for messages.
func Names(catalog []pipeline.Entry, output string) string {
	return strings.Join(slices.Sorted(maps.Keys(measures(catalog, output))), ", ")
}
