package quality

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists what data tests can ask. To add something is a file and a line here.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "check", Options: new(Check)},
		{Name: "not_null", Options: new(NotNull)},
		{Name: "accepted_values", Options: new(AcceptedValues)},
		{Name: "range", Options: new(Range)},
		{Name: "regex", Options: new(Regex)},
		{Name: "unique", Options: new(Unique)},
		{Name: "in_lookup", Options: new(InLookup)},
		{Name: "like_champion", Options: new(LikeChampion)},
		{Name: "row_count", Options: new(RowCount)},
	}
}
