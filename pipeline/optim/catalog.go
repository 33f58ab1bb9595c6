package optim

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the update rules, and the algorithms that are none and small. To add one,
// write its file and its line. A large algorithm has a package, and its line in
// pipeline/catalog.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "auto", Options: new(Auto)},
		{Name: "sgd", Options: new(SGD)},
		{Name: "momentum", Options: new(Momentum)},
		{Name: "nesterov", Options: new(Nesterov)},
		{Name: "adagrad", Options: new(Adagrad)},
		{Name: "decayed_adagrad", Options: new(DecayedAdagrad)},
		{Name: "rmsprop", Options: new(RMSProp)},
		{Name: "adadelta", Options: new(AdaDelta)},
		{Name: "adam", Options: new(Adam)},
		{Name: "adamw", Options: new(AdamW)},
		{Name: "ftrl", Options: new(FTRL)},
		{Name: "lbfgs", Options: new(LBFGS)},
		{Name: "memorize", Options: new(Memorize)},
		{Name: "none", Options: new(None)},
	}
}
