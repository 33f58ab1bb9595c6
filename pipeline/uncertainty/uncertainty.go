// Package uncertainty lists the ways in which a model says how far its answers may be off:
// columns of scored rows, and metrics that hold them against the labels.
package uncertainty

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Catalog lists the ways. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "conformal", Options: new(Conformal)},
		{Name: "mc_dropout", Options: new(MCDropout)},
		{Name: "bootstrap", Options: new(Bootstrap)},
	}
}

// checkLevels refuses quantiles that are no levels or in no order.
func checkLevels(at pipeline.Place, levels []float64) {
	for i, level := range levels {
		if !(level >= 0 && level <= 1) || i > 0 && level <= levels[i-1] {
			at.Problem("quantiles", "write shares such as 0.05, the smallest first, each once", "%v is no level between 0 and 1 that comes after the one before it", level)
		}
	}
}

// sampleColumns are those of rows that are predicted several times.
func sampleColumns() []table.Column {
	return []table.Column{{Name: "sample_mean", Type: table.Float64}, {Name: "sample_deviation", Type: table.Float64}, {Name: "sample_quantiles", Type: table.Float64List}}
}
