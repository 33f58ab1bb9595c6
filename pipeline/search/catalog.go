package search

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the algorithms. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		entry("random", new(Random), randomSource),
		entry("grid", new(Grid), gridSource),
		entry("simulated_annealing", new(Annealing), annealingSource),
		entry("genetic", new(Genetic), geneticSource),
		entry("halving", new(Halving), halvingSource),
	}
}

// entry checks that options are an Algorithm.
func entry(name string, a Algorithm, source string) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: a, Source: source}
}
