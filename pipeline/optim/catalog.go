package optim

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the update rules, and the algorithms that are none. To add one,
// write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		entry("sgd", new(SGD), sgdSource),
		entry("momentum", new(Momentum), momentumSource),
		entry("adam", new(Adam), adamSource),
	}
}

func entry(name string, options any, source string) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: options, Source: source}
}
