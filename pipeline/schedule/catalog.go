package schedule

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the schedules. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		entry("constant", new(Constant)),
		entry("step", new(Step)),
		entry("exponential", new(Exponential)),
		entry("inverse", new(Inverse)),
		entry("cosine", new(Cosine)),
		entry("reduce_on_plateau", new(ReduceOnPlateau)),
	}
}

// entry checks that options are a Schedule.
func entry(name string, s Schedule) pipeline.Entry {
	return pipeline.Entry{Name: name, Options: s}
}
