package schedule

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the schedules. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		entry("constant", new(Constant), constantSource),
		entry("step", new(Step), stepSource),
		entry("exponential", new(Exponential), exponentialSource),
		entry("inverse", new(Inverse), inverseSource),
		entry("cosine", new(Cosine), cosineSource),
		entry("reduce_on_plateau", new(ReduceOnPlateau), plateauSource),
	}
}

// entry checks that options are a Schedule.
func entry(name string, s Schedule, source string) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: s, Source: source}
}
