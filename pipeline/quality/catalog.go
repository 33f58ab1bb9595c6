package quality

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists what data tests can ask. To add something is a file and a line here.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "check", Options: new(Check), Source: checkSource},
		{Name: "not_null", Options: new(NotNull), Source: notNullSource},
		{Name: "accepted_values", Options: new(AcceptedValues), Source: acceptedValuesSource},
		{Name: "range", Options: new(Range), Source: rangeSource},
		{Name: "regex", Options: new(Regex), Source: regexSource},
		{Name: "unique", Options: new(Unique), Source: uniqueSource},
		{Name: "in_lookup", Options: new(InLookup), Source: inLookupSource},
		{Name: "like_champion", Options: new(LikeChampion), Source: likeChampionSource},
		{Name: "row_count", Options: new(RowCount), Source: rowCountSource},
	}
}
