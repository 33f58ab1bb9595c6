package optim

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the update rules, and the algorithms that are none. To add one,
// write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "auto", Options: new(Auto), Source: autoSource},
		{Name: "sgd", Options: new(SGD), Source: sgdSource},
		{Name: "momentum", Options: new(Momentum), Source: momentumSource},
		{Name: "nesterov", Options: new(Nesterov), Source: nesterovSource},
		{Name: "adagrad", Options: new(Adagrad), Source: adagradSource},
		{Name: "decayed_adagrad", Options: new(DecayedAdagrad), Source: decayedAdagradSource},
		{Name: "rmsprop", Options: new(RMSProp), Source: rmspropSource},
		{Name: "adadelta", Options: new(AdaDelta), Source: adadeltaSource},
		{Name: "adam", Options: new(Adam), Source: adamSource},
		{Name: "adamw", Options: new(AdamW), Source: adamwSource},
		{Name: "ftrl", Options: new(FTRL), Source: ftrlSource},
		{Name: "lbfgs", Options: new(LBFGS), Source: lbfgsSource},
		{Name: "boosting", Options: new(Boosting), Source: boostingSource},
		{Name: "memorize", Options: new(Memorize), Source: memorizeSource},
		{Name: "none", Options: new(None), Source: noneSource},
	}
}
