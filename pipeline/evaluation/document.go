// Package evaluation is what is found out about a trained version: metrics with
// intervals, by split and by slice, and curves. Like all that training yields it has
// the same bits whoever computed which shard.
package evaluation

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/search"
)

// Document is all that is known of how good a version is.
type Document struct {
	// Judged is the split that versions are judged by.
	Judged string `json:"judged"`
	// Threshold is the one that was chosen, where the spec says how.
	Threshold *float64 `json:"threshold,omitempty"`
	// Splits are the validation and test rows.
	Splits map[string]Measured `json:"splits"`
	// Sliced are of the judged split.
	Sliced
	// Fairness is by the sensitive columns of the spec, in order.
	Fairness []Fairness `json:"fairness,omitempty"`
	// Calibration is what it changed of the judged split; nil where there is none.
	Calibration *Calibration `json:"calibration,omitempty"`
	// Permutation is of the judged split: how much worse it is without each input.
	Permutation *Permutation `json:"permutation,omitempty"`
	// Folds are of cross-validation, where the spec asks for it.
	Folds *Folds `json:"folds,omitempty"`
	// Search has the trials that the values of the spec were chosen by, where it was
	// searched.
	Search *search.Result `json:"search,omitempty"`
	// Champion is the version that the alias named, where a gate is versus it.
	Champion *Champion `json:"champion,omitempty"`
	// Gates are those of the spec in order.
	Gates []Gate `json:"gates,omitempty"`
}

// Measured is what is known of a set of rows.
type Measured struct {
	Metrics map[string]metric.Estimate `json:"metrics"`
	// Confusion counts rows by label and prediction, called Classes; Unconfused says why
	// it is not there.
	Classes    []string       `json:"classes,omitempty"`
	Confusion  [][]int64      `json:"confusion,omitempty"`
	Unconfused string         `json:"unconfused,omitempty"`
	Curves     []metric.Curve `json:"curves,omitempty"`
}

// Sliced is what is known of slices of rows.
type Sliced struct {
	Slices []Slice `json:"slices,omitempty"`
	// Skipped says which slices are not there.
	Skipped []string `json:"skipped,omitempty"`
	// TooFew counts by columns the slices that have fewer rows than the spec asks for.
	TooFew map[string]int `json:"too_few,omitempty"`
}

// Slice is the rows that have the same values in some columns; a value that is
// missing is nil.
type Slice struct {
	Columns []string                   `json:"columns"`
	Values  []*string                  `json:"values"`
	Metrics map[string]metric.Estimate `json:"metrics"`
}

// maxTableMetrics is how many metrics of slices a table shows: that many fit beside
// a name.
const maxTableMetrics = 4

// tableMetrics are the first metrics of the judged split that the spec names, or else the
// catalog.
func (d *Document) tableMetrics(spec *pipeline.Spec) []string {
	return namedMetrics(spec, func(name string) bool { _, ok := d.Splits[d.Judged].Metrics[name]; return ok })
}

// namedMetrics are the first metrics that the spec names, or else the catalog, of those
// that there are.
func namedMetrics(spec *pipeline.Spec, has func(name string) bool) (names []string) {
	all := spec.Spec.Evaluation.Metrics
	if len(all) == 0 {
		for _, e := range spec.Entries(pipeline.Metrics) {
			all = append(all, e.Name)
		}
	}
	for _, name := range slices.Concat([]string{metric.Coverage}, all) {
		if has(name) && !slices.Contains(names, name) && len(names) < maxTableMetrics {
			names = append(names, name)
		}
	}
	return names
}

// SliceTable shows the slices by their first few metrics, in as many lines as fit
// into so many bytes; "" where there are none.
func (d *Document) SliceTable(spec *pipeline.Spec, most int) string {
	if len(d.Slices) == 0 {
		return ""
	}
	names := d.tableMetrics(spec)
	rows := [][]string{append([]string{"slice", "rows"}, names...)}
	for _, s := range d.Slices {
		cells := []string{s.Name(), s.Text(metric.Rows)}
		for _, name := range names {
			cells = append(cells, s.Text(name))
		}
		rows = append(rows, cells)
	}
	return TableText(rows, most)
}

// TableText lays rows out in columns, as many as fit into so many bytes.
func TableText(rows [][]string, most int) string {
	var w strings.Builder
	table := tabwriter.NewWriter(&w, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err.Error() // a builder has no failure
	}
	text := ""
	for line := range strings.Lines(w.String()) {
		if len(text)+len(line)+4 > most {
			return text + "…"
		}
		text += line
	}
	return strings.TrimSpace(text)
}

// Measure returns what a sample says, as far as the spec asks for it.
func Measure(spec *pipeline.Spec, s *metric.Sample) (m Measured, err error) {
	if m.Metrics, err = estimates(spec, s); err != nil {
		return m, err
	}
	if d, ok := s.Whole().(metric.Detailed); ok && s.Whole().Rows() > 0 {
		m.Classes, m.Confusion = d.Confusion()
		m.Unconfused = unconfused(s.Classes())
		m.Curves = d.Curves()
	}
	return m, nil
}

// estimates leaves out the metrics that the spec does not name.
func estimates(spec *pipeline.Spec, s *metric.Sample) (map[string]metric.Estimate, error) {
	all, err := s.Estimates()
	if wanted := spec.Spec.Evaluation.Metrics; len(wanted) > 0 {
		for _, e := range spec.Entries(pipeline.Metrics) {
			gate := slices.ContainsFunc(spec.Spec.Evaluation.Gates, func(g pipeline.GateSpec) bool { return g.Metric == e.Name })
			if u, ok := e.Options.(pipeline.UncertaintyMetric); ok && u.OfUncertainty() {
				continue // the model is asked for it
			}
			if !gate && !slices.Contains(wanted, e.Name) {
				delete(all, e.Name)
			}
		}
	}
	return all, err
}
