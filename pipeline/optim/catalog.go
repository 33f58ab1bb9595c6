package optim

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the update rules, and the algorithms that are none. To add one,
// write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "auto", Options: new(Auto), Source: autoSource},
		{Name: "sgd", Options: new(SGD), Source: sgdSource},
		{Name: "momentum", Options: new(Momentum), Source: momentumSource},
		{Name: "adam", Options: new(Adam), Source: adamSource},
		{Name: "lbfgs", Options: new(LBFGS), Source: lbfgsSource},
		{Name: "boosting", Options: new(Boosting), Source: boostingSource},
		{Name: "none", Options: new(None), Source: noneSource},
	}
}
