package artifact

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// DatasetInput returns the columns that are read of a dataset with the given ones to
// score its rows: as if each row were an event, and whatever fills a column of an event
// were a column here. Invalid names columns that are not there.
func (a *Artifact) DatasetInput(have table.Schema) (table.Schema, error) {
	out := table.Schema{Timezone: a.plan.ScoringInput.Timezone, Columns: slices.Clone(a.plan.ScoringInput.Columns)}
	var lacking []string
	for i := range out.Columns {
		c := &out.Columns[i]
		_, _, known := have.Lookup(c.Name)
		if expected := slices.Contains(a.plan.Expected, c.Name) || c.From != "" && !slices.Contains(a.plan.Unread, c.Name); expected && !known {
			text := c.Name
			if near := spelling.Nearest(c.Name, have.Names()); near != "" {
				text += fmt.Sprintf(" (the nearest is %s)", near)
			}
			lacking = append(lacking, text)
		}
		for _, u := range have.Unsupported { // whose values are null
			if u.Name == c.Name && u.Type != table.AllNull && slices.Contains(a.plan.Unread, c.Name) {
				out.Unsupported = append(out.Unsupported, u)
			}
		}
		c.From = ""
	}
	if len(lacking) > 0 {
		return out, &thalweg.Error{Op: "score dataset", Kind: thalweg.Invalid, Subject: "columns", Err: errors.New("it has no " + strings.Join(lacking, ", no ")),
			Hint: "give it the columns that the model was trained on; the label's is not needed"}
	}
	return out, checkColumns(a.carried(a.plan.ScoringCleaned), pipeline.DatasetColumns(a.plan.Label.Answer, true, a.plan.Label.Besides...))
}
