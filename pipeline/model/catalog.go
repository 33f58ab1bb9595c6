package model

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the models. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "linear", Options: Spec(new(Linear)), Source: linearSource},
		{Name: "trees", Options: Spec(new(Trees)), Source: treesSource},
	}
}

// Losses lists the losses; the first of a type of label is its default. To add
// one, write its file and its line.
func Losses() []pipeline.Entry {
	return []pipeline.Entry{loss(new(CrossEntropy), crossEntropySource), loss(new(Squared), squaredSource)}
}

func loss(l Loss, source string) pipeline.Entry {
	return pipeline.Entry{Name: l.Type(), Options: l, Source: source}
}
