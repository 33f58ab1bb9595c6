package clean

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the operators. To add one is a file and a line here.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		pipeline.Step("trim", new(Trim), trimSource),
		pipeline.Step("normalize_text", new(NormalizeText), normalizeTextSource),
		pipeline.Step("case", new(Case), caseSource),
		pipeline.Step("replace", new(Replace), replaceSource),
		pipeline.Step("filter", new(Filter), filterSource),
		pipeline.Step("derive", new(Derive), deriveSource),
		pipeline.Step("cast", new(Cast), castSource),
		pipeline.Step("fill", new(Fill), fillSource),
		pipeline.Step("outliers", new(Outliers), outliersSource),
		pipeline.Step("dedupe", new(Dedupe), dedupeSource),
		pipeline.Step("lookup", new(Lookup), lookupSource),
		pipeline.Step("balance", new(Balance), balanceSource),
	}
}
