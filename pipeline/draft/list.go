package draft

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// length returns the length that most lists of a column have, the larger of two as
// frequent.
func (c *column) length() (n int) {
	for l, rows := range c.lengths {
		if rows > c.lengths[n] || rows == c.lengths[n] && l > n {
			n = l
		}
	}
	return n
}

// reasonToLeaveOutList is reasonToLeaveOut of a column of lists, of which so many
// rows have one.
func (c *column) reasonToLeaveOutList(known int) string {
	switch n := c.length(); {
	case n == 0:
		return "its lists are empty"
	case n > pipeline.MaxListLength:
		return fmt.Sprintf("its lists have %s elements, and a feature at most %s", humanize.Comma(int64(n)), humanize.Comma(pipeline.MaxListLength))
	case 2*c.lengths[n] < known:
		name := expression.Reference(c.Name)
		ids := ""
		if c.Type == table.Int64List {
			ids = "write type: set where its numbers are ids, or "
		}
		return fmt.Sprintf("its lists have no usual length: %stake an element, %s[0], or len(%s)", ids, name, name)
	}
	return ""
}

// saysOfLists describes the lists for a comment.
func (c *column) saysOfLists(rows int) string {
	if other := rows - c.nulls - c.lengths[c.length()]; other > 0 {
		return fmt.Sprintf("another length counts as missing: %.2g %%", 100*float64(other)/float64(rows))
	}
	return "the length of every list"
}
