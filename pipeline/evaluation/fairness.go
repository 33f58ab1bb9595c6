package evaluation

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/interval"
	"github.com/thalweg/thalweg/pipeline/metric"
)

// Fairness is how the answers of a version differ between the values of a sensitive
// column, on the judged split. The metrics and their differences and ratios are those
// that Fairlearn has by these names.
type Fairness struct {
	Column string  `json:"column"`
	Groups []Group `json:"groups"`
	// Gaps are between the groups, by metric.
	Gaps map[string]Gap `json:"gaps,omitempty"`
	// Skipped says what is not there.
	Skipped []string `json:"skipped,omitempty"`
}

// Group is the rows of one value of a sensitive column, nil where it is missing. Rates
// that no row has a say in are nil.
type Group struct {
	Value *string `json:"value"`
	Rows  int64   `json:"rows"`
	// LabelRate is the share of true labels, SelectionRate that of true answers, and
	// TruePositiveRate that of true answers among true labels.
	LabelRate        float64  `json:"label_rate"`
	SelectionRate    float64  `json:"selection_rate"`
	TruePositiveRate *float64 `json:"true_positive_rate,omitempty"`
}

// Gap is the difference of the largest and the smallest rate, with its 95 % interval, and the
// ratio of the smallest to the largest, nil where that is 0. The interval is Newcombe's (1998)
// of two shares, and does not allow for these two being the extremes of several.
type Gap struct {
	Difference float64     `json:"difference"`
	Interval   *[2]float64 `json:"interval,omitempty"`
	Ratio      *float64    `json:"ratio,omitempty"`
}

// SensitiveWays are the ways of slicing by the sensitive columns of a spec.
func SensitiveWays(spec *pipeline.Spec) (ways []pipeline.SliceSpec) {
	if f := spec.Spec.Evaluation.Fairness; f != nil {
		for _, column := range f.Sensitive {
			ways = append(ways, pipeline.SliceSpec{Columns: []string{column}, MinRows: f.MinRows})
		}
	}
	return ways
}

// Fairness returns what slices by SensitiveWays say.
func (s *Slices) Fairness(spec *pipeline.Spec) (all []Fairness, err error) {
	if len(s.ways) == 0 {
		return nil, nil
	}
	groups := make(map[string][]Group) // by column
	sliced, err := s.each(func(way int, key string, of *metric.Sample) (map[string]metric.Estimate, error) {
		d, ok := of.Whole().(metric.Detailed)
		if !ok {
			return nil, fmt.Errorf("answers of %s are not true or false", s.ways[way].Columns[0])
		}
		_, c := d.Confusion() // by label, then by answer
		zeros, ones := c[0][0]+c[0][1], c[1][0]+c[1][1]
		g := Group{Rows: zeros + ones}
		g.LabelRate, g.SelectionRate = float64(ones)/float64(g.Rows), float64(c[0][1]+c[1][1])/float64(g.Rows)
		if ones > 0 {
			rate := float64(c[1][1]) / float64(ones)
			g.TruePositiveRate = &rate
		}
		value, _ := values(key, 1)
		g.Value = value[0]
		column := s.ways[way].Columns[0]
		groups[column] = append(groups[column], g)
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	for i, way := range s.ways {
		f := Fairness{Column: way.Columns[0], Groups: groups[way.Columns[0]], Gaps: make(map[string]Gap)}
		if i == 0 {
			f.Skipped = sliced.Skipped
		}
		for _, name := range spec.Spec.Evaluation.Fairness.Metrics {
			var rates []groupRate
			for _, g := range f.Groups {
				switch {
				case name == pipeline.DemographicParity:
					rates = append(rates, groupRate{g.SelectionRate, g.Rows})
				case g.TruePositiveRate != nil:
					rates = append(rates, groupRate{*g.TruePositiveRate, int64(math.Round(g.LabelRate * float64(g.Rows)))})
				}
			}
			if silent := len(f.Groups) - len(rates); silent > 0 {
				f.Skipped = append(f.Skipped, fmt.Sprintf("%s by %s leaves out %d of %d groups, in which no label is true", name, f.Column, silent, len(f.Groups)))
			}
			if len(rates) > 1 {
				f.Gaps[string(name)] = gapOf(rates)
			} else {
				f.Skipped = append(f.Skipped, fmt.Sprintf("%s by %s is not known: fewer than two groups have enough rows", name, f.Column))
			}
		}
		all = append(all, f)
	}
	return all, nil
}

// groupRate is a share of so many rows.
type groupRate struct {
	share float64
	of    int64
}

func gapOf(rates []groupRate) Gap {
	byShare := func(a, b groupRate) int { return cmp.Compare(a.share, b.share) }
	least, most := slices.MinFunc(rates, byShare), slices.MaxFunc(rates, byShare)
	gap := Gap{Difference: most.share - least.share}
	if most.share > 0 {
		ratio := least.share / most.share
		gap.Ratio = &ratio
	}
	of := interval.Difference(least.share, interval.Wilson(least.share, least.of), most.share, interval.Wilson(most.share, most.of))
	gap.Interval = &of
	return gap
}

// FairnessTable shows the groups and the gaps between them, in as many lines as fit into
// so many bytes; "" where there are none.
func FairnessTable(all []Fairness, most int) string {
	if len(all) == 0 {
		return ""
	}
	rate := func(r *float64) string {
		if r == nil {
			return "-"
		}
		return strconv.FormatFloat(*r, 'g', 4, 64)
	}
	var rows [][]string
	for _, f := range all {
		for _, name := range slices.Sorted(maps.Keys(f.Gaps)) {
			gap := f.Gaps[name]
			difference := "difference " + rate(&gap.Difference)
			if gap.Interval != nil {
				difference += " (" + rate(&gap.Interval[0]) + " to " + rate(&gap.Interval[1]) + ")"
			}
			rows = append(rows, []string{name + " by " + f.Column, difference, "ratio " + rate(gap.Ratio)})
		}
	}
	rows = append(rows, []string{"group", "rows", "label_rate", "selection_rate", "true_positive_rate"})
	for _, f := range all {
		for _, g := range f.Groups {
			of := Slice{Columns: []string{f.Column}, Values: []*string{g.Value}}
			rows = append(rows, []string{of.Name(), strconv.FormatInt(g.Rows, 10), rate(&g.LabelRate), rate(&g.SelectionRate), rate(g.TruePositiveRate)})
		}
	}
	return TableText(rows, most)
}

// Labels counts the training rows of the values of sensitive columns, by column and by
// value as appendValue has it: all, and those whose label is true. A column of more than
// maxSlices values has none.
type Labels map[string]map[string][2]int64

// Observe counts the rows of a batch for which label says 0 or 1; it says -1 of others.
func (l Labels) Observe(columns []string, rows arrow.Record, label func(row int) int) error {
	var key []byte
	for _, column := range columns {
		at := rows.Schema().FieldIndices(column)
		if len(at) != 1 {
			return &thalweg.Error{Op: "count labels", Kind: thalweg.Invalid, Subject: "column " + column, Err: errors.New("the cleaned rows do not have it")}
		}
		for row := range int(rows.NumRows()) {
			if y := label(row); y >= 0 {
				key = appendValue(key[:0], rows.Column(at[0]), row)
				l.add(column, string(key), 1, int64(y))
			}
		}
	}
	return nil
}

func (l Labels) add(column, key string, rows, ones int64) {
	of, known := l[column]
	if !known {
		of = make(map[string][2]int64)
		l[column] = of
	}
	if of == nil {
		return
	}
	n, seen := of[key]
	if !seen && len(of) >= maxSlices {
		l[column] = nil
		return
	}
	of[key] = [2]int64{n[0] + rows, n[1] + ones}
}

// Merge adds the counts of others.
func (l Labels) Merge(other Labels) {
	for column, of := range other {
		if of == nil {
			l[column] = nil
		}
		for key, n := range of {
			l.add(column, key, n[0], n[1])
		}
	}
}

// unevenBelow is the ratio of label rates below which they are uneven: the four fifths
// of the Uniform Guidelines on Employee Selection Procedures.
const unevenBelow = 0.8

// Table shows the counts before training, in as many lines as fit into so many bytes,
// and says where few rows or uneven rates are to be expected to tell in the answers.
func (l Labels) Table(f *pipeline.FairnessSpec, most int) (text string, warnings []string) {
	rows := [][]string{{"group", "rows", "labels", "label_rate"}}
	for _, column := range f.Sensitive {
		of, known := l[column]
		if known && of == nil {
			warnings = append(warnings, fmt.Sprintf("labels are not counted by %s: there are more than %d different values", column, maxSlices))
			continue
		}
		var least, largest *Slice
		low, high, few := 2.0, -1.0, 0
		for _, key := range slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(cmp.Compare(of[b][0], of[a][0]), cmp.Compare(a, b)) }) {
			n, s := of[key], &Slice{Columns: []string{column}}
			s.Values, _ = values(key, 1)
			rate := float64(n[1]) / float64(n[0])
			rows = append(rows, []string{s.Name(), strconv.FormatInt(n[0], 10), strconv.FormatInt(n[1], 10), strconv.FormatFloat(rate, 'g', 4, 64)})
			switch {
			case n[0] < int64(f.MinRows):
				few++
			default:
				if rate < low {
					low, least = rate, s
				}
				if rate > high {
					high, largest = rate, s
				}
			}
		}
		if few > 0 {
			warnings = append(warnings, fmt.Sprintf("%d of %d groups by %s have fewer than %d training rows: little can be learnt about them", few, len(of), column, f.MinRows))
		}
		if least != nil && low < unevenBelow*high {
			warnings = append(warnings, fmt.Sprintf("labels are uneven by %s before training: %.4g of the rows with %s are true, and %.4g of those with %s", column, low, least.Name(), high, largest.Name()))
		}
	}
	return TableText(rows, most), warnings
}
