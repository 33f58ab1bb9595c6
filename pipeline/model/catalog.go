package model

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the models. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{entry("linear", new(Linear), linearSource)}
}

func entry(name string, options Spec, source string) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: options, Source: source}
}

// losses is the table of losses; the first of a label's is its default. To add
// one, write its file and its line.
var losses = []Loss{crossEntropy{}, squared{}}
