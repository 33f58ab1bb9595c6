package evaluation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// Champion is how a version compares with the one that the alias named.
type Champion struct {
	Version uint64 `json:"version"`
	// Rows are those of the judged split that both score.
	Rows int64 `json:"rows"`
	// Changes are by how much the new version's metrics are above the champion's.
	Changes map[string]metric.Estimate `json:"changes,omitempty"`
	// Sliced are the changes by slice, where a gate asks for them.
	Sliced
	// Flaw says why it could not be compared.
	Flaw string `json:"flaw,omitempty"`
}

// Gate is a gate of the spec and what came of it.
type Gate struct {
	Gate   string `json:"gate"`
	Passed bool   `json:"passed"`
	// Found is what the metric is, or why the gate is not passed.
	Found string `json:"found"`
}

// Compares reports whether a gate of the spec is versus the champion.
func Compares(spec *pipeline.Spec) bool {
	for _, g := range spec.Spec.Evaluation.Gates {
		if g.Versus != "" {
			return true
		}
	}
	return false
}

// ComparedWays returns the ways of slicing by which a gate is versus the champion.
func ComparedWays(spec *pipeline.Spec) (ways []pipeline.SliceSpec) {
	for _, way := range spec.Spec.Evaluation.Slices {
		if slices.ContainsFunc(spec.Spec.Evaluation.Gates, func(g pipeline.GateSpec) bool { return g.Versus != "" && slices.Equal(g.Slices, way.Columns) }) {
			ways = append(ways, way)
		}
	}
	return ways
}

// Judge fills in the gates of a document that has all else.
func (d *Document) Judge(spec *pipeline.Spec) {
	for i := range spec.Spec.Evaluation.Gates {
		g := &spec.Spec.Evaluation.Gates[i]
		out := Gate{Gate: gateText(g)}
		out.Passed, out.Found = d.judge(g)
		d.Gates = append(d.Gates, out)
	}
}

// Rejected says which gates are not passed and why; "" if all are.
func (d *Document) Rejected() string {
	var failed []string
	for _, g := range d.Gates {
		if !g.Passed {
			failed = append(failed, g.Gate+": "+g.Found)
		}
	}
	return strings.Join(failed, "; ")
}

// GateTable shows the gates, in as many lines as fit into so many bytes; "" where there
// are none.
func (d *Document) GateTable(most int) string {
	if len(d.Gates) == 0 {
		return ""
	}
	rows := [][]string{{"gate", "outcome", "found"}}
	for _, g := range d.Gates {
		outcome := "FAILED"
		if g.Passed {
			outcome = "passed"
		}
		rows = append(rows, []string{g.Gate, outcome, g.Found})
	}
	return TableText(rows, most)
}

func gateText(g *pipeline.GateSpec) string {
	text := g.Metric
	if g.Fairness != "" {
		text = string(g.Fairness) + " difference"
	}
	for _, b := range []struct {
		text  string
		bound *float64
	}{{" at least ", g.LowerBound}, {" at most ", g.UpperBound}, {" down at most ", g.MaxDecrease}, {" up at most ", g.MaxIncrease}} {
		if b.bound != nil {
			text += fmt.Sprintf("%s%v", b.text, *b.bound)
		}
	}
	if g.Over != "" {
		text += " in the mean over folds"
	}
	if g.Versus != "" {
		text += " versus " + g.Versus
	}
	if len(g.Slices) > 0 {
		text += " in each slice by " + strings.Join(g.Slices, ", ")
	}
	return text
}

// judge applies a gate to the judged split, its slices, or the changes of either.
func (d *Document) judge(g *pipeline.GateSpec) (passed bool, found string) {
	if g.Fairness != "" {
		return d.judgeFairness(g)
	}
	metrics, sliced, least, most, change := d.Splits[d.Judged].Metrics, &d.Sliced, g.LowerBound, g.UpperBound, ""
	switch {
	case g.Over != "":
		metrics = d.Folds.estimates()
	case g.Versus == "":
	case d.Champion == nil:
		return true, "there is no champion yet"
	case d.Champion.Flaw != "":
		return false, d.Champion.Flaw
	default:
		metrics, sliced, least, most = d.Champion.Changes, &d.Champion.Sliced, nil, g.MaxIncrease
		if g.MaxDecrease != nil {
			down := -*g.MaxDecrease
			least = &down
		}
		change = fmt.Sprintf("the change from version %d", d.Champion.Version)
	}
	join := " "
	if len(g.Slices) == 0 {
		passed, found = within(metrics, g, least, most)
	} else {
		passed, found = sliced.judge(g, least, most)
		join = ": "
	}
	if change != "" {
		found = change + join + found
	}
	return passed, found
}

// judge applies a gate to each slice by its columns that has enough rows.
func (d *Sliced) judge(g *pipeline.GateSpec, least, most *float64) (passed bool, found string) {
	columns, of := strings.Join(g.Slices, ", "), 0
	var failed []string
	for _, s := range d.Slices {
		if !slices.Equal(s.Columns, g.Slices) {
			continue
		}
		of++
		if ok, what := within(s.Metrics, g, least, most); !ok {
			failed = append(failed, s.Name()+" "+what)
		}
	}
	few := ""
	if n := d.TooFew[columns]; n > 0 {
		few = fmt.Sprintf("; %d with too few rows cannot be judged", n)
	}
	const shown = 3
	switch {
	case of == 0:
		return false, "there are no slices by " + columns + few
	case len(failed) > shown:
		return false, fmt.Sprintf("%s and %d more of %d slices%s", strings.Join(failed[:shown], ", "), len(failed)-shown, of, few)
	case len(failed) > 0:
		return false, fmt.Sprintf("%s, of %d slices%s", strings.Join(failed, ", "), of, few)
	}
	return true, fmt.Sprintf("all %d slices pass%s", of, few)
}

// within holds a metric, or its interval, against bounds, each of which may be nil.
func within(metrics map[string]metric.Estimate, g *pipeline.GateSpec, least, most *float64) (ok bool, found string) {
	e, ok := metrics[g.Metric]
	if !ok {
		return false, "is undefined: there are too few rows"
	}
	low, high, found := e.Value, e.Value, fmt.Sprintf("is %.6g", e.Value)
	switch {
	case e.Interval != nil:
		found += fmt.Sprintf(" (%.6g to %.6g)", e.Interval[0], e.Interval[1])
		if g.JudgeBy == "interval" {
			low, high = e.Interval[0], e.Interval[1]
		}
	case g.JudgeBy == "interval":
		return false, found + ", without an interval: there are too few rows (judge_by: value goes by the value alone)"
	}
	return (least == nil || low >= *least) && (most == nil || high <= *most), found
}

// judgeFairness holds the difference between the groups of each sensitive column against the
// bound, and tells the largest.
func (d *Document) judgeFairness(g *pipeline.GateSpec) (passed bool, found string) {
	passed, most := true, -1.0
	for _, f := range d.Fairness {
		gap, ok := f.Gaps[string(g.Fairness)]
		if !ok {
			return false, "is not known by " + f.Column + ": fewer than two groups have enough rows"
		}
		of := map[string]metric.Estimate{g.Metric: {Value: gap.Difference, Interval: gap.Interval}}
		ok, what := within(of, g, nil, g.UpperBound)
		if passed = passed && ok; gap.Difference > most {
			most, found = gap.Difference, what+" by "+f.Column
		}
	}
	return passed, found
}
