package profile

import (
	"regexp"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Where a column looks like an identifier: the share of different values from where a
// text may be one, and of how many rows on that is told.
const (
	identifierShare = 0.5
	identifierRows  = 20
)

var idName = regexp.MustCompile(`(?i:^|[_ .-])(?i:id|uuid|guid)$|[a-z](Id|ID)$`)

// IsIdentifier reports whether a column looks like an identifier, by how many of the
// known values are different, and whether they are whole numbers that count the rows.
func IsIdentifier(name string, t table.Type, different, known int64, counting bool) bool {
	switch t {
	case table.String:
		return float64(different) > identifierShare*float64(known) && different > identifierRows
	case table.Int64:
		return counting && known > identifierRows || idName.MatchString(name) && different > 2
	}
	return false
}

// suspects says what a column of so many known values may be.
func (c *column) suspects(out *Column, known int64) (all []Suspect) {
	text := out.Text
	low, high := c.number(c.least), c.number(c.large)
	// An estimate of all is as near as it is.
	counting := c.Type == table.Int64 && (out.Distinct == known || !out.DistinctExact && float64(out.Distinct) > 0.97*float64(known)) &&
		high-low < 2*float64(known)
	if (text == nil || text.Likely == "") && IsIdentifier(c.Name, c.Type, out.Distinct, known, counting) {
		all = append(all, Suspect{Kind: "identifier", Confidence: Medium,
			Why: "looks like an identifier, which says nothing of new rows"})
	}
	if out.Distinct == 1 && out.DistinctExact && known > 1 {
		where := ""
		if out.Nulls > 0 {
			where = " where it is not missing"
		}
		all = append(all, Suspect{Kind: "constant", Confidence: High, Why: "has one value" + where})
	}
	if text != nil {
		known -= text.Empty
	}
	return append(all, personalSuspects(c.Name, c.judged().personal, known)...)
}
