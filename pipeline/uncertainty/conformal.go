package uncertainty

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/conformal"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Conformal gives each scored row an interval that has the true number, or a set that has
// the true label, as often as coverage says. How wide they are, half of the validation rows
// say, which training does not look at (split conformal prediction, Vovk et al. 2005).
type Conformal struct {
	// Coverage is the share of rows whose true number or label is within, of rows that come
	// in no order and like those of validation; of a part of them it may be less. A number
	// gets columns interval_low and interval_high, all intervals as wide as one another, or
	// with loss quantile from the first of its levels to the last, both moved by one number
	// (conformalized quantile regression). Labels get a column label_set, a JSON list.
	Coverage float64 `yaml:"coverage,omitempty" json:"coverage,omitempty" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1" default:"0.9"`
	// Sets says which labels are in a set: lac, all that are likely enough, which makes sets
	// smallest and may leave one empty; aps, the likeliest ones until their probabilities
	// together are enough, which holds better where rows are hard to tell. Default lac.
	Sets string `yaml:"sets,omitempty" json:"sets,omitempty" jsonschema:"enum=lac,enum=aps"`
}

// Columns implements pipeline.UncertaintySpec.
func (*Conformal) Columns(answer string) []table.Column {
	if isSet(answer) {
		return []table.Column{{Name: "label_set", Type: table.String}}
	}
	return []table.Column{{Name: "interval_low", Type: table.Float64}, {Name: "interval_high", Type: table.Float64}}
}

func isSet(answer string) bool { return answer == "binary" || answer == "category" }

// leveled is options of a loss whose answers are quantiles.
type leveled interface{ QuantileLevels() []float64 }

// Refuses implements pipeline.UncertaintySpec.
func (o *Conformal) Refuses(_, loss any, answer string) (field, why, hint string) {
	l, quantiles := loss.(leveled)
	switch {
	case answer == "margin":
		return "type", "a margin has no probability that could make a set of labels", "write loss: {type: cross_entropy}"
	case quantiles && len(l.QuantileLevels()) < 2:
		return "type", "one quantile has no interval", "write loss: {type: quantile, levels: [0.05, 0.5, 0.95]}"
	case o.Sets != "" && !isSet(answer):
		return "sets", "a number has intervals, no sets of labels", "leave it out"
	}
	return "", "", ""
}

// Conformal implements pipeline.ConformalSpec.
func (o *Conformal) Conformal(answer string) conformal.Conformal {
	c := conformal.Conformal{Coverage: o.Coverage, Method: conformal.Absolute, Positive: answer == "count"}
	switch {
	case isSet(answer) && o.Sets == conformal.Cumulative:
		c.Method = conformal.Cumulative
	case isSet(answer):
		c.Method = conformal.Likelihood
	case answer == "quantiles":
		c.Method = conformal.Quantiles
	}
	return c
}

var _ pipeline.ConformalSpec = (*Conformal)(nil)
