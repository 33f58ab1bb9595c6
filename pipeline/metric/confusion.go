package metric

import "fmt"

// MaxConfused bounds the classes whose rows are counted by label and prediction: of more
// classes a model has no confusion matrix.
const MaxConfused = 100

// Detailed is an Accumulator of which more than single numbers can be shown.
type Detailed interface {
	// Curves returns curves of at most some hundred points.
	Curves() []Curve
	// Confusion returns counts of rows by label and prediction, and what these are
	// called; none where they were not counted.
	Confusion() (names []string, rows [][]int64)
}

// pairs counts rows by class and by the class that they are taken for.
type pairs struct {
	names []string
	rows  []int64 // of each label those of each prediction
}

// pairCount is the form of a count at rest: label, prediction, rows.
type pairCount [3]int64

// newPairs returns counts of classes, nil where these are too many.
func newPairs(names []string) *pairs {
	if len(names) > MaxConfused {
		return nil
	}
	return &pairs{names, make([]int64, len(names)*len(names))}
}

func (p *pairs) add(label, taken int) {
	if p != nil {
		p.rows[label*len(p.names)+taken]++
	}
}

func (p *pairs) merge(other *pairs) {
	if p == nil || other == nil {
		return
	}
	for i, n := range other.rows {
		p.rows[i] += n
	}
}

// list returns the counts that are not 0, in order.
func (p *pairs) list() (all []pairCount) {
	if p == nil {
		return nil
	}
	for i, n := range p.rows {
		if n > 0 {
			all = append(all, pairCount{int64(i / len(p.names)), int64(i % len(p.names)), n})
		}
	}
	return all
}

// set takes over what list returned, and fails where it contradicts the counts by class.
func (p *pairs) set(all []pairCount, classes []classCount) error {
	if p == nil {
		if all != nil {
			return fmt.Errorf("rows are counted by label and prediction")
		}
		return nil
	}
	clear(p.rows)
	n := int64(len(p.names))
	for _, c := range all {
		if c[0] < 0 || c[0] >= n || c[1] < 0 || c[1] >= n || c[2] < 0 || p.rows[c[0]*n+c[1]] != 0 {
			return fmt.Errorf("%d rows of class %d are taken for class %d of %d", c[2], c[0], c[1], n)
		}
		p.rows[c[0]*n+c[1]] = c[2]
	}
	want := make([]classCount, n)
	for _, c := range classes {
		want[c.Class] = c
	}
	for k, c := range want {
		got := classCount{Class: c.Class, Correct: p.rows[k*int(n)+k]}
		for j := range p.names {
			got.Of += p.rows[k*int(n)+j]
			got.Taken += p.rows[j*int(n)+k]
		}
		if got != c {
			return fmt.Errorf("class %d has %d rows, %d taken for it and %d right, by label and prediction %d, %d and %d", k, c.Of, c.Taken, c.Correct, got.Of, got.Taken, got.Correct)
		}
	}
	return nil
}

// Curves implements Detailed: classes have none.
func (a *classSums) Curves() []Curve { return nil }

// Confusion implements Detailed: it is counted of all rows, and not by part or slice.
func (a *classSums) Confusion() (names []string, rows [][]int64) {
	if a.pairs == nil {
		return nil, nil
	}
	for k, n := 0, len(a.pairs.names); k < n; k++ {
		rows = append(rows, a.pairs.rows[k*n:(k+1)*n])
	}
	return a.pairs.names, rows
}
