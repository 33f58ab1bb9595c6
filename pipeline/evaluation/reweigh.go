package evaluation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// jointly is the key of Labels whose values are those of all sensitive columns together. No
// column has the name.
const jointly = ""

// ObserveJointly counts rows as Observe does, by the values of all columns together.
func (l Labels) ObserveJointly(columns []string, rows arrow.Record, label func(row int) int) error {
	of, err := columnsOf(columns, rows)
	if err != nil {
		return err
	}
	var key []byte
	for row := range int(rows.NumRows()) {
		if y := label(row); y >= 0 {
			key = keyOf(key[:0], of, row)
			l.add(jointly, string(key), 1, int64(y))
		}
	}
	return nil
}

func columnsOf(names []string, rows arrow.Record) (of []arrow.Array, err error) {
	for _, name := range names {
		at := rows.Schema().FieldIndices(name)
		if len(at) != 1 {
			return nil, &thalweg.Error{Op: "weigh rows", Kind: thalweg.Invalid, Subject: "column " + name, Err: fmt.Errorf("the cleaned rows do not have it")}
		}
		of = append(of, rows.Column(at[0]))
	}
	return of, nil
}

func keyOf(key []byte, columns []arrow.Array, row int) []byte {
	for _, c := range columns {
		key = appendValue(key, c, row)
	}
	return key
}

// Reweighing says how much training rows weigh, so that the label is as frequent in each
// group by the values of the sensitive columns (Kamiran and Calders 2012): a row of group g
// and label y
//
//	(rows of g * rows of y) / (rows * rows of g and y)
//
// times. The mean weight is 1, or less where a group has rows of one label only: nothing stands
// for those of the other that it should have. It is immutable.
type Reweighing struct {
	columns []string
	groups  map[string][2]int64 // rows, and those whose label is true
	by      map[string][2]float32
	most    float64
}

// NewReweighing returns what weighs rows that were counted jointly. It fails with Invalid
// where there are too many groups.
func NewReweighing(f *pipeline.FairnessSpec, counts Labels) (*Reweighing, error) {
	groups := counts[jointly]
	if groups == nil {
		return nil, &thalweg.Error{Op: "weigh rows", Kind: thalweg.Invalid, Subject: "evaluation.fairness",
			Err: fmt.Errorf("there are more than %d groups by %q, or no training rows", maxSlices, f.Sensitive), Hint: "name columns of fewer values, derived of these"}
	}
	r := &Reweighing{columns: f.Sensitive, groups: groups, by: make(map[string][2]float32, len(groups)), most: 1}
	var rows, ones float64
	for _, n := range groups {
		rows, ones = rows+float64(n[0]), ones+float64(n[1])
	}
	for key, n := range groups {
		var w [2]float32
		for y, of := range [2][2]float64{{float64(n[0] - n[1]), rows - ones}, {float64(n[1]), ones}} {
			if of[0] > 0 {
				w[y] = float32(float64(n[0]) * of[1] / (rows * of[0]))
				r.most = max(r.most, float64(w[y]))
			}
		}
		r.by[key] = w
	}
	return r, nil
}

// Most is the largest weight.
func (r *Reweighing) Most() float64 { return r.most }

// Weigh appends the weights of rows, which have the given labels, to dst.
func (r *Reweighing) Weigh(rows arrow.Record, labels, dst []float32) ([]float32, error) {
	of, err := columnsOf(r.columns, rows)
	if err != nil {
		return nil, err
	}
	var key []byte
	for row := range int(rows.NumRows()) {
		key = keyOf(key[:0], of, row)
		y := 0
		if labels[row] != 0 {
			y = 1
		}
		w := r.by[string(key)][y]
		if w == 0 {
			w = 1 // of a validation row, which is not weighed
		}
		dst = append(dst, w)
	}
	return dst, nil
}

// Warnings say which groups stay as uneven as they are.
func (r *Reweighing) Warnings() []string {
	var of string
	n := 0
	for _, key := range r.largestFirst() {
		if g := r.groups[key]; g[1] == 0 || g[1] == g[0] {
			if n++; of == "" {
				of = r.nameOf(key)
			}
		}
	}
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("reweigh: in %d of %d groups, %s the largest, all training rows have the same label, which no weight makes as frequent as in the others", n, len(r.groups), of)}
}

// largestFirst lists the keys of the groups.
func (r *Reweighing) largestFirst() []string {
	return slices.SortedFunc(maps.Keys(r.groups), func(a, b string) int { return cmp.Or(cmp.Compare(r.groups[b][0], r.groups[a][0]), cmp.Compare(a, b)) })
}

// nameOf returns what a group is called.
func (r *Reweighing) nameOf(key string) string {
	s := &Slice{Columns: r.columns}
	s.Values, _ = values(key, len(r.columns))
	return s.Name()
}

// Table is the groups, the largest first, with their training rows and what one weighs.
func (r *Reweighing) Table(most int) string {
	rows := [][]string{{"group", "rows", "labels", "weight_false", "weight_true"}}
	weight := func(w float32) string {
		if w == 0 {
			return "-"
		}
		return strconv.FormatFloat(float64(w), 'g', 4, 64)
	}
	for _, key := range r.largestFirst() {
		n, w := r.groups[key], r.by[key]
		rows = append(rows, []string{r.nameOf(key), strconv.FormatInt(n[0], 10), strconv.FormatInt(n[1], 10), weight(w[0]), weight(w[1])})
	}
	return TableText(rows, most)
}
