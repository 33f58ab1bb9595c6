package search

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the algorithms. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		entry("random", new(Random)),
		entry("grid", new(Grid)),
		entry("simulated_annealing", new(Annealing)),
		entry("genetic", new(Genetic)),
		entry("halving", new(Halving)),
	}
}

// entry checks that options are an Algorithm.
func entry(name string, a Algorithm) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: a}
}
