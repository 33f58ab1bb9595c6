package uncertainty

import (
	"github.com/thalweg/thalweg/pipeline"
)

// Bootstrap trains members beside the model, each on rows that are drawn anew of the
// training rows (Efron 1979): how far their predictions of a row differ says how much hangs
// on which rows training happened to see. Each training row is there 0, 1, 2 or more times,
// by a Poisson distribution of mean 1 and a hash of the row, the member and the seed.
type Bootstrap struct {
	// Members is how many there are. Each costs a training, by one worker alone, and a
	// prediction of each scored row. They start anew, and networks from other weights.
	Members int `yaml:"members,omitempty" json:"members,omitempty" jsonschema:"minimum=2,maximum=100" default:"10"`

	SampleQuantiles `yaml:",inline" json:",inline"`
}

// Refuses implements pipeline.UncertaintySpec.
func (*Bootstrap) Refuses(model, _ any, _ string) (field, why, hint string) {
	if m, ok := model.(pipeline.Importer); ok && m.Imports() != "" {
		return "type", "the model is imported, and no member can be trained", "write uncertainty: {type: conformal}"
	}
	if m, ok := model.(pipeline.Trained); ok && m.TrainedBy() == "memorize" {
		return "type", "the model is its training rows, of which members have other numbers", "write uncertainty: {type: conformal}"
	}
	return "", "", ""
}

// Sampling implements pipeline.SamplingSpec.
func (o *Bootstrap) Sampling() (samples int, levels []float64) { return o.Members, o.Quantiles }

// MemberModels implements pipeline.MemberSpec.
func (o *Bootstrap) MemberModels() int { return o.Members }

var _ pipeline.MemberSpec = (*Bootstrap)(nil)
