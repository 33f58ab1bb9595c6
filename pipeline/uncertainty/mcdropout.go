package uncertainty

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// MCDropout predicts each scored row again by networks that dropout thins, as training
// does (Gal and Ghahramani 2016): how far they differ says how little the rows that
// training saw say of this one. Which values are left out follows from the seed and the
// number of the sample alone, so that a row has the same bits wherever it is scored.
type MCDropout struct {
	// Samples is how many networks there are. Each costs about what the layers behind the
	// first dropout do.
	Samples int `yaml:"samples,omitempty" json:"samples,omitempty" jsonschema:"minimum=2,maximum=200" default:"20"`

	SampleQuantiles `yaml:",inline" json:",inline"`
}

// dropping is options of a model that may have dropout, and reports whether it does.
type dropping interface{ Drops() bool }

// Refuses implements pipeline.UncertaintySpec.
func (*MCDropout) Refuses(model, _ any, _ string) (field, why, hint string) {
	if m, ok := model.(dropping); !ok || !m.Drops() {
		return "type", "the model has no dropout to draw samples by", "write model: {type: mlp, dropout: 0.1}, or uncertainty: {type: conformal}"
	}
	return "", "", ""
}

// Sampling implements pipeline.SamplingSpec.
func (o *MCDropout) Sampling() (samples int, levels []float64) { return o.Samples, o.Quantiles }

var _ pipeline.SamplingSpec = (*MCDropout)(nil)

// SampleQuantiles is the options of ways that predict each row several times.
type SampleQuantiles struct {
	// Quantiles are levels, ascending. Scored rows have of their probability or value, of a
	// category that of the likeliest class, the mean over the samples, which members give one
	// each, the standard deviation, and these quantiles: sample_mean, sample_deviation,
	// sample_quantiles. Default [0.05, 0.5, 0.95].
	Quantiles []float64 `yaml:"quantiles,omitempty" json:"quantiles,omitempty" jsonschema:"minItems=1,maxItems=99"`
}

// Defaults implements pipeline.Defaulter.
func (o *SampleQuantiles) Defaults(at pipeline.Place) {
	pipeline.DefaultList(at, "quantiles", &o.Quantiles, 0.05, 0.5, 0.95)
}

// Check implements pipeline.Checker: quantiles that are no levels or in no order are refused.
func (o *SampleQuantiles) Check(at pipeline.Place) {
	for i, level := range o.Quantiles {
		if !(level >= 0 && level <= 1) || i > 0 && level <= o.Quantiles[i-1] {
			at.Problem("quantiles", "write shares such as 0.05, the smallest first, each once", "%v is no level between 0 and 1 that comes after the one before it", level)
		}
	}
}

// Columns implements pipeline.UncertaintySpec.
func (*SampleQuantiles) Columns(string) []table.Column {
	return []table.Column{{Name: "sample_mean", Type: table.Float64}, {Name: "sample_deviation", Type: table.Float64}, {Name: "sample_quantiles", Type: table.Float64List}}
}
