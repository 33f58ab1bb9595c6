package clean

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the operators. To add one is a file and a line here.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		pipeline.Step("trim", new(Trim)),
		pipeline.Step("normalize_text", new(NormalizeText)),
		pipeline.Step("case", new(Case)),
		pipeline.Step("replace", new(Replace)),
		pipeline.Step("filter", new(Filter)),
		pipeline.Step("derive", new(Derive)),
		pipeline.Step("cast", new(Cast)),
		pipeline.Step("fill", new(Fill)),
		pipeline.Step("outliers", new(Outliers)),
		pipeline.Step("dedupe", new(Dedupe)),
		pipeline.Step("lookup", new(Lookup)),
		pipeline.Step("balance", new(Balance)),
	}
}
